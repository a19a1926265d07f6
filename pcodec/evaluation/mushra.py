"""Ratings of a MUSHRA listening test: read, validate, screen, summarise, compare.

Task: from the result files of webMUSHRA, or of `pcodec.evaluation.stimuli`'s test page, to the statements of a paper.
Screening and quartiles are those of ITU-R BS.1534-3; ratings of one listener, and of one item, are not independent, so
intervals and tests work on listeners' means, and a mixed model has both as random effects. Two conditions are compared
on the trials (a listener and an item) that have both.

Conventions: a table of ratings has the columns `COLUMNS`, one row for each score 0..100. The hidden reference is a
condition called "reference"; the low and mid anchors, low-passed at 3.5 and 7 kHz, are "anchor35" and "anchor70", as
webMUSHRA names them. p-values are two-sided. Notebook 10_mushra.

Contents: `read_webmushra`, `validate`, `screen`, `summary`, `quartiles`, `compare`, `mixed_difference`, `friedman`,
`equivalence`, `simulate`.
"""

import csv
import itertools
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pcodec import PcodecError

WEBMUSHRA = {  # its columns, those that do not belong to a questionnaire, and what they are called here
    "session_test_id": "test",
    "session_uuid": "listener",
    "trial_id": "item",
    "rating_stimulus": "condition",
    "rating_score": "score",
    "rating_time": "time",
    "rating_comment": "comment",
}
COLUMNS = list(WEBMUSHRA.values())
REFERENCE, LOW_ANCHOR, MID_ANCHOR = "reference", "anchor35", "anchor70"
HIGH = 90  # a reference below, a mid anchor above: not heard
TOO_OFTEN = 15  # percent of a listener's items
TRANSPARENT = 25  # percent of the listeners who rate an item's mid anchor above HIGH: the item's fault, not theirs
TRAINING = "training"  # begins the name of an item that does not count
SIMULATED = "SIMULATED"  # the test's name of ratings that nobody gave


def read_webmushra(
    path: str | Path | list, names: dict[str, str] | None = None, training: tuple[str, ...] = (TRAINING,)
) -> pd.DataFrame:
    """Ratings in files of webMUSHRA's format, without blank lines, questionnaires and training pages.

    `path` is a file (of one listener, of many, or several joined one after the other), a folder of them, or a list.
    A questionnaire's columns may hold names and addresses and are not kept. `names` renames conditions, for files that
    call reference and anchors otherwise. Items whose name begins with one of `training`, in any case, are left out;
    `table.attrs["training"]` lists them. Raises `PcodecError` naming the file, and the column, line or score.
    """
    if isinstance(path, list):
        files = [Path(file) for file in path]
    else:
        files = sorted(Path(path).glob("*.csv")) if Path(path).is_dir() else [Path(path)]
    if not files:
        raise PcodecError(f"{path}: no .csv file of ratings")
    table = pd.DataFrame([row for file in files for row in _rows(file)], columns=COLUMNS)
    trains = table.item.str.lower().str.startswith(tuple(word.lower() for word in training))
    kept = table[~trains].reset_index(drop=True)
    kept["condition"] = kept.condition.replace(names or {})
    kept.attrs = {"file": ", ".join(map(str, files)), "training": sorted(table.item[trains].unique())}
    return kept


def _rows(file):
    """Ratings in one file, each a dictionary of `COLUMNS`."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            reader = csv.reader(opened)
            header = next(reader, [])
            lines = [(reader.line_num, fields) for fields in reader if any(fields) and fields != header]
    except FileNotFoundError:
        raise PcodecError(f"{file}: no such file") from None
    except UnicodeDecodeError as error:
        raise PcodecError(f"{file}: not in UTF-8, save it so: {error.reason}") from None
    except (OSError, csv.Error) as error:
        raise PcodecError(f"{file}: no table of ratings: {error}") from None
    missing = [name for name in WEBMUSHRA if name not in header and name != "rating_comment"]
    if missing:
        raise PcodecError(
            f"{file}: no column {', '.join(missing)}; separated by commas it has {', '.join(header) or 'none'}"
        )
    ratings = []
    for line, fields in lines:
        if len(fields) < len(header) or any(fields[len(header) :]):
            raise PcodecError(f"{file}: line {line} has {len(fields)} fields, the header {len(header)}")
        given = dict(zip(header, fields, strict=False))
        row = {here: given.get(name, "") for name, here in WEBMUSHRA.items()}
        for name in ("session_uuid", "trial_id", "rating_stimulus"):
            if not given[name]:
                raise PcodecError(f"{file}: line {line}: no {name}")
        score = pd.to_numeric(row["score"], errors="coerce")
        if not 0 <= score <= 100:
            raise PcodecError(f"{file}: line {line}: {_rating(row)}: score {row['score']!r} is not in 0..100")
        ratings.append(row | {"score": float(score)})
    return ratings


def validate(table: pd.DataFrame) -> None:
    """Raise `PcodecError` unless `table` holds the ratings of a MUSHRA test.

    That is: scores within 0..100; every listener rated at least two items, each once and with all its conditions; among
    them a hidden reference and an anchor. Other tests with several stimuli on a page are not MUSHRA.
    """
    file = f"{table.attrs['file']}: " if "file" in table.attrs else ""
    missing = [column for column in ("listener", "item", "condition", "score") if column not in table]
    if missing:
        raise PcodecError(f"{file}ratings have no column {', '.join(missing)}")
    if table.empty:
        raise PcodecError(f"{file}no ratings")
    wrong = table[~table.score.between(0, 100)]
    if len(wrong):
        raise PcodecError(f"{file}{_rating(wrong.iloc[0])}: score {wrong.score.iloc[0]} is not in 0..100")
    twice = table[table.duplicated(["listener", "item", "condition"])]
    if len(twice):
        raise PcodecError(f"{file}{_rating(twice.iloc[0])}: rated twice")
    of_item = table.groupby("item").condition.agg(set)
    for item, conditions in of_item.items():
        if REFERENCE not in conditions or not {LOW_ANCHOR, MID_ANCHOR} & conditions:
            raise PcodecError(
                f"{file}item {item}: without a hidden reference ({REFERENCE}) and an anchor ({LOW_ANCHOR}, "
                f"{MID_ANCHOR}) this is no MUSHRA test; its conditions are {', '.join(sorted(conditions))}"
            )
    for (listener, item), rated in table.groupby(["listener", "item"]).condition.agg(set).items():
        if rated != of_item[item]:
            lacking = ", ".join(sorted(of_item[item] - rated))
            raise PcodecError(f"{file}listener {listener}, item {item}: no rating of {lacking}")
    items = table.groupby("listener").item.nunique()
    if items.min() < 2:
        raise PcodecError(f"{file}listener {items.idxmin()} has rated one item only; leave these ratings out")


def screen(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Post-screening of ITU-R BS.1534-3, section 4.1.2: (ratings of the listeners who stay, report on all of them).

    A listener is dropped who rates the hidden reference below 90 in more than 15 % of the items he heard, or the mid
    anchor above 90 in more than 15 % of them; the latter does not count for an item whose mid anchor more than 25 % of
    the listeners rate above 90. Without a mid anchor only the first rule applies. Report: listener, items,
    reference_below, mid_above (numbers of items), kept, reason.
    """
    validate(table)
    below = (table.condition == REFERENCE) & (table.score < HIGH)
    is_mid = table.condition == MID_ANCHOR
    above = is_mid & (table.score > HIGH)
    transparent = 100 * above.groupby(table.item).sum() > TRANSPARENT * is_mid.groupby(table.item).sum()
    above &= ~table.item.map(transparent)
    report = pd.DataFrame(
        {
            "items": table.groupby("listener").item.nunique(),
            "reference_below": below.groupby(table.listener).sum(),
            "mid_above": above.groupby(table.listener).sum(),
        }
    ).reset_index()
    often = {name: 100 * report[name] > TOO_OFTEN * report["items"] for name in ("reference_below", "mid_above")}
    report["kept"] = ~(often["reference_below"] | often["mid_above"])
    said = {"reference_below": f"hidden reference below {HIGH}", "mid_above": f"mid anchor above {HIGH}"}
    report["reason"] = [
        "; ".join(
            f"{said[name]} in {report[name][row]} of {report['items'][row]} items" for name in said if often[name][row]
        )
        for row in report.index
    ]
    staying = report.listener[report.kept]
    return table[table.listener.isin(staying)].reset_index(drop=True), report


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a condition, best first: listeners, items, ratings, mean and std of the ratings; median, q1, q3
    (`quartiles`).

    listener_mean, low, high: mean of the listeners' means and its 95 % interval (Student's t over listeners), which is
    what to plot. ratings_low, ratings_high: the interval if all ratings were independent, narrower than what is known.
    Means of conditions with different items do not compare; `compare` does. Raises `PcodecError` without ratings.
    """
    if table.empty:
        raise PcodecError("no ratings to summarise: no listener has stayed")
    rows = []
    for condition, part in table.groupby("condition"):
        means = part.groupby("listener").score.mean()
        median, q1, q3 = quartiles(part.score)
        rows.append(
            (condition, len(means), part["item"].nunique(), len(part), part.score.mean(), part.score.std(),
             means.mean(), *_interval(means), *_interval(part.score), median, q1, q3)
        )  # fmt: skip
    names = ["condition", "listeners", "items", "ratings", "mean", "std", "listener_mean", "low", "high"]
    names += ["ratings_low", "ratings_high", "median", "q1", "q3"]
    return pd.DataFrame(rows, columns=names).sort_values("mean", ascending=False, ignore_index=True)


def quartiles(values) -> tuple[float, float, float]:
    """Median, first and third quartile of BS.1534-3: medians of the two halves, the middle value in both."""
    ordered = np.sort(np.asarray(values, dtype=float))
    half = (len(ordered) + 1) // 2
    return float(np.median(ordered)), float(np.median(ordered[:half])), float(np.median(ordered[-half:]))


def compare(
    table: pd.DataFrame, pairs: list[tuple[str, str]] | None = None, draws: int = 10_000, seed: int = 1
) -> pd.DataFrame:
    """Differences of conditions, first less second, for `pairs` (default: all), on the trials that have both.

    Columns: listeners, trials; difference, low, high (listeners' means, 95 %, Student's t); wilcoxon, holm, hochberg
    (signed-rank test on listeners' means, and its p adjusted over these pairs); permutation (difference of the medians
    of listeners' means, labels exchanged within listeners, `draws` times); mixed, mixed_low, mixed_high, mixed_p
    (`mixed_difference`). Raises `PcodecError` naming a condition that is not there.
    """
    by_mean = table.groupby("condition").score.mean().sort_values(ascending=False).index
    rng = np.random.default_rng(seed)
    pairs = pairs or list(itertools.combinations(by_mean, 2))
    rows = []
    for first, second in tqdm(pairs, desc="comparing conditions", mininterval=2, disable=None):
        both = _trials(table, first, second)
        means = both.groupby("listener").mean()
        difference = (means[first] - means[second]).round(9)  # what is equal must tie
        mixed, mixed_low, mixed_high, mixed_p = mixed_difference(both[first] - both[second])
        rows.append(
            {
                "first": first,
                "second": second,
                "listeners": len(means),
                "trials": len(both),
                "difference": difference.mean(),
                **dict(zip(("low", "high"), _interval(difference), strict=True)),
                "wilcoxon": scipy.stats.wilcoxon(difference).pvalue if difference.any() else 1.0,
                "permutation": _permutation(means[first].to_numpy(), means[second].to_numpy(), draws, rng),
                "mixed": mixed,
                "mixed_low": mixed_low,
                "mixed_high": mixed_high,
                "mixed_p": mixed_p,
            }
        )
    from statsmodels.stats.multitest import multipletests

    comparisons = pd.DataFrame(rows)
    for name, method in (("holm", "holm"), ("hochberg", "simes-hochberg")):
        comparisons.insert(
            comparisons.columns.get_loc("permutation"), name, multipletests(comparisons.wilcoxon, method=method)[1]
        )
    return comparisons


def mixed_difference(differences: pd.Series) -> tuple[float, float, float, float]:
    """Mean of paired differences, with 95 % interval and p; listener and item are crossed random effects.

    `differences` is indexed by listener and item. That listeners differ in their taste of a condition, and that items
    suit it more or less, widens the interval: the statement is about other listeners and other items. Restricted
    maximum likelihood by statsmodels; Student's t with one degree of freedom less than there are listeners or items,
    whichever are fewer. Raises `PcodecError` if it does not converge.
    """
    import statsmodels.api

    if np.ptp(differences) == 0:
        same = float(differences.iloc[0])
        return same, same, same, float(same == 0)
    effects = {name: differences.index.get_level_values(name) for name in ("listener", "item")}
    columns = [pd.get_dummies(effect).astype(float) for effect in effects.values()]
    components = statsmodels.regression.mixed_linear_model.VCSpec(
        list(effects), [[list(part)] for part in columns], [[part.to_numpy()] for part in columns]
    )
    ones = np.ones(len(differences))
    with warnings.catch_warnings(), threadpool_limits(1):  # small matrices: threads would wait for each other
        warnings.simplefilter("ignore")  # convergence is asked for below
        model = statsmodels.api.MixedLM(differences.to_numpy(), ones[:, None], ones, exog_vc=components)
        result = model.fit(method=["lbfgs", "bfgs", "powell"])
    if not result.converged:
        raise PcodecError("the mixed model of the ratings does not converge")
    mean, error = float(result.fe_params[0]), float(result.bse_fe[0])
    freedom = min(effect.nunique() for effect in effects.values()) - 1
    reach = scipy.stats.t.ppf(0.975, freedom) * error
    return mean, mean - reach, mean + reach, float(2 * scipy.stats.t.sf(abs(mean) / error, freedom))


def friedman(table: pd.DataFrame) -> tuple[float, float]:
    """Friedman's test on the listeners' means over the trials that have all conditions: (chi-squared, p)."""
    means = _trials(table, *table.condition.unique()).groupby("listener").mean().round(9)
    if means.shape[1] < 3 or len(means) < 2:
        raise PcodecError(f"Friedman's test needs 3 conditions and 2 listeners, got {means.shape[1]} and {len(means)}")
    if not np.ptp(means.to_numpy(), axis=1).any():  # nobody told anything apart
        return 0.0, 1.0
    test = scipy.stats.friedmanchisquare(*means.to_numpy().T)
    return float(test.statistic), float(test.pvalue)


def equivalence(table: pd.DataFrame, first: str, second: str, margin: float) -> pd.Series:
    """Are two conditions on a par? Two one-sided t tests on the paired differences of listeners' means.

    That two intervals overlap does not show it; that the 90 % interval of the difference lies within +-`margin` points
    does, at the level of 5 %. Series: difference, low90, high90, margin, p, equivalent, overlap (of the conditions' own
    95 % intervals, the paper's statement).
    """
    if not 0 < margin < 100:
        raise PcodecError(f"the margin must be between 0 and 100 points, got {margin}")
    means = _trials(table, first, second).groupby("listener").mean()
    difference = means[first] - means[second]
    low, high = _interval(difference, 0.90)
    error = difference.std() / np.sqrt(len(difference))
    room = margin - abs(difference.mean())
    p = float(scipy.stats.t.sf(room / error if error else np.inf * np.sign(room), len(difference) - 1))
    own = [_interval(means[name]) for name in (first, second)]
    overlap = max(own[0][0], own[1][0]) <= min(own[0][1], own[1][1])
    return pd.Series(
        {
            "first": first, "second": second, "difference": difference.mean(), "low90": low, "high90": high,
            "margin": float(margin), "p": p, "equivalent": p < 0.05, "overlap": overlap,
        }
    )  # fmt: skip


def simulate(means: dict[str, float], items: list[str], listeners: int = 20, seed: int = 1) -> pd.DataFrame:
    """Ratings that nobody gave, to try the analysis; the column test says `SIMULATED`.

    score = mean of the condition + listener (sd 6) + item (sd 4) + listener's taste of the condition (sd 4) + noise
    (sd 8), rounded and held within 0..100. The hidden reference is found and rated 100 in 9 of 10 trials, 85 to 99
    otherwise.
    """
    rng = np.random.default_rng(seed)
    names = [f"simulated-{number:02d}" for number in range(1, listeners + 1)]
    shape = len(names), len(items), len(means)
    scores = np.array(list(means.values())) + rng.normal(0, 6, (shape[0], 1, 1)) + rng.normal(0, 4, (1, shape[1], 1))
    scores = scores + rng.normal(0, 4, (shape[0], 1, shape[2])) + rng.normal(0, 8, shape)
    of_reference = np.where(rng.random(shape[:2]) < 0.9, 100, rng.integers(85, 100, shape[:2]))
    if REFERENCE in means:
        scores[:, :, list(means).index(REFERENCE)] = of_reference
    index = pd.MultiIndex.from_product([names, items, list(means)], names=["listener", "item", "condition"])
    table = pd.Series(np.clip(np.round(scores), 0, 100).ravel(), index, name="score").reset_index()
    return table.assign(test=SIMULATED, time="", comment="")[COLUMNS]


def _trials(table, *conditions):
    """Scores of the trials that have all `conditions`: (trials, conditions), indexed by listener and item."""
    there = table.condition.unique()
    for name in conditions:
        if name not in there:
            raise PcodecError(f"no condition {name!r}; there are {', '.join(there)}")
    if len(set(conditions)) < len(conditions):
        raise PcodecError(f"nothing to compare: {' and '.join(conditions)}")
    wide = table.pivot_table(index=["listener", "item"], columns="condition", values="score", aggfunc="mean")
    both = wide[list(conditions)].dropna()
    if both.empty:
        raise PcodecError(f"no listener has rated an item with all of {', '.join(conditions)}")
    return both


def _interval(values, level=0.95):
    """Student's interval of a mean."""
    if len(values) < 2:
        raise PcodecError(f"an interval over {len(values)} listener cannot be had")
    reach = scipy.stats.t.ppf(0.5 + level / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def _permutation(first, second, draws, rng):
    observed = abs(np.median(first) - np.median(second))
    exchanged = rng.random((draws, len(first))) < 0.5
    a, b = np.where(exchanged, second, first), np.where(exchanged, first, second)
    drawn = np.abs(np.median(a, axis=1) - np.median(b, axis=1))
    return (1 + np.sum(drawn >= observed - 1e-9)) / (1 + draws)


def _rating(row):
    return f"listener {row['listener']}, item {row['item']}, {row['condition']}"

"""Screening, quartiles and intervals of MUSHRA ratings: on real ratings, on planted ones, and refused ones."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pcodec import PcodecError
from pcodec.evaluation import mushra

HEADER = "session_test_id,email,session_uuid,trial_id,rating_stimulus,rating_score,rating_time,rating_comment\n"


@pytest.fixture(scope="module")
def real(librispeech):
    """1512 ratings of neural codecs (Stahl et al. 2024), beside LibriSpeech."""
    path = librispeech.parent / "mushra" / "mushra.csv"
    if not path.exists():
        pytest.skip(f"the ratings are not at {path}")
    return mushra.read_webmushra(path)


@pytest.fixture
def panel():
    means = {"reference": 100, "anchor35": 20, "anchor70": 50, "small": 60, "large": 68}
    return mushra.simulate(means, [f"item {i}" for i in range(12)], listeners=20, seed=3)


def trials(reference, mid, listener="a", conditions=("reference", "anchor70")):
    """Ratings of one listener: scores of the hidden reference and of the mid anchor, item by item."""
    rows = [
        (listener, f"item {item}", condition, float(score))
        for item, scores in enumerate(zip(reference, mid, strict=True))
        for condition, score in zip(conditions, scores, strict=True)
    ]
    return pd.DataFrame(rows, columns=["listener", "item", "condition", "score"])


def test_real_ratings_are_screened_as_their_authors_did(real):
    kept, report = mushra.screen(real)
    assert report.listener[~report.kept].tolist() == ["listener-06", "listener-17"]
    assert len(kept) == 1368 and kept.listener.nunique() == 19
    assert report.reason[5] == "hidden reference below 90 in 5 of 8 items"


def test_summary_of_real_ratings_agrees_with_pandas_and_scipy(real):
    kept, _ = mushra.screen(real)
    table = mushra.summary(kept).set_index("condition")
    assert len(table) == 9
    for condition, part in kept.groupby("condition"):
        row = table.loc[condition]
        means = part.groupby("listener").score.mean()
        low, high = scipy.stats.t.interval(0.95, len(means) - 1, means.mean(), scipy.stats.sem(means))
        ordered = sorted(part.score)  # 152 ratings: quartiles are medians of 76 each
        expected = [part.score.mean(), part.score.median(), (ordered[37] + ordered[38]) / 2,
                    (ordered[113] + ordered[114]) / 2, means.mean(), low, high]  # fmt: skip
        found = row[["mean", "median", "q1", "q3", "listener_mean", "low", "high"]].astype(float)
        np.testing.assert_allclose(found, expected, atol=1e-9)
        assert row.ratings_high - row.ratings_low < high - low


def test_golden_summary_of_real_ratings(real):
    table = mushra.summary(mushra.screen(real)[0]).set_index("condition")
    assert table["mean"].round(2).to_dict() == {
        "reference": 99.07, "AudioDec": 66.71, "Proposed 5.51": 60.44, "Proposed 1.38": 54.28,
        "Proposed 5.51 16kHz": 48.64, "Proposed 1.38 16kHz": 47.30, "Lyra 6": 45.55, "Lyra 3": 29.64, "anchor35": 19.42,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5], (3, 2, 4)),
        ([1, 2, 3, 4], (2.5, 1.5, 3.5)),
        ([7, 1, 3, 5, 9, 11, 13], (7, 4, 10)),
        ([5], (5,) * 3),
    ],
)
def test_quartiles_are_medians_of_halves_with_the_middle_in_both(values, expected):
    assert mushra.quartiles(values) == expected


@pytest.mark.parametrize(
    ("below", "items", "dropped"),
    [(3, 20, False), (4, 20, True), (1, 6, True), (1, 7, False), (1, 8, False), (2, 8, True), (6, 40, False)],
)
def test_screening_is_strict_at_15_percent(below, items, dropped):
    ratings = trials([89] * below + [90] * (items - below), [40] * items)
    _, report = mushra.screen(ratings)
    assert report.kept.tolist() == [not dropped]


def test_mid_anchor_rule_and_its_waiver():
    good = [trials([100] * 8, [40] * 8, listener) for listener in "bcd"]
    sloppy = trials([100] * 8, [95, 95] + [40] * 6)
    assert mushra.screen(pd.concat([sloppy, *good]))[1].kept.tolist() == [False, True, True, True]  # 25 %: not waived
    lenient = [trials([100] * 8, [95] + [40] * 7, listener) for listener in "b"]
    _, report = mushra.screen(pd.concat([sloppy, *lenient, *good[1:]]))  # item 0: half of the listeners
    assert report.mid_above.tolist() == [1, 0, 0, 0] and report.kept.all()
    at_limit = trials([100] * 8, [90] * 8)
    assert mushra.screen(pd.concat([at_limit, *good]))[1].kept.all()


def test_planted_difference_is_found_and_its_absence_too(panel):
    table = mushra.compare(panel, [("large", "small"), ("reference", "anchor35")]).set_index(["first", "second"])
    planted = table.loc["large", "small"]
    assert planted.low < 8 < planted.high and planted.mixed_low < 8 < planted.mixed_high
    assert planted.difference == pytest.approx(planted.mixed, abs=0.01)  # every listener has rated everything
    assert planted.mixed_high - planted.mixed_low > 0.9 * (planted.high - planted.low)  # tastes are not noise to it
    assert max(planted[["wilcoxon", "holm", "hochberg", "permutation", "mixed_p"]]) < 0.01
    assert mushra.friedman(panel)[1] < 1e-6
    same = panel.assign(score=panel.score.where(panel.condition != "large", panel.score.shift()))  # large = small
    row = mushra.compare(same, [("large", "small")]).iloc[0]
    assert row.difference == 0 and row.wilcoxon == row.permutation == 1


def test_no_difference_is_found_in_one_test_of_twenty():
    p = []
    for seed in range(15):
        means = {"reference": 100, "anchor35": 20, "a": 60, "b": 60}
        ratings = mushra.simulate(means, ["x", "y", "z"], listeners=12, seed=seed)
        p.append(mushra.compare(ratings, [("a", "b")], draws=500)[["wilcoxon", "permutation", "mixed_p"]].iloc[0])
    assert ((pd.DataFrame(p) < 0.05).sum() <= 4).all()  # P(more than 4 of 15 at 5 %) = 0.0006


def test_conditions_are_compared_on_the_trials_that_have_both():
    panel = mushra.simulate({"reference": 100, "anchor35": 20, "a": 60, "b": 60}, list("uvwxyz"), listeners=12, seed=2)
    hard = panel["item"].isin(["x", "y", "z"])
    panel.loc[hard & (panel.condition != "reference"), "score"] -= 20
    whole = mushra.compare(panel, [("a", "b")]).iloc[0]
    part = mushra.compare(panel[~hard | (panel.condition != "a")], [("a", "b")]).iloc[0]  # a: rated on easy items only
    assert part.trials == 36 and part.difference == pytest.approx(part.mixed, abs=0.01)
    assert abs(whole.difference) < 3 and abs(part.difference) < 5
    assert mushra.summary(panel[~hard | (panel.condition != "a")]).set_index("condition")["items"]["a"] == 3
    nothing_shared = panel[(panel.condition == "a") != hard]
    with pytest.raises(PcodecError, match="no listener has rated an item with all of a, b"):
        mushra.compare(nothing_shared, [("a", "b")])


def test_equal_differences_tie(panel):
    """20.1 - 20 and 10.1 - 10 are not the same in floating point."""
    rows = [(f"l{i}", item, "a" if swap else "b", base + 0.1 * swap)
            for i, base in enumerate((10, 20, 30, 40, 50, 60)) for item in "xy" for swap in (0, 1)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["listener", "item", "condition", "score"])
    row = mushra.compare(table, [("a", "b")]).iloc[0]
    assert row.wilcoxon == scipy.stats.wilcoxon([0.1] * 6).pvalue
    same = pd.concat([table.assign(condition=name, score=50.0) for name in "abc"]).drop_duplicates()
    assert mushra.friedman(same) == (0.0, 1.0)


def test_adjusted_p_values(panel):
    table = mushra.compare(panel)
    assert len(table) == 10 and (table.holm >= table.wilcoxon).all() and (table.hochberg <= table.holm + 1e-12).all()
    smallest = table.wilcoxon.idxmin()
    assert table.holm[smallest] == pytest.approx(10 * table.wilcoxon[smallest])


def test_equivalence(panel):
    wide, narrow = (mushra.equivalence(panel, "large", "small", margin) for margin in (15, 2))
    assert wide.equivalent and not narrow.equivalent and wide.low90 < 8 < wide.high90
    copied = pd.concat([panel, panel[panel.condition == "small"].assign(condition="copy")])
    assert mushra.equivalence(copied, "copy", "small", 1).equivalent
    apart = mushra.equivalence(panel, "reference", "anchor35", 5)
    assert not apart.overlap and apart.p > 0.99


def test_reading_drops_blank_lines_questionnaires_and_training(tmp_path):
    path = tmp_path / "ratings.csv"
    rows = [
        f"t,someone@example.org,u1,{item},{condition},{score},1200,\n"
        for item in ("training_1", "speech, long", "b")
        for condition, score in (("reference", 100), ("lp35", 12.5), ("codec", 70))
    ]
    rows = [row.replace("speech, long", '"speech, long"') for row in rows]
    path.write_text("\ufeff" + HEADER + "\n".join(rows) + "\n,,,,,,,\n\n", encoding="utf-8")
    table = mushra.read_webmushra(path, names={"lp35": "anchor35"})
    assert table.columns.tolist() == mushra.COLUMNS and "example" not in table.to_csv()
    assert sorted(set(table["item"])) == ["b", "speech, long"] and table.attrs["training"] == ["training_1"]
    assert table.score.tolist() == [100, 12.5, 70] * 2
    mushra.validate(table)
    with pytest.raises(PcodecError, match=r"ratings\.csv: item b: without a hidden reference .* this is no MUSHRA"):
        mushra.validate(mushra.read_webmushra(path))


@pytest.mark.parametrize("score", ["101", "-1", "good", ""])
def test_impossible_scores_are_named(tmp_path, score):
    path = tmp_path / "ratings.csv"
    path.write_text(HEADER + f"t,,u1,a,reference,100,1,\nt,,u1,a,codec,{score},1,\n")
    with pytest.raises(
        PcodecError, match=rf"ratings\.csv: line 3: listener u1, item a, codec: score '{score}' is not in 0\.\.100"
    ):
        mushra.read_webmushra(path)


def test_files_that_are_no_ratings_are_refused(tmp_path):
    path = tmp_path / "other.csv"
    with pytest.raises(PcodecError, match="no such file"):
        mushra.read_webmushra(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(PcodecError, match=r"other\.csv: no column session_test_id, session_uuid"):
        mushra.read_webmushra(path)
    path.write_text(HEADER.replace(",", ";"))
    with pytest.raises(PcodecError, match="separated by commas it has session_test_id;email"):
        mushra.read_webmushra(path)
    path.write_bytes(b"")
    with pytest.raises(PcodecError, match=r"other\.csv: no column .* it has none"):
        mushra.read_webmushra(path)
    path.write_bytes((HEADER + "t,,J\xfcrgen,a,reference,100,1,\n").encode("latin-1"))  # not another listener's name
    with pytest.raises(PcodecError, match=r"other\.csv: not in UTF-8"):
        mushra.read_webmushra(path)
    path.write_text(HEADER + "t,,u1,a,reference,100,1,\nt,,u1,a,cod")
    with pytest.raises(PcodecError, match=r"other\.csv: line 3 has 5 fields, the header 8"):
        mushra.read_webmushra(path)
    path.write_text(HEADER + "t,,,a,reference,100,1,\n")
    with pytest.raises(PcodecError, match=r"other\.csv: line 2: no session_uuid"):
        mushra.read_webmushra(path)


def test_files_of_many_listeners(tmp_path):
    with pytest.raises(PcodecError, match=r"no \.csv file"):
        mushra.read_webmushra(tmp_path)
    texts = [HEADER + f"t,,{listener},a,reference,100,1,\nt,,{listener},a,codec,50,1,\n" for listener in "xy"]
    for name, text in zip("xy", texts, strict=True):
        (tmp_path / f"{name}.csv").write_text(text)
    table = mushra.read_webmushra(tmp_path)
    assert table.listener.tolist() == ["x", "x", "y", "y"]
    joined = tmp_path / "joined"
    joined.write_text("".join(texts))
    pd.testing.assert_frame_equal(mushra.read_webmushra(joined), table)
    pd.testing.assert_frame_equal(mushra.read_webmushra([tmp_path / "x.csv", tmp_path / "y.csv"]), table)


def test_incomplete_tables_are_refused(panel):
    mushra.validate(panel)
    twice = pd.concat([panel, panel.iloc[[7]]])
    with pytest.raises(PcodecError, match="listener simulated-01, item item 1, anchor70: rated twice"):
        mushra.validate(twice)
    with pytest.raises(PcodecError, match="listener simulated-01, item item 1: no rating of anchor70"):
        mushra.validate(panel.drop(index=7))
    with pytest.raises(PcodecError, match="no MUSHRA test; its conditions are anchor35, anchor70, large, small"):
        mushra.validate(panel[panel.condition != "reference"])
    with pytest.raises(PcodecError, match="no MUSHRA test; its conditions are large, reference, small"):
        mushra.validate(panel[~panel.condition.str.startswith("anchor")])
    single = panel[(panel.listener != "simulated-05") | (panel["item"] == "item 3")]
    with pytest.raises(PcodecError, match="listener simulated-05 has rated one item only"):
        mushra.screen(single)
    with pytest.raises(PcodecError, match="no condition 'huge'"):
        mushra.compare(panel, [("huge", "small")])
    with pytest.raises(PcodecError, match="nothing to compare: small and small"):
        mushra.compare(panel, [("small", "small")])
    for margin in (0, np.nan):
        with pytest.raises(PcodecError, match="margin must be between 0 and 100"):
            mushra.equivalence(panel, "large", "small", margin)
    with pytest.raises(PcodecError, match="no condition 'huge'"):
        mushra.equivalence(panel, "huge", "small", 5)
    with pytest.raises(PcodecError, match="no listener has stayed"):
        mushra.summary(panel[:0])


def test_simulated_ratings_say_so_and_repeat(panel):
    again = mushra.simulate({"reference": 100, "a": 50}, ["x", "y"], 3, seed=1)
    assert set(panel.test) == {"SIMULATED"}
    pd.testing.assert_frame_equal(again, mushra.simulate({"reference": 100, "a": 50}, ["x", "y"], 3, seed=1))
    assert again.score.between(0, 100).all()

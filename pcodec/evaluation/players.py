"""A page to listen and compare: the same utterances through several systems.

Task: the paper's comparison for ears, as one HTML file beside its audio files, without a server. Not a listening test:
names are shown.

Conventions: files are named relative to the page. Keys 1, 2, ... switch the system while an utterance plays, at the
same place. Notebook 08_synthesis.

Contents: `gather`, `write_page`.
"""

import html
import shutil
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from pcodec import PcodecError, paths

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
  body {{ font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }}
  table {{ border-collapse: collapse; width: 100%; }}
  th, td {{ padding: .4rem .6rem; text-align: left; border-bottom: 1px solid #8884; vertical-align: middle; }}
  audio {{ width: 100%; min-width: 11rem; }}
  td.playing {{ background: #f9a82555; }}
  kbd {{ border: 1px solid #8888; border-radius: .2rem; padding: 0 .35rem; }}
</style>
<h1>{title}</h1>
{notes}
<p>While an utterance plays, {keys} switch to another system at the same place.</p>
<table>
<thead><tr><th>utterance</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
<script>
const players = [...document.querySelectorAll("audio")];
const state = document.body.dataset;
state.players = players.length;
state.loaded = state.failed = 0;
let last = null;
for (const player of players) {{
  player.addEventListener("loadedmetadata", () => state.loaded++);
  player.addEventListener("error", () => state.failed++);
  player.addEventListener("play", () => {{
    players.filter(other => other !== player).forEach(other => other.pause());
    document.querySelectorAll("td.playing").forEach(cell => cell.classList.remove("playing"));
    player.closest("td").classList.add("playing");
    last = player;
  }});
  player.preload = "metadata";
  player.src = player.dataset.src;
}}
document.addEventListener("keydown", event => {{
  if (!last || event.ctrlKey || event.altKey || event.metaKey) return;
  const next = last.closest("tr").querySelectorAll("audio")[Number(event.key) - 1];
  if (!next || next === last) return;
  next.currentTime = last.currentTime;
  if (!last.paused) next.play();
}});
</script>
</html>
"""


def gather(page: str | Path, decoded: pd.DataFrame, folder: Path, systems: dict[str, str | None]) -> pd.DataFrame:
    """Copy the audio that a page plays into a folder "listen" beside it; the table that `write_page` takes.

    `decoded`: utterance, speaker, system, reference and decoded (files relative to `folder`). `systems`: the name to
    show -> the system, None for the reference.
    """
    page, rows = Path(page), []
    for utterance, part in decoded.groupby("utterance", sort=False):
        shown = f"speaker {part.speaker.iloc[0]} · {utterance.split('/')[-1]}"
        for name, system in systems.items():
            file = part.decoded[part.system == system].iloc[0] if system else part.reference.iloc[0]
            target = page.parent / "listen" / Path(file).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, target)
            rows.append((shown, name, f"listen/{target.name}"))
    return pd.DataFrame(rows, columns=["utterance", "system", "file"])


def write_page(path: str | Path, title: str, notes: list[str], table: pd.DataFrame) -> None:
    """Write the page. `table`: utterance (a text to show), system, file (relative to the page); both in order.

    Raises `PcodecError` when an utterance lacks a system, or a file is not there.
    """
    path = Path(path)
    systems = list(table.system.unique())
    rows = []
    for utterance, part in table.groupby("utterance", sort=False):
        files = part.set_index("system").file
        if list(files.index) != systems:
            raise PcodecError(f"utterance {utterance}: has {', '.join(files.index)}, not {', '.join(systems)}")
        for file in files:
            if not (path.parent / file).is_file():
                raise PcodecError(f"{path.parent / file}: no such file")
        cells = [
            f'<td><audio controls preload="none" data-src="{quote(file)}" '
            f'aria-label="{html.escape(f"{system}, {utterance}")}"></audio></td>'
            for system, file in files.items()
        ]
        rows.append(f"<tr><th>{html.escape(utterance)}</th>{''.join(cells)}</tr>")
    keys = ", ".join(f"<kbd>{number}</kbd> {html.escape(name)}" for number, name in enumerate(systems, 1))
    text = PAGE.format(
        title=html.escape(title),
        notes="\n".join(f"<p>{html.escape(note)}</p>" for note in notes),
        keys=keys,
        heads="".join(f"<th>{html.escape(system)}</th>" for system in systems),
        rows="\n".join(rows),
    )
    with paths.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

"""How drift and quality went over the runs whose records lie beside this run's."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from components import page
from components.artifacts import Drift, Figure
from components.charts import Line, line_chart
from components.errors import DataError
from components.summarize.records import Records

PAGE = "trend.html"
_MOST_RUNS = 50
_TILES = 2
_SHARES = {
    "data.drift_share": "current data",
    "prompt.drift_share": "users' requests",
    "output.drift_share": "generated data",
    "reference.drift_share": "training data",
}


_Series = tuple[str, Sequence[float | None]]


@dataclasses.dataclass(frozen=True)
class _Run:
    name: str
    drift: dict[str, float]
    quality: dict[str, Figure]


def write_trend(records: Path, headlines: Sequence[str]) -> None:
    """Writes `trend.html` into a run's records, where an earlier run can be compared with it.

    Args:
        records: the run's folder of records; earlier runs have theirs beside it.
        headlines: names of the evaluation's figures that are followed, the most telling first.
    """
    runs = _runs(records, headlines)
    if len(runs) < 2 or runs[-1].name != records.name:
        return
    (records / PAGE).write_text(_render(runs, headlines), "utf-8")


def _runs(records: Path, headlines: Sequence[str]) -> list[_Run]:
    """This run and those before it that came as far as the drift report, oldest first."""
    found = []
    for folder in sorted(records.parent.iterdir()):
        if folder.name > records.name or not Drift(folder).json_path.is_file():
            continue
        try:
            figures = Drift(folder).figures()
            measured = Records(folder).evaluation().figures()
        except (DataError, KeyError, TypeError):
            continue  # What another program left there is none of ours.
        drift = {name: figures[name].value for name in _SHARES if name in figures}
        quality = {name: measured[name] for name in headlines if name in measured}
        found.append(_Run(folder.name, drift, quality))
    return found[-_MOST_RUNS:]


def _render(runs: Sequence[_Run], headlines: Sequence[str]) -> str:
    now, before = runs[-1], runs[:-1]
    shares = [name for name in _SHARES if name in now.drift]
    followed = [name for name in headlines if name in now.quality]
    labels = {name: now.quality[name].label or name for name in followed}
    tiles = [
        page.Tile(
            f"{_SHARES[name].capitalize()}: measures that moved",
            f"{100 * now.drift[name]:.0f}%",
            detail=_usual([run.drift[name] for run in before if name in run.drift], percent=True),
        )
        for name in shares
    ]
    for name in followed[:_TILES]:
        usual = [run.quality[name].value for run in before if name in run.quality]
        value = page.number(now.quality[name].value, 3)
        tiles.append(page.Tile(labels[name], value, detail=_usual(usual, percent=False)))
    drift = [(_SHARES[name], [run.drift.get(name) for run in runs]) for name in shares]
    quality = [
        (labels[name], [run.quality[name].value if name in run.quality else None for run in runs])
        for name in followed
    ]
    sections = [
        page.Section("", [page.tiles(tiles)]),
        page.Section("Drift", [_chart(drift)], "The share of measures that moved."),
        *[page.Section(title, [_chart([("", values)])]) for title, values in quality[:_TILES]],
        page.Section("Run by run", [_table(runs, drift, quality)]),
    ]
    facts: dict[str, page.Cell] = {"runs": len(runs), "first": runs[0].name, "newest": now.name}
    lead = _lead(runs[-2], now, shares, followed[:_TILES])
    return page.render(f"Trend over {len(runs)} runs", lead, sections, facts=facts)


def _lead(before: _Run, now: _Run, shares: Sequence[str], followed: Sequence[str]) -> str:
    """What became different since the run before; how, and by how much."""
    told = []
    for name in followed:
        figure, earlier = now.quality[name], before.quality.get(name)
        wanted = f" ({figure.better} is better)" if figure.better else ""
        if earlier is not None:
            change = _change(earlier.value, figure.value, lambda value: page.number(value, 3))
            told.append(f"{figure.label or name}{wanted} {change}")
    for name in shares:
        if name in before.drift:
            change = _change(before.drift[name], now.drift[name], _percent)
            told.append(f"measures of the {_SHARES[name]} that moved {change}")
    if not told:
        return f"The run before, {before.name}, measured nothing that this one did."
    return f"Since the run before, {before.name}: {'; '.join(told)}."


def _change(before: float, now: float, shown: Callable[[float], str]) -> str:
    if shown(before) == shown(now):
        return f"stayed at {shown(now)}"
    return f"{'rose' if now > before else 'fell'} from {shown(before)} to {shown(now)}"


def _usual(values: Sequence[float], *, percent: bool) -> str:
    if not values:
        return "measured for the first time"
    middle = statistics.median(values)
    shown = f"{100 * middle:.0f}%" if percent else page.number(middle, 3)
    return f"median of {len(values)} before: {shown}"


def _chart(series: Sequence[_Series]) -> page.Markup:
    lines = [
        Line(label, [(float(x), y) for x, y in enumerate(values, 1) if y is not None], dots=True)
        for label, values in series
    ]
    return line_chart(lines, x_label="run", whole_x=True)


def _table(
    runs: Sequence[_Run], drift: Sequence[_Series], quality: Sequence[_Series]
) -> page.Markup:
    headers = ["", "run", *(f"drift, {label}" for label, _ in drift), *(one for one, _ in quality)]
    name = page.Markup('<span class="nowrap">{}</span>')
    rows: list[list[page.Cell]] = [
        [
            place + 1,
            name.format(runs[place].name),
            *(_percent(values[place]) for _, values in drift),
            *(values[place] for _, values in quality),
        ]
        for place in reversed(range(len(runs)))
    ]
    return page.table(headers, rows, digits=3)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}%"

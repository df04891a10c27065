"""The evaluation of tables as a page for people: how alike, where not, what it is good for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components import page as html
from components.artifacts import Figure
from components.evaluate.table.conditions import Asked
from components.evaluate.table.fidelity import correlations
from components.evaluate.table.frames import Frame, is_number
from components.evaluate.table.measure import Frames, Likeness, Taught
from components.evaluate.table.options import EvaluateTableOptions
from components.guards.checking import Tally
from components.guards.checking import section as guards_section
from components.table_schema import NUMERICAL

if TYPE_CHECKING:
    import pyarrow as pa

_WORST = 4
_ROWS = 12
_CATEGORIES = 8


@dataclasses.dataclass(frozen=True)
class Story:
    """All that the page tells."""

    figures: Mapping[str, Figure]
    content: Mapping[str, Any]
    frames: Frames
    likeness: Likeness
    taught: Taught
    violations: Mapping[str, npt.NDArray[np.bool_]]
    asked: Sequence[Asked]
    made: pa.Table
    guarded: Sequence[Tally]
    card: Mapping[str, Any]
    problem: str
    options: EvaluateTableOptions


def page(story: Story) -> str:
    """Renders the page."""
    sections = [
        html.Section("", [_tiles(story)]),
        _ladder(story),
        *_champion(story),
        _columns(story),
        _pairs(story),
        _use(story),
        _variety(story),
        _privacy(story),
        *_constraints(story),
        *guards_section(story.guarded, "generated rows"),
        *_conditions(story),
        _samples(story),
        *_training(story),
        _method(story),
    ]
    return html.render(
        "Evaluation of the table model",
        verdict(story.figures),
        sections,
        facts={
            "generated rows": len(story.frames.made),
            "held-out rows": len(story.frames.held_out),
            "columns": len(story.frames.made.columns),
            "family": str(story.card.get("family", "")) or None,
            "model": html.code(str(story.content["model_digest"])[:12]),
            "held-out data": html.code(str(story.content["eval_digest"])[:12]),
        },
        footer="Judged through the exported SavedModel only: what is judged is what is served.",
    )


def verdict(figures: Mapping[str, Figure]) -> str:
    """The result in a sentence."""
    ours = figures["quality"]
    floor, baseline = (figures[f"{name}.quality"].value for name in ("floor", "baseline"))
    where = (
        f"{(ours.value - baseline) / max(floor - baseline, 1e-9):.0%} of the way from independent "
        f"columns ({html.number(baseline, 3)}) to training rows ({html.number(floor, 3)})"
        if ours.value > baseline
        else f"no better than independent columns ({html.number(baseline, 3)})"
    )
    told = (
        f"Quality {html.number(ours.value, 3)} (95%: {html.interval(ours.low, ours.high, 3)}), "
        f"{where}."
    )
    if "tstr_ratio" in figures:
        told += (
            f" A model taught on generated rows has {figures['tstr_ratio'].value:.0%} of the skill "
            "that real rows teach."
        )
    broken = figures["constraint_violations"].value
    return told + (f" {broken:.1%} of the rows break a constraint." if broken else "")


def _tiles(story: Story) -> html.Markup:
    short = {
        "quality": "Quality",
        "column_shapes": "Column shapes",
        "pair_trends": "Pair trends",
        "tstr_ratio": "Skill taught, over real rows'",
        "discriminator_auc": "Told from real rows (AUC)",
        "closest_record": "Nearer to training than held-out",
    }
    return html.tiles(
        html.figure_tile(dataclasses.replace(story.figures[name], label=label), digits=3)
        for name, label in short.items()
        if name in story.figures
    )


def _ladder(story: Story) -> html.Section:
    charts = []
    champion = (story.content.get("champion") or {}).get("figures", {})
    for name, title in (
        ("quality", "Quality"), ("column_shapes", "Column shapes"), ("pair_trends", "Pair trends"),
    ):  # fmt: skip
        rows = [("this model", story.figures[name])]
        if name in champion:
            rows.append(("the version now served", Figure(**champion[name])))
        rows += [
            ("floor: training rows", story.figures[f"floor.{name}"]),
            ("baseline: independent columns", story.figures[f"baseline.{name}"]),
        ]
        bars = [
            html.Bar(label, each.value, each.low, each.high, main=label == "this model")
            for label, each in rows
        ]
        charts.append(html.bar_chart(bars, title=title, digits=3))
    return html.Section(
        "How alike",
        charts,
        note="1 is no difference. Training rows against held-out ones are the best to hope for; "
        "independent columns have every shape and no trend.",
    )


def _columns(story: Story) -> html.Section:
    columns, shapes = story.frames.made.columns, story.likeness.ours.shapes
    order = np.argsort(shapes)
    bars = [html.Bar(columns[place].name, float(shapes[place])) for place in order]
    worst = [_beside(story, int(place)) for place in order[:_WORST]]
    return html.Section(
        "Column by column",
        [html.bar_chart(bars, digits=3), html.columns(*worst)],
        note="The columns that differ most come first, and are drawn below.",
    )


def _beside(story: Story, place: int) -> html.Markup:
    """Generated and held-out shares of a column, in bins or by category."""
    made, real = story.frames.made, story.frames.held_out
    column = made.columns[place]
    if column.kind == NUMERICAL:
        before, after = (side.values[:, place].tolist() for side in (real, made))
        return html.histogram_of(column.name, before, after, names=("held out", "generated"))
    size = real.sizes[place]
    shares = [np.bincount(f.cells[:, place], minlength=size) / len(f) for f in (made, real)]
    names = _cell_names(story, place, size)
    order = (np.arange(size) if is_number(column) else np.argsort(-shares[1], kind="stable"))[
        : size if is_number(column) else _CATEGORIES
    ]
    rows = [
        [names[code], 100 * float(shares[0][code]), 100 * float(shares[1][code])]
        for code in order
        if shares[0][code] or shares[1][code]
    ]
    return html.table([column.name, "generated, %", "held out, %"], rows, digits=1)


def _cell_names(story: Story, place: int, size: int) -> list[str]:
    column = story.frames.made.columns[place]
    if not is_number(column):
        texts = _category_names(story.frames, place, size)
        return [*texts[: size - 2], "(not in training)", "(missing)"]
    values = story.frames.training.values[:, place]
    present = values[~np.isnan(values)]
    edges = np.histogram_bin_edges(present if len(present) else np.zeros(1), size - 2)
    shown = [_shown(edge, column.kind == "datetime") for edge in edges]
    named = [f"{low} to {high}" for low, high in itertools.pairwise(shown)]
    return [*named, "", "(missing)"]


def _category_names(frames: Frames, place: int, size: int) -> list[str]:
    names = frames.names[place]
    return list(names) if names else [str(code) for code in range(size)]


def _shown(value: float, date: bool) -> str:
    if not date:
        return f"{value:,.4g}"
    import datetime as dt

    return (dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=float(value))).strftime(
        "%Y-%m-%d"
    )


def _pairs(story: Story) -> html.Section:
    names = [column.name for column in story.frames.made.columns]
    trends = story.likeness.ours.trends
    pairs = [
        (float(trends[one, two]), names[one], names[two])
        for one in range(len(names))
        for two in range(one)
        if not np.isnan(trends[one, two])
    ]
    worst: list[list[html.Cell]] = [
        [f"{one} and {two}", value] for value, one, two in sorted(pairs)[:8]
    ]
    numeric = [p for p, column in enumerate(story.frames.made.columns) if is_number(column)]
    blocks: list[html.Block] = []
    if len(numeric) > 1:
        shown = [names[place] for place in numeric]
        sides = [_among(side, numeric) for side in (story.frames.held_out, story.frames.made)]
        blocks.append(
            html.columns(
                _heat("Correlations of held-out rows", shown, sides[0]),
                _heat("Correlations of generated rows", shown, sides[1]),
            )
        )
        blocks.append(_heat("Generated minus held-out", shown, sides[1] - sides[0]))
    blocks.append(html.table(["pairs that differ most", "similarity"], worst, digits=3))
    return html.Section("Pair by pair", blocks)


def _among(frame: Frame, places: list[int]) -> npt.NDArray[np.float64]:
    return correlations(frame.values[:, places])


def _heat(title: str, names: list[str], values: npt.NDArray[np.float64]) -> html.Markup:
    """A square of correlations: the deeper the colour, the stronger; the sign is in the text."""
    cell = html.Markup(
        '<td style="padding:2px 4px;text-align:right;background:color-mix(in srgb, {} {:.0f}%, '
        'transparent)">{}</td>'
    )
    lines = []
    for name, row in zip(names, values, strict=True):
        drawn = html.Markup("").join(
            cell.format(
                html.Markup("var(--accent)" if value >= 0 else "var(--second)"),
                0.0 if np.isnan(value) else 70 * abs(value),
                "–" if np.isnan(value) else html.number(float(value), 1),
            )
            for value in row
        )
        lines.append(html.Markup("<tr><th>{}</th>{}</tr>").format(name, drawn))
    return html.Markup(
        '<div class="scroll"><table><caption>{}</caption><tbody>{}</tbody></table></div>'
    ).format(title, html.Markup("").join(lines))


def _use(story: Story) -> html.Section:
    blocks: list[html.Block] = []
    found, naive = story.taught.utility, story.figures.get("baseline.tstr")
    if found is not None:
        bars = [
            html.Bar(label, score.value, score.low, score.high, main=main)
            for label, score, main in (
                ("trained on generated rows", found.synthetic, True),
                ("trained on real rows", found.real, False),
                ("trained on independent columns", naive, False),
            )
            if score is not None
        ]
        title = f"{found.measure} on {found.target} of held-out rows; more is better"
        blocks.append(html.bar_chart(bars, title=title, digits=3))
    else:
        blocks.append("No column could be predicted from the others, even from real rows.")
    told = [
        html.Bar(label, each.value, each.low, each.high, main=not prefix)
        for prefix, label in (
            ("", "generated rows"),
            ("floor.", "training rows"),
            ("baseline.", "independent columns"),
        )
        if (each := story.figures.get(f"{prefix}discriminator_auc"))
    ]
    title = "How well trees tell rows from held-out ones (ROC AUC); 0.5 is a coin, 1 every time"
    blocks.append(html.bar_chart(told, title=title, digits=3))
    return html.Section("What the rows are good for", blocks)


def _variety(story: Story) -> html.Section:
    bars = [
        html.Bar(label, each.value, each.low, each.high, main=not prefix)
        for prefix, label in (("", "generated rows"), ("floor.", "training rows"))
        if (each := story.figures[f"{prefix}coverage"])
    ]
    return html.Section(
        "Variety",
        [html.bar_chart(bars, digits=3)],
        note="How many of the values, and pairs of values, that held-out rows have occur at all, "
        "numbers by the tenth of their range. A model that collapses loses the rare ones first.",
    )


def _privacy(story: Story) -> html.Section:
    near, same = story.figures["closest_record"], story.figures["repeated_rows"]
    usual = story.figures["floor.repeated_rows"]
    bars = [
        html.Bar(label, each.value, each.low, each.high, main=each is near)
        for label, each in (
            ("generated rows", near),
            ("held-out rows", story.figures["floor.closest_record"]),
        )
    ]
    return html.Section(
        "Privacy",
        [
            html.bar_chart(
                bars,
                digits=3,
                marks=[html.Mark("chance", 0.5)],
                title="Rows nearer to a training row than to a held-out row, as if there were as "
                "many of either",
            ),
            f"{same.value:.1%} are, cell by cell, a training row; of held-out rows "
            f"{usual.value:.1%} are, by chance.",
        ],
        note="A model that has learnt the distribution is at one half, whatever its quality; one "
        "that has learnt the rows is at one.",
    )


def _champion(story: Story) -> list[html.Section]:
    champion = story.content.get("champion")
    if champion is None:
        return []
    title = f"Beside version {champion['version']}, now served"
    if story.problem:
        return [html.Section(title, [f"It cannot be compared: {story.problem}"])]
    rows: list[list[html.Cell]] = []
    for name, theirs in champion["figures"].items():
        ours, gap = story.figures.get(name), story.figures.get(f"{name}_minus_champion")
        if ours is not None and "." not in name:
            spread = html.interval(gap.low, gap.high, 3) if gap else None
            found = gap.value if gap else None
            rows.append([ours.label, ours.value, theirs["value"], found, spread])
    headers = ["", "this model", "now served", "difference", "95%"]
    return [
        html.Section(
            title,
            [html.table(headers, rows, digits=3)],
            note="The same held-out rows, as many generated ones, the same seeds. Differences are "
            "over the same resamples of both.",
        )
    ]


def _constraints(story: Story) -> list[html.Section]:
    if not story.violations:
        return []
    rows: list[list[html.Cell]] = [
        [html.code(text), int(found.sum())] for text, found in story.violations.items()
    ]
    return [html.Section("Constraints", [html.table(["declared", "rows that break it"], rows)])]


def _conditions(story: Story) -> list[html.Section]:
    if not story.asked:
        return []
    rows: list[list[html.Cell]] = [
        [html.code(each.condition), each.rows, each.met, each.refusal] for each in story.asked
    ]
    return [
        html.Section(
            "What was asked for",
            [html.table(["condition", "rows asked for", "rows that have it", ""], rows)],
            note="The commonest values of columns of categories, given as a condition.",
        )
    ]


def _samples(story: Story) -> html.Section:
    names = story.made.column_names
    rows: list[list[html.Cell]] = [
        ["" if row[name] is None else str(row[name]) for name in names]
        for row in story.made.slice(0, _ROWS).to_pylist()
    ]
    return html.Section("Generated rows", [html.table(names, rows)], note="The first; not chosen.")


def _training(story: Story) -> list[html.Section]:
    history = story.card.get("history") or []
    points = [
        (float(entry["seconds"]), float(entry["eval_loss"]))
        for entry in history
        if "seconds" in entry and "eval_loss" in entry
    ]
    if len(points) < 2:
        return []
    line = html.Line("held-out loss", points, dots=True)
    return [
        html.Section(
            "Training", [html.line_chart([line], x_label="seconds of training", y_label="loss")]
        )
    ]


def _method(story: Story) -> html.Section:
    lines = [
        "Column shapes, pair trends and quality are defined as in SDMetrics' quality report, but a "
        "missing value counts as a value. Intervals by half samples.",
        "Skill: gradient-boosted trees trained on as many generated as real rows, both judged on "
        "held-out rows (Esteban et al., 2017); above chance, as a ratio. The same trees tell "
        "generated from real rows, cross-validated in three folds.",
        "Nearness: Gower's distance (1971), numbers by rank, to the closest of all training and "
        "all held-out rows, the sides weighed by their sizes: real rows are exchangeable to a "
        "model that has learnt only their distribution. With sides of one size it is the test of "
        f"Platzer and Reutterer (2021). {len(story.frames.training):,} training rows took part.",
        f"Rows were drawn at temperature {story.options.temperature:g}.",
    ]
    return html.Section("Method", [html.details("How this was measured", *lines)])

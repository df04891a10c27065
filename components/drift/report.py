"""The drift report as a page: what changed and what to do first, then every measure."""

from __future__ import annotations

from collections.abc import Mapping

from components import page
from components.drift.descriptors import DESCRIPTORS
from components.drift.detection import DIVISIONS, ColumnDrift, Comparison
from components.drift.findings import Findings
from components.drift.options import DriftOptions

DETAILS = "drift_details.html"
_TITLES = {
    "data": "Current text against training text",
    "output": "Generated text against training text",
}
_READ = {
    "data": "Whether the world has moved away from what the model learnt.",
    "output": "Whether the model writes as its training text is written. Training texts are cut "
    "where samples were cut, so only what the model chose itself can differ.",
}
_EXAMPLES = 3
_EXAMPLE_CHARACTERS = 320


def render(compared: Mapping[str, Comparison], found: Findings, options: DriftOptions) -> str:
    """Renders `drift.html`."""
    moved = any(comparison.drifted for comparison in compared.values())
    sections = [page.Section("", _short(compared, found))]
    for name, comparison in compared.items():
        sections.append(page.Section(_TITLES[name], _body(name, comparison, found), _READ[name]))
    sections.append(page.Section("How drift is told from chance", _method(compared, options)))
    return page.render(
        "Drift: what changed" if moved else "Drift: nothing changed",
        _lead(compared, found),
        sections,
        status="warn" if moved else "pass",
        facts={
            "method": options.method,
            "threshold": f"{options.threshold:g}",
            **({"current era since": found.since} if found.since else {}),
        },
        footer="Evidently computed the scores; its own page is drift_details.html beside this one.",
    )


def _lead(compared: Mapping[str, Comparison], found: Findings) -> str:
    parts = []
    for name, comparison in compared.items():
        subject = "Generated text"
        if name == "data":
            subject = f"Text since {found.since}" if found.since else "The current text"
        moved, total = len(comparison.drifted), len(comparison.columns)
        parts.append(
            f"{subject} differs from the training text in {moved} of {total} measures."
            if moved
            else f"{subject} reads like the training text: none of {total} measures moved."
        )
    return " ".join(parts)


def _short(compared: Mapping[str, Comparison], found: Findings) -> list[page.Block]:
    tiles = [
        page.Tile(
            _TITLES[name],
            f"{len(comparison.drifted)} of {len(comparison.columns)}",
            "measures moved",
            f"{page.number(len(comparison.current.texts), 0)} texts against "
            f"{page.number(len(comparison.reference.texts), 0)} training texts",
            status="warn" if comparison.drifted else "pass",
        )
        for name, comparison in compared.items()
    ]
    advice: page.Block = "There is nothing to do."
    if found.suggestions:
        items = [page.Markup("<li>{}</li>").format(line) for line in found.suggestions]
        advice = page.Markup("<ul>{}</ul>").format(page.Markup("").join(items))
    return [page.tiles(tiles), page.subheading("What it suggests"), advice]


def _body(name: str, comparison: Comparison, found: Findings) -> list[page.Block]:
    moved = [_histogram(comparison, column, name) for column in comparison.drifted]
    still = [
        _histogram(comparison, column, name) for column in comparison.columns if not column.drifted
    ]
    blocks: list[page.Block] = [found.told[name], _table(comparison, found.eras[name])]
    if moved:
        blocks.append(page.columns(*moved))
    if still:
        title = f"How the {len(still)} measures that stayed are distributed"
        blocks.append(page.details(title, page.columns(*still)))
    return [
        *blocks,
        page.details(
            f"Example texts, {_EXAMPLES} of each side",
            page.columns(*_examples(comparison, found.eras[name])),
        ),
    ]


def _table(comparison: Comparison, names: tuple[str, str]) -> page.Markup:
    headers = ["measure", f"mean, {names[0]}", f"mean, {names[1]}", "change", "score", "limit", ""]
    rows: list[list[page.Cell]] = [
        [
            column.descriptor.label,
            column.descriptor.shown(column.reference_mean),
            column.descriptor.shown(column.current_mean),
            f"{column.effect:+.2f}\u00a0sd".replace("-", "−"),
            column.score,
            column.limit,
            page.badge("warn", "moved") if column.drifted else page.badge("pass", "like before"),
        ]
        for column in comparison.columns
    ]
    relation = "below" if comparison.falling else "above"
    caption = (
        f"A measure has moved where its score is {relation} the limit. Changes are in "
        "standard deviations of single training texts."
    )
    return page.table(headers, rows, digits=3, caption=caption)


def _histogram(comparison: Comparison, column: ColumnDrift, name: str) -> page.Markup:
    place = DESCRIPTORS.index(column.descriptor)
    scale = 100.0 if column.descriptor.percent else 1.0
    sides = (comparison.reference, comparison.current)
    before, after = (scale * side.values[:, place] for side in sides)
    unit = ", %" if column.descriptor.percent else ""
    return page.histogram_of(
        f"{column.descriptor.label}{unit}",
        before.tolist(),
        after.tolist(),
        bins=24 if len(after) > 200 else 14,
        names=("training", "current" if name == "data" else "generated"),
        digits=1 if float(before.max(initial=0)) < 20 else 0,
    )


def _examples(comparison: Comparison, names: tuple[str, str]) -> list[page.Markup]:
    parts = []
    for side, name in zip((comparison.reference, comparison.current), names, strict=True):
        quotes = [page.subheading(name)]
        for text in side.texts[:_EXAMPLES]:
            shown = text.text.strip()
            cut = shown[:_EXAMPLE_CHARACTERS] + ("…" if len(shown) > _EXAMPLE_CHARACTERS else "")
            quotes.append(page.quote(cut, text.time))
        parts.append(page.Markup("").join(quotes))
    return parts


def _method(compared: Mapping[str, Comparison], options: DriftOptions) -> list[page.Block]:
    lines: list[page.Block] = [
        "A measure has moved if its score passes the chosen threshold and also what chance alone "
        f"would give. Chance is measured: the texts of both sides are divided anew at random "
        f"{DIVISIONS} times, and the limit of a measure is what only the most extreme measure of "
        "5% of the divisions passes. So a comparison in which nothing changed raises a false alarm "
        "in about one case of twenty, however few its texts are."
    ]
    for name, comparison in compared.items():
        decided = [column for column in comparison.columns if column.limit == options.threshold]
        lines.append(
            f"{_TITLES[name]}: whole {comparison.unit} were divided; the threshold of "
            f"{options.threshold:g} sets the limit of {len(decided)} measures and chance that of "
            f"{len(comparison.columns) - len(decided)}."
        )
    lines.append(
        page.Markup('<p>Every column in <a href="{0}">Evidently\'s own page</a> ({0}, beside '
                    "this one; it opens offline).</p>").format(DETAILS)
    )  # fmt: skip
    return lines

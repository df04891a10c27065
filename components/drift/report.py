"""The drift report as a page: what changed and what to do first, then every measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from components import page
from components.drift.chance import DIVISIONS, FALSE_ALARMS
from components.drift.detection import ColumnDrift, Comparison
from components.drift.findings import Findings
from components.drift.onset import SLICES
from components.drift.options import DriftOptions
from components.drift.scoring import present
from components.drift.wording import DATA, OUTPUT, PROMPT, REFERENCE, Wording

DETAILS = "drift_details.html"
_CATEGORIES = 10


def render(
    compared: Mapping[str, Comparison], found: Findings, options: DriftOptions, wording: Wording
) -> str:
    """Renders `drift.html`."""
    moved = [name for name, comparison in compared.items() if comparison.moved]
    sections = [page.Section("", _short(compared, found, wording))]
    for name, comparison in compared.items():
        body = _body(name, comparison, found, wording)
        title = wording.title(name, found.earlier)
        sections.append(page.Section(title, body, wording.read(name)))
    method = _method(compared, found, wording)
    sections.append(page.Section("How drift is told from chance", method))
    since = found.since.get(DATA) if DATA in compared else None
    return page.render(
        _title(moved, wording),
        _lead(compared, found),
        sections,
        status="warn" if moved else "pass",
        facts={
            "method": options.method,
            "threshold": f"{options.threshold:g}",
            **({"current era since": since} if since else {}),
        },
        footer="Evidently computed the scores; its own page is drift_details.html beside this one.",
    )


_SHORT = {DATA: "data", PROMPT: "requests", OUTPUT: "output", REFERENCE: "training data"}


def _title(moved: Sequence[str], wording: Wording) -> str:
    """Such as 'Drift: data and output changed'."""
    if not moved:
        return "Drift: nothing changed"
    names = [_SHORT[name] for name in moved]
    return f"Drift: {' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))} changed"


def _lead(compared: Mapping[str, Comparison], found: Findings) -> page.Markup:
    """What moved, how much and since when, a line each; then what did not."""
    names = sorted(compared, key=lambda name: not compared[name].moved)
    # In a paragraph, a block would end it.
    line = page.Markup('<span style="display:block;margin-bottom:.35em">{}</span>')
    return page.Markup("").join(line.format(found.brief[name]) for name in names)


def _short(
    compared: Mapping[str, Comparison], found: Findings, wording: Wording
) -> list[page.Block]:
    tiles = [
        page.Tile(
            wording.title(name, found.earlier),
            f"{len(comparison.drifted)} of {len(comparison.columns)}",
            "measures moved",
            _detail(name, comparison, found, wording),
            status="warn" if comparison.moved else "pass",
        )
        for name, comparison in compared.items()
    ]
    advice: page.Block = "There is nothing to do."
    if found.suggestions:
        items = [
            page.Markup("<li><b>{}</b>: {}</li>").format(_SHORT[name].capitalize(), line)
            for name, lines in found.advice.items()
            for line in lines
        ]
        advice = page.Markup("<ul>{}</ul>").format(page.Markup("").join(items))
    return [page.tiles(tiles), page.subheading("What it suggests"), advice]


def _detail(name: str, comparison: Comparison, found: Findings, wording: Wording) -> str:
    """How many rows were compared, and since when the current ones are."""
    since = found.since.get(name)
    return (
        f"{page.number(comparison.current.rows, 0)} {wording.items_of(name)} against "
        f"{page.number(comparison.reference.rows, 0)}{f', since {since}' if since else ''}"
    )


def _body(name: str, comparison: Comparison, found: Findings, wording: Wording) -> list[page.Block]:
    names = found.eras[name]
    moved = [_distribution(comparison, column, names) for column in comparison.drifted]
    still = [
        _distribution(comparison, column, names)
        for column in comparison.columns
        if not column.drifted
    ]
    blocks: list[page.Block] = [found.told[name], _table(comparison, names, wording)]
    if found.notes.get(name):
        blocks.insert(1, " ".join(found.notes[name]))
    if moved:
        blocks.append(page.columns(*moved))
    if still:
        which = f"{len(still)} measures that stayed are" if still[1:] else "measure that stayed is"
        title = f"How the {which} distributed"
        blocks.append(page.details(title, page.columns(*still)))
    # What users wrote is theirs: the report goes where the model goes.
    if name in (PROMPT, REFERENCE):
        return blocks
    shown = [
        page.Markup("{}{}").format(page.subheading(era), wording.examples(side))
        for era, side in zip(
            found.eras[name], (comparison.reference, comparison.current), strict=True
        )
    ]
    return [*blocks, page.details(f"Examples of the {wording.noun}", page.columns(*shown))]


def _table(comparison: Comparison, names: tuple[str, str], wording: Wording) -> page.Markup:
    dated = any(column.since for column in comparison.columns)
    headers = [
        *("measure", f"mean, {names[0]}", f"mean, {names[1]}", "change"),
        *("method", "score", "limit", *(["since"] if dated else []), ""),
    ]
    rows: list[list[page.Cell]] = [
        [
            column.descriptor.label + (f": {column.category}" if column.category else ""),
            column.descriptor.shown(column.reference_mean),
            column.descriptor.shown(column.current_mean),
            f"{column.effect:+.2f}\u00a0sd".replace("-", "−"),
            column.method,
            column.score,
            column.limit,
            # With hyphens that do not break: a date on two lines is no date.
            *([(column.since or "–").replace("-", "\u2011")] if dated else []),
            page.badge("warn", "moved") if column.drifted else page.badge("pass", "like before"),
        ]
        for column in comparison.columns
    ]
    falling = {column.falling for column in comparison.columns}
    relation = "below" if falling == {True} else "above"
    if len(falling) > 1:
        relation = "above (distances) or below (p-values)"
    caption = (
        f"A measure has moved where its score is {relation} the limit. Changes are in "
        f"standard deviations of single training {wording.items}."
    )
    if any(column.category for column in comparison.columns):
        caption += " Of categories, the one whose share changed most is shown."
    if dated:
        caption += (
            f" Since: the first day of those of at most {SLICES} slices of time that have lain "
            "elsewhere up to the newest."
        )
    return page.table(headers, rows, digits=3, caption=caption)


def _distribution(
    comparison: Comparison, column: ColumnDrift, names: tuple[str, str]
) -> page.Markup:
    place = list(comparison.reference.descriptors).index(column.descriptor)
    descriptor = column.descriptor
    sides = (comparison.reference, comparison.current)
    before, after = (present(descriptor, side.columns[place]) for side in sides)
    if descriptor.categorical:
        return _categories(descriptor.label, before.tolist(), after.tolist(), names)
    scale = 100.0 if descriptor.percent else 1.0
    before, after = scale * before, scale * after
    unit = ", %" if descriptor.percent else ""
    small = float(before.max(initial=0)) < 20
    return page.histogram_of(
        f"{descriptor.label}{unit}",
        before.tolist(),
        after.tolist(),
        bins=24 if len(after) > 200 else 14,
        names=names,
        digits=max(descriptor.digits, 1) if small else 0,
    )


def _categories(
    label: str, before: list[str], after: list[str], names: tuple[str, str]
) -> page.Markup:
    """Shares of the categories that are commonest on either side."""
    counts = [Counter(before), Counter(after)]
    totals = [max(len(before), 1), max(len(after), 1)]

    def shares(category: str) -> list[float]:
        return [count[category] / total for count, total in zip(counts, totals, strict=True)]

    common = sorted({*counts[0], *counts[1]}, key=lambda each: (-max(shares(each)), each))
    rows: list[list[page.Cell]] = [
        [category, *(f"{100 * share:.1f}%" for share in shares(category))]
        for category in common[:_CATEGORIES]
    ]
    rest = len(common) - len(rows)
    caption = f"{rest:,} rarer ones are left out." if rest else ""
    return page.table([label, *names], rows, caption=caption)


def _method(
    compared: Mapping[str, Comparison], found: Findings, wording: Wording
) -> list[page.Block]:
    lines: list[page.Block] = [
        "A measure has moved if its score passes the chosen threshold and also what chance alone "
        f"would give. Chance is measured: the {wording.items} of both sides are divided anew at "
        f"random {DIVISIONS} times, and the limit of a measure is what only the most extreme "
        "measure of few divisions passes. Those few are shared out among the comparisons and "
        "their classifiers so that a report in which nothing changed raises any alarm at all in "
        f"at most {FALSE_ALARMS:.0%} of cases, however few its {wording.items} are."
    ]
    for name, comparison in compared.items():
        whole = "whole documents" if comparison.unit == "documents" else "single ones"
        decided = [column for column in comparison.columns if column.limit == column.threshold]
        lines.append(
            f"{wording.title(name, found.earlier)}: {whole} were divided; the chosen "
            f"threshold sets the limit of {len(decided)} measures and chance that of "
            f"{len(comparison.columns) - len(decided)}."
        )
    if any(comparison.domain for comparison in compared.values()):
        lines.append(
            "The classifier is a linear discriminant that learns to tell the sides apart, by "
            f"{wording.features}, and is judged on {wording.items} that it did not learn from, in "
            "five folds. Its limit is an area under the ROC curve that was chosen (drift.columns, "
            "column embedding), or what divisions at random hardly ever pass."
        )
    lines += [note for name, notes in found.notes.items() if name not in compared for note in notes]
    lines.append(
        page.Markup('<p>Every column in <a href="{0}">Evidently\'s own page</a> ({0}, beside '
                    "this one; it opens offline).</p>").format(DETAILS)
    )  # fmt: skip
    return lines

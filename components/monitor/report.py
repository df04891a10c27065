"""The monitoring report as a page: what changed and what to do first, then trend and details."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from components import page
from components.amounts import plain, with_unit
from components.artifacts import Figure
from components.charts import Line, line_chart
from components.drift.detection import Comparison
from components.drift.scoring import present
from components.monitor.findings import SUBJECTS, Findings
from components.monitor.judging import Judgement

DETAILS = "monitoring_details.html"
_STATUS: Mapping[str, page.Status] = {
    "ok": "pass",
    "alert": "warn",
    "retrain": "fail",
    "insufficient": "info",
}
_BADGES: Mapping[str, tuple[page.Status, str]] = {
    "ok": ("pass", "holds"),
    "breach": ("fail", "broken"),
    "unclear": ("warn", "unclear"),
    "insufficient": ("info", "not known"),
}
_HEADLINES = (
    "drift.prompt.drift_share",
    "drift.output.drift_share",
    "drift.data.drift_share",
    "quality.nll_per_byte_minus_baseline",
    "feedback.positive_share",
    "latency.p95_ms",
    "errors.share",
    "cost.per_request",
)
_MOST_TILES = 6
_MOST_EFFECT = 99
_TRENDS = (
    ("Drift: share of measures that moved", ("drift.prompt", "drift.output", "drift.data")),
    ("Latency, ms", ("latency.p50_ms", "latency.p95_ms")),
    ("Shares", ("errors.share", "feedback.positive_share")),
    ("Quality: nats per byte", ("quality.nll_per_byte", "quality.baseline_nll_per_byte")),
)


def render(
    content: Mapping[str, Any],
    figures: Mapping[str, Figure],
    judgements: Sequence[Judgement],
    compared: Mapping[str, Comparison],
    found: Findings,
    history: Sequence[Mapping[str, Any]],
) -> str:
    """Renders `monitoring.html`.

    Args:
        content: what `monitoring.json` holds.
        figures: everything that was measured.
        judgements: the policy's rules, as judged.
        compared: comparisons of drift by name.
        found: all of it in words.
        history: earlier monitorings, oldest first.
    """
    verdict = content["verdict"]
    sections = [
        page.Section("", _first(figures, judgements, found)),
        page.Section(
            "The policy, rule by rule",
            [_rules(judgements)],
            "A rule is broken where the whole interval lies beyond its bound. What was not "
            "measured, or on too few samples, is said to be not known.",
        ),
    ]
    trend = _trend(figures, history)
    if trend:
        sections.append(
            page.Section(
                "Trend", trend, f"Over {len(history) + 1} monitorings, the newest to the right."
            )
        )
    for name, comparison in compared.items():
        body = [found.told[name], _columns(comparison, name)]
        sections.append(page.Section(f"{SUBJECTS[name]}: drift", [*body, *_shapes(comparison)]))
    sections.append(page.Section("All figures", [_figures(figures)]))
    if content["notes"]:
        lines = [page.Markup("<li>{}</li>").format(line) for line in content["notes"]]
        items = page.Markup("<ul>{}</ul>").format(page.Markup("").join(lines))
        sections.append(page.Section("About the log", [items]))
    return page.render(
        f"{content['model']}: {found.title[0].lower()}{found.title[1:]}",
        page.Markup("<br>").join(found.headline),
        sections,
        status=_STATUS[verdict],
        facts={
            "model": f"{content['model']}, version {content['version'] or 'unknown'}",
            "window": f"{_time(content['window_from'])} to {_time(content['window_to'])} UTC",
            "requests": content["requests"],
        },
        footer=f"Evidently computed the scores of drift; its own page is {DETAILS} beside this one."
        if compared
        else "",
    )


def _time(text: str) -> str:
    return text[:16].replace("T", " ")


def _first(
    figures: Mapping[str, Figure], judgements: Sequence[Judgement], found: Findings
) -> list[page.Block]:
    broken = {one.rule.metric for one in judgements if one.state == "breach"}
    names = sorted(
        (name for name in _HEADLINES if name in figures), key=lambda name: name not in broken
    )
    tiles = [_tile(name, figures[name], name in broken) for name in names[:_MOST_TILES]]
    blocks: list[page.Block] = [page.tiles(tiles)] if tiles else []
    blocks.append(page.subheading("What it suggests"))
    if not found.suggestions:
        return [*blocks, "There is nothing to do."]
    items = [page.Markup("<li>{}</li>").format(line) for line in found.suggestions]
    return [*blocks, page.Markup("<ul>{}</ul>").format(page.Markup("").join(items))]


def _tile(name: str, figure: Figure, broken: bool) -> page.Tile:
    label = _label(name, figure)
    if figure.unit == "share":
        spread = page.interval(_percent(figure.low), _percent(figure.high), 1)
        value, unit = page.number(100 * figure.value, 1), "%"
    else:
        spread = page.interval(figure.low, figure.high, 2)
        value, unit = page.number(figure.value, 2), figure.unit
    counted = f"{page.number(figure.samples, 0)} samples"
    detail = f"95%: {spread}; {counted}" if spread else counted
    return page.Tile(label, value, unit, detail, status="fail" if broken else "")


def _label(name: str, figure: Figure) -> str:
    """What a figure is called; of drift also what was compared."""
    if name.startswith("drift."):
        return f"{SUBJECTS[name.split('.')[1]]}: {figure.label}"
    return figure.label


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _rules(judgements: Sequence[Judgement]) -> page.Markup:
    rows: list[list[page.Cell]] = []
    nowrap = page.Markup('<span class="nowrap">{}</span>')
    for one in judgements:
        rule = one.rule
        shown = rule.bound if isinstance(rule.bound, str) else plain(rule.bound)
        wanted = f"at {'most' if rule.upper else 'least'} {shown}"
        if rule.tolerance:
            wanted += f" {'+' if rule.upper else '−'} {plain(rule.tolerance)}"
        code = page.code(rule.metric)
        if one.figure:
            label = _label(rule.metric, one.figure)
            code = page.Markup('{}<br><span class="note">{}</span>').format(label, code)
        rows.append(
            [
                code,
                # The name of another figure may be long.
                wanted if isinstance(rule.bound, str) else nowrap.format(wanted),
                one.reason,
                one.figure.samples if one.figure else None,
                rule.severity,
                page.badge(*_BADGES[one.state]),
            ]
        )
    return page.table(["figure", "must be", "measured", "samples", "then", ""], rows)


def _trend(figures: Mapping[str, Figure], history: Sequence[Mapping[str, Any]]) -> list[page.Block]:
    if not history:
        return []
    values = [dict(one.get("figures") or {}) for one in history]
    values.append({name: figure.value for name, figure in figures.items()})
    charts: list[page.Block] = []
    for title, names in _TRENDS:
        lines = []
        for short in names:
            name = f"{short}.drift_share" if short.startswith("drift.") else short
            points = [
                (float(place), float(each[name]))
                for place, each in enumerate(values, 1)
                if each.get(name) is not None
            ]
            if points:
                lines.append(Line(short.split(".", 1)[1], points, dots=True))
        if lines:
            charts.append(line_chart(lines, title=title, x_label="monitoring", whole_x=True))
    rows: list[list[page.Cell]] = [
        [_time(str(one.get("created"))), one.get("requests"), str(one.get("verdict"))]
        for one in reversed(history)
    ]
    table = page.table(["earlier monitoring, UTC", "requests", "verdict"], rows)
    return [page.columns(*charts), page.details("Monitoring by monitoring", table)]


def _columns(comparison: Comparison, name: str) -> page.Markup:
    names = ("training", "fresh") if name == "data" else ("at first", "now")
    headers = ["measure", names[0], names[1], "change", "score", "limit", "since", ""]
    rows: list[list[page.Cell]] = [
        [
            column.descriptor.label + (f": {column.category}" if column.category else ""),
            column.descriptor.shown(column.reference_mean),
            column.descriptor.shown(column.current_mean),
            _effect(column.effect),
            column.score,
            column.limit,
            (column.since or "–").replace("-", "\u2011"),
            page.badge("warn", "moved") if column.drifted else page.badge("pass", "like before"),
        ]
        for column in comparison.columns
    ]
    return page.table(headers, rows, digits=3)


def _effect(effect: float) -> str:
    """In standard deviations; where the reference hardly varies, they say nothing."""
    shown = f"{effect:+.2f}" if abs(effect) < _MOST_EFFECT else f"{'+' if effect > 0 else '-'}>99"
    return f"{shown}\u00a0sd".replace("-", "−")


def _shapes(comparison: Comparison) -> list[page.Block]:
    """How the measures that moved are distributed."""
    charts = []
    places = {each.name: place for place, each in enumerate(comparison.reference.descriptors)}
    for column in comparison.drifted:
        descriptor = column.descriptor
        sides = [
            present(descriptor, side.columns[places[descriptor.name]])
            for side in (comparison.reference, comparison.current)
        ]
        if descriptor.categorical:
            charts.append(_categories(descriptor.label, [side.tolist() for side in sides]))
            continue
        scale = 100.0 if descriptor.percent else 1.0
        before, after = ((scale * side).tolist() for side in sides)
        unit = ", %" if descriptor.percent else ""
        charts.append(page.histogram_of(f"{descriptor.label}{unit}", before, after, digits=1))
    return [page.columns(*charts)] if charts else []


def _categories(label: str, sides: Sequence[list[str]]) -> page.Markup:
    counts = [Counter(side) for side in sides]
    common = sorted({*counts[0], *counts[1]}, key=lambda each: -max(one[each] for one in counts))
    rows: list[list[page.Cell]] = [
        [each, *(f"{100 * one[each] / max(one.total(), 1):.1f}%" for one in counts)]
        for each in common[:10]
    ]
    return page.table([label, "before", "now"], rows)


def _figures(figures: Mapping[str, Figure]) -> page.Markup:
    rows: list[list[page.Cell]] = [
        [
            page.code(name),
            figure.label,
            with_unit(figure.value, figure.unit),
            page.interval(figure.low, figure.high, 3) or None,
            figure.samples,
        ]
        for name, figure in figures.items()
        if ".score." not in name
    ]
    return page.table(["figure", "", "value", "95%", "samples"], rows)

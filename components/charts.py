"""Charts of the reports, drawn as HTML and inline SVG that scale from a phone to paper.

Lines and areas are SVG stretched to their box, while every label is HTML placed by percentage,
so letters keep their size on a narrow screen. Everything that comes from data is escaped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup

from components.chart_axis import Axis

_TONES = ("var(--accent)", "var(--second)", "var(--third)", "var(--other)")
_EMPTY = Markup("")


@dataclasses.dataclass(frozen=True)
class Bar:
    """One row of a bar chart; `low` and `high` are its interval, `main` sets it off."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    main: bool = False


@dataclasses.dataclass(frozen=True)
class Mark:
    """A reference value, drawn as a dashed rule."""

    label: str
    value: float


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve through (x, y) points; `dashed` for what was not measured."""

    label: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    dots: bool = False


def number(value: float, digits: int = 2) -> str:
    """The value with so many decimals and thin thousands; an en dash where it is not finite."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """The bounds as `1.90 to 1.96`, or nothing where there are none."""
    if low is None or high is None:
        return ""
    return f"{number(low, digits)} to {number(high, digits)}"


def bar_chart(
    bars: Sequence[Bar],
    *,
    digits: int = 2,
    unit: str = "",
    marks: Sequence[Mark] = (),
    title: str = "",
    caption: str = "",
) -> Markup:
    """Horizontal bars from zero, with intervals as whiskers and reference rules."""
    values = [
        amount
        for bar in bars
        for amount in (bar.value, bar.low, bar.high)
        if amount is not None and math.isfinite(amount)
    ]
    values += [mark.value for mark in marks if math.isfinite(mark.value)]
    bottom, top = min([0.0, *values]), max([0.0, *values])
    span = (top - bottom) * 1.02 or 1.0

    def percent(value: float) -> float:
        return (value - bottom) / span * 100

    rules = _EMPTY.join(
        Markup('<div class="rule" style="left:{:.3f}%" title="{}"></div>').format(
            percent(mark.value), mark.label
        )
        for mark in marks
        if math.isfinite(mark.value)
    )
    rows = _EMPTY.join(_bar_row(bar, percent, rules, digits) for bar in bars)
    legend = _EMPTY.join(
        Markup('<span><i class="dashed" style="--tone:var(--second)"></i>{} {} {}</span>').format(
            mark.label, number(mark.value, digits), unit
        )
        for mark in marks
    )
    body = Markup('<div class="legend">{}</div>').format(legend) if marks else _EMPTY
    body += Markup('<div class="bars" role="list">{}</div>').format(rows)
    return _figure(body, title, caption)


def _bar_row(bar: Bar, percent: object, rules: Markup, digits: int) -> Markup:
    assert callable(percent)
    drawn = rules
    if math.isfinite(bar.value):
        left, right = sorted((percent(0.0), percent(bar.value)))
        drawn = (
            Markup('<div class="bar" style="left:{:.3f}%;width:{:.3f}%"></div>').format(
                left, right - left
            )
            + rules
        )
    if bar.low is not None and bar.high is not None:
        left, right = percent(bar.low), percent(bar.high)
        drawn += Markup('<div class="whisker" style="left:{:.3f}%;width:{:.3f}%"></div>').format(
            left, max(right - left, 0.0)
        )
    spread = interval(bar.low, bar.high, digits)
    return Markup(
        '<div class="row{}" role="listitem"><div class="name">{}{}</div>'
        '<div class="amount">{}{}</div><div class="track">{}</div></div>'
    ).format(
        " main" if bar.main else "",
        bar.label,
        Markup("<small>{}</small>").format(bar.note) if bar.note else "",
        number(bar.value, digits),
        Markup("<small>{}</small>").format(spread) if spread else "",
        drawn,
    )


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    whole_x: bool = False,
    marks: Sequence[Mark] = (),
    title: str = "",
    caption: str = "",
) -> Markup:
    """Curves over a common x, with horizontal reference rules; either axis may be logarithmic.

    The legend leaves out lines without a label. `whole_x` is for an x that counts something.
    """
    points = [
        (x, y)
        for line in lines
        for x, y in line.points
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    ]
    marks = [mark for mark in marks if math.isfinite(mark.value) and (mark.value > 0 or not log_y)]
    if not points:
        return _figure(Markup('<p class="note">Nothing was recorded.</p>'), title, caption)
    x_axis = Axis([x for x, _ in points], log_x, whole=whole_x)
    heights = [y for _, y in points] + [mark.value for mark in marks]
    y_axis = Axis(heights, log_y, margin=0.06)
    drawn, labels, legend = _EMPTY, _EMPTY, _EMPTY
    for tick in y_axis.ticks():
        height = 100 - y_axis.percent(tick)
        drawn += Markup('<path class="grid" d="M0 {0:.3f}H100"/>').format(height)
        labels += Markup('<span class="y" style="top:{:.3f}%">{:g}</span>').format(height, tick)
    for tick in x_axis.ticks():
        labels += Markup('<span class="x" style="left:{:.3f}%">{}</span>').format(
            x_axis.percent(tick), f"{tick:,g}".replace(",", "\u202f")
        )
    rules = [100 - y_axis.percent(mark.value) for mark in marks]
    for mark, height in zip(marks, rules, strict=True):
        drawn += Markup('<path class="reference" d="M0 {:.3f}H100"/>').format(height)
        # A label under its rule makes room for that of another rule close above.
        crowded = any(0 < height - other < 9 for other in rules)
        labels += Markup('<span class="rule-label{}" style="top:{:.3f}%">{}</span>').format(
            " below" if crowded else "", height, mark.label
        )
    for index, line in enumerate(lines):
        tone = _TONES[index % len(_TONES)]
        drawn += _curve(line, tone, x_axis, y_axis)
        if not line.label:
            continue
        legend += Markup('<span><i class="{}" style="--tone:{}"></i>{}</span>').format(
            "dashed" if line.dashed else "", tone, line.label
        )
    return _figure(
        Markup(
            '<div class="legend">{}{}</div><div class="plot"><svg viewBox="0 0 100 100" '
            'preserveAspectRatio="none" aria-hidden="true"><path class="axis" d="M0 100H100"/>'
            '{}</svg>{}<span class="x-title">{}</span></div>'
        ).format(
            legend,
            Markup("<span>{}</span>").format(f"vertical: {y_label}") if y_label else "",
            drawn,
            labels,
            x_label,
        ),
        title,
        caption,
    )


def _curve(line: Line, tone: str, x_axis: Axis, y_axis: Axis) -> Markup:
    places = [
        f"{x_axis.percent(x):.3f} {100 - y_axis.percent(y):.3f}"
        for x, y in line.points
        if x_axis.has(x) and y_axis.has(y)
    ]
    if not places:
        return _EMPTY
    drawn = Markup('<path class="curve{}" style="--tone:{}" d="M{}"/>').format(
        " dashed" if line.dashed else "", tone, "L".join(places)
    )
    if line.dots:
        dots = "".join(f"M{place}h0" for place in places)
        drawn += Markup('<path class="dot" style="--tone:{}" d="{}"/>').format(tone, dots)
    return drawn


def histogram_pair(
    title: str,
    edges: Sequence[float],
    reference: Sequence[float],
    current: Sequence[float],
    *,
    names: tuple[str, str] = ("reference", "current"),
    digits: int = 0,
    caption: str = "",
) -> Markup:
    """Two distributions over common bins: the reference filled, the current one as an outline.

    Args:
        title: what is distributed.
        edges: bin bounds, one more than bins.
        reference, current: counts or shares in each bin; each side is scaled to sum to 1.
    """
    before, after = _shares(reference), _shares(current)
    top = max([*before, *after, 1e-12]) * 1.05
    width = 100 / max(len(before), 1)

    def outline(shares: list[float]) -> str:
        return "".join(
            f"V{100 - share / top * 100:.3f}H{(place + 1) * width:.3f}"
            for place, share in enumerate(shares)
        )

    middle = (edges[0] + edges[-1]) / 2
    return _figure(
        Markup(
            '<div class="legend"><span><i class="block" style="--tone:var(--other)"></i>{}</span>'
            '<span><i style="--tone:var(--accent)"></i>{}</span></div>'
            '<div class="plot small"><svg viewBox="0 0 100 100" preserveAspectRatio="none" '
            'aria-hidden="true"><path class="area" d="M0 100{}V100Z"/>'
            '<path class="step" d="M0 100{}V100"/><path class="axis" d="M0 100H100"/></svg>'
            '<span class="x first" style="left:0">{}</span><span class="x" style="left:50%">{}'
            '</span><span class="x last" style="left:100%">{}</span></div>'
        ).format(
            names[0],
            names[1],
            outline(before),
            outline(after),
            number(edges[0], digits),
            number(middle, digits),
            number(edges[-1], digits),
        ),
        title,
        caption,
    )


def histogram_of(
    title: str,
    reference: Sequence[float],
    current: Sequence[float],
    *,
    bins: int = 24,
    names: tuple[str, str] = ("reference", "current"),
    digits: int = 0,
    caption: str = "",
) -> Markup:
    """`histogram_pair` of raw values; the outermost bins hold what lies beyond them."""
    import numpy as np

    before = np.asarray(reference, np.float64)
    after = np.asarray(current, np.float64)
    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    pooled = np.concatenate([before, after])
    if pooled.size == 0:
        return _figure(Markup('<p class="note">No values.</p>'), title, caption)
    low, high = np.percentile(pooled, [0.5, 99.5])
    if high <= low:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(np.clip(side, low, high), edges)[0] for side in (before, after)]
    return histogram_pair(
        title,
        edges.tolist(),
        counts[0].tolist(),
        counts[1].tolist(),
        names=names,
        digits=digits,
        caption=caption,
    )


def _shares(counts: Sequence[float]) -> list[float]:
    total = float(sum(counts)) or 1.0
    return [count / total for count in counts]


def _figure(body: Markup, title: str, caption: str) -> Markup:
    head = Markup('<p class="title">{}</p>').format(title) if title else _EMPTY
    foot = Markup("<figcaption>{}</figcaption>").format(caption) if caption else _EMPTY
    return Markup("<figure>{}{}{}</figure>").format(head, body, foot)

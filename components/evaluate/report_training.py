"""The section of the evaluation that shows how quality moved with training time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from components import page as html
from components.artifacts import Figure
from components.evaluate import training_curve

_Unit: TypeAlias = tuple[str, float, float]
# Name, seconds in one, and from how many seconds of training it is used.
_UNITS: tuple[_Unit, ...] = (
    ("hours", 3600.0, 10_800.0),
    ("minutes", 60.0, 600.0),
    ("seconds", 1.0, 0.0),
)


def training(
    figures: Mapping[str, Figure], card: Mapping[str, Any], tokens_per_byte: float
) -> list[html.Section]:
    """The section on training time; none where the card tells nothing of it."""
    points = training_curve.curve(card, tokens_per_byte)
    if len(points) < 2:
        return []
    unit = next(unit for unit in _UNITS if points[-1][0] >= unit[2])
    lines = [html.Line("measured on held-out text", _in(unit, points), dots=True)]
    ahead = training_curve.extrapolate(points)
    blocks: list[html.Block] = []
    if ahead is not None:
        lines.append(html.Line("extrapolation, not measured", _in(unit, ahead.points), dashed=True))
        blocks.append(
            html.Markup(
                "<p><strong>Beyond the last dot nothing was measured.</strong> If the loss went on "
                "falling with training time as it has, twice the time would end between {} and {} "
                "bits per byte: the slopes of all points and of their later half. Take that as the "
                "best to hope for. The falling learning rate steepens the end of every run, and a "
                "small model stops improving sooner than a straight line does.</p>"
            ).format(html.number(ahead.low), html.number(ahead.high))
        )
    chart = html.line_chart(
        lines,
        x_label=f"{unit[0]} of training",
        y_label="bits per byte",
        log_x=True,
        log_y=True,
        marks=[
            html.Mark("xz", figures["yardsticks.xz"].value),
            html.Mark("5-gram", figures["yardsticks.byte_5gram"].value),
        ],
        caption="Both axes logarithmic. From the training step's own held-out loss per token, "
        f"at {tokens_per_byte:.3f} tokens per byte.",
    )
    return [
        html.Section(
            "Training time",
            [chart, *blocks],
            note="How the model got there while it was trained. Lower is better.",
        )
    ]


def _in(unit: _Unit, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(seconds / unit[1], bits) for seconds, bits in points]

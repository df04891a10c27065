"""The section of the evaluation that shows how quality moved with training time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components import page as html
from components.artifacts import Figure
from components.evaluate import training_curve


def training(
    figures: Mapping[str, Figure], card: Mapping[str, Any], tokens_per_byte: float
) -> list[html.Section]:
    """The section on training time; none where the card tells nothing of it."""
    points = training_curve.curve(card, tokens_per_byte)
    if len(points) < 2:
        return []
    lines = [html.Line("measured on held-out text", points, dots=True)]
    ahead = training_curve.extrapolate(points)
    blocks: list[html.Block] = []
    if ahead is not None:
        lines.append(html.Line("extrapolation, not measured", ahead.points, dashed=True))
        blocks.append(
            html.Markup(
                "<p><strong>Extrapolation.</strong> If held-out loss went on falling as a power "
                "of training time, {} minutes of it would end between {} and {} bits per byte: "
                "the slopes of all points and of their later half. Nothing beyond the last dot was "
                "measured. Evaluations during a run stand before its learning rate has decayed, "
                "which steepens the end of the curve, and a small model stops improving sooner "
                "than a power law does, so a longer run may well end elsewhere.</p>"
            ).format(
                html.number(ahead.seconds / 60, 0), html.number(ahead.low), html.number(ahead.high)
            )
        )
    chart = html.line_chart(
        lines,
        x_label="seconds of training",
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
    return [html.Section("Training time", [chart, *blocks])]

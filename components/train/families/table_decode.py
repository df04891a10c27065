"""Turns codes and values into numbers and into a caller's columns, inside a graph.

Between sampling and answering, rows are float64 [B, columns]: numbers as they are, datetimes as
seconds since 1970, categories as their codes, and NaN where a value is missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.errors import DataError
from components.table_layout import MISSING_SUFFIX, SPAN, ColumnLayout, TableLayout
from components.table_schema import BOOLEAN, DATETIME, Range, parse_constraint
from components.transform.table import datetimes

_MICROS = 1e6


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The least and the most that a column may hold; both inside."""

    low: float
    high: float


class TableDecoder:
    """What the codes, values and numbers of a table mean.

    Args:
        layout: of the table, with its constraints.

    Raises:
        DataError: a range leaves nothing of what training had.
    """

    def __init__(self, layout: TableLayout) -> None:
        self.layout = layout
        columns = [column.column for column in layout.columns]
        parsed = [parse_constraint(text, columns) for text in layout.constraints]
        ranges = [constraint for constraint in parsed if isinstance(constraint, Range)]
        self.bounds = [
            _bounds(column, [each for each in ranges if each.column == column.name])
            for column in layout.columns
        ]

    def numbers(self, codes: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Rows float64 [B, C], rounded and clipped, of codes int32 [B, C] and values [B, V]."""
        columns = []
        for place, column in enumerate(self.layout.columns):
            code = codes[:, place]
            if column.has_categories:
                number = tf.cast(code, tf.float64)
                present = code < len(column.categories)
            else:
                value = None if column.value is None else values[:, column.value]
                number = self.rounded(_unrounded(column, code, value), place)
                present = code < len(column.means)
            columns.append(tf.where(present, number, tf.constant(math.nan, tf.float64)))
        return tf.stack(columns, axis=1)

    def rounded(self, numbers: tf.Tensor, place: int) -> tf.Tensor:
        """Numbers float64 [B] of a column in its precision and within its bounds."""
        column, bounds = self.layout.columns[place], self.bounds[place]
        if column.step is not None:
            numbers = tf.round(numbers / column.step) * column.step
        elif column.decimals is not None:
            scale = tf.constant(10.0**column.decimals, tf.float64)
            # The graph optimizer makes a plain division a product with 1 / scale, which is inexact.
            numbers = tf.math.divide_no_nan(tf.round(numbers * scale), scale)
        numbers = tf.clip_by_value(
            numbers, tf.constant(bounds.low, tf.float64), tf.constant(bounds.high, tf.float64)
        )
        if column.dtype == "float":
            numbers = tf.cast(tf.cast(numbers, tf.float32), tf.float64)
        return numbers + 0.0  # -0.0 would not be the same as 0.0 bit for bit.

    def outputs(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """A caller's columns, each [B] in its own type; what is missing is zero, false or empty.

        Args:
            rows: float64 [B, C].
        """
        found = {}
        for place, column in enumerate(self.layout.columns):
            missing = tf.math.is_nan(rows[:, place])
            number = tf.where(missing, tf.zeros([], tf.float64), rows[:, place])
            value = _output(column, number)
            found[column.name] = tf.where(missing, tf.zeros([], value.dtype), value)
            if column.nullable:
                found[f"{column.name}{MISSING_SUFFIX}"] = missing
        return found


def _unrounded(column: ColumnLayout, code: tf.Tensor, value: tf.Tensor | None) -> tf.Tensor:
    chosen = tf.minimum(code, len(column.means) - 1)
    number = tf.gather(tf.constant(column.means, tf.float64), chosen)
    if value is None:
        return number
    deviation = tf.gather(tf.constant(column.deviations, tf.float64), chosen)
    return number + tf.cast(value, tf.float64) * SPAN * deviation


def _output(column: ColumnLayout, number: tf.Tensor) -> tf.Tensor:
    kind = output_type(column)
    if column.kind == BOOLEAN:
        names = [name == "true" for name in column.categories]
        return tf.gather(tf.constant(names), tf.cast(number, tf.int32))
    if column.has_categories:
        chosen = tf.gather(tf.constant(column.categories), tf.cast(number, tf.int32))
        return chosen if kind == tf.string else tf.strings.to_number(chosen, kind)
    if column.kind == DATETIME:
        micros = tf.cast(tf.round(number * _MICROS), tf.int64)
        decimals = 6 if column.decimals is None else column.decimals
        return datetimes.write(micros, column.dtype, decimals)
    return tf.cast(tf.round(number), kind) if kind.is_integer else tf.cast(number, kind)


def output_type(column: ColumnLayout) -> tf.DType:
    """The type in which a column is answered: whole numbers int64, datetimes string."""
    if column.kind == BOOLEAN:
        return tf.bool
    if "int" in column.dtype:
        return tf.int64
    return {"float": tf.float32, "double": tf.float64}.get(column.dtype, tf.string)


def tick(column: ColumnLayout) -> float | None:
    """What a column's numbers are multiples of; None where they use their whole precision."""
    if column.step is not None:
        return column.step
    return None if column.decimals is None else 10.0**-column.decimals


def raised(number: float, column: ColumnLayout) -> float:
    """The next number above, in a column's precision."""
    step = tick(column)
    if step is not None:
        return float(number + step)
    kind = np.float32 if column.dtype == "float" else np.float64
    return float(np.nextafter(kind(number), kind(np.inf)))


def _bounds(column: ColumnLayout, ranges: Sequence[Range]) -> Bounds:
    if column.minimum is None or column.maximum is None:
        return Bounds(-math.inf, math.inf)
    low, high = column.minimum, column.maximum
    for each in ranges:
        if each.low is not None:
            low = max(low, _inside(each.low, each.low_strict, column))
        if each.high is not None:
            high = min(high, -_inside(-each.high, each.high_strict, column))
    if low > high:
        raise DataError(
            f"expected training values of {column.name} that meet {ranges[0].text!r}. Received: "
            f"from {column.minimum:g} to {column.maximum:g}"
        )
    return Bounds(low, high)


def _inside(bound: float, strict: bool, column: ColumnLayout) -> float:
    """The least number of the column's precision at, or where strict above, a bound."""
    step = tick(column)
    if step is None:
        kind = np.float32 if column.dtype == "float" else np.float64
        least = float(kind(bound))
    else:
        least = round(math.ceil(bound / step - 1e-9) * step, 9)
    below = least < bound or (strict and least == bound)
    return raised(least, column) if below else least

"""Reads conditions on generated rows, texts such as 'carrier=UA', inside a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.table_layout import SPAN, ColumnLayout
from components.table_schema import DATETIME
from components.train.families.table_decode import Bounds, TableDecoder, tick
from components.train.graph_checks import first_wrong, require
from components.transform.table import datetimes

_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_SHOWN = 10
_CLOSE = 1e-6


class Conditions(NamedTuple):
    """What the conditions of a call say, each [columns] or [values].

    Attributes:
        known: bool, which columns are given.
        row: float64, their numbers; see table_decode.py.
        codes, values: int32 and float32, the same as the transform lays them out.
    """

    known: tf.Tensor
    row: tf.Tensor
    codes: tf.Tensor
    values: tf.Tensor


class ConditionReader:
    """Reads conditions on the columns of a table.

    Args:
        decoder: of the table.
    """

    def __init__(self, decoder: TableDecoder) -> None:
        self._decoder = decoder
        self._layout = decoder.layout
        self._names = [column.name for column in self._layout.columns]
        self._places = _table(self._names)
        self._categories = {
            place: _table(column.categories)
            for place, column in enumerate(self._layout.columns)
            if column.has_categories
        }
        self.tables: list[Any] = [self._places, *self._categories.values()]

    def read(self, conditions: tf.Tensor) -> Conditions:
        """Reads conditions string [N], each 'column=value'; an empty value is a missing one.

        Raises:
            tf.errors.InvalidArgumentError: a condition is no such text, names no column or one
                that another names too, or gives a value that no row can have.
        """
        formed = tf.strings.regex_full_match(conditions, r"[^=]+=(?s:.*)")
        wrong = first_wrong(conditions, formed)
        check = require(formed, "conditions must be of the form column=value. Received: ", wrong)
        with tf.control_dependencies([check]):
            names = tf.strings.strip(tf.strings.regex_replace(conditions, r"=(?s:.*)$", ""))
            texts = tf.strings.strip(tf.strings.regex_replace(conditions, r"^[^=]*=", ""))
        places = self._places.lookup(names)
        found = places >= 0
        known_names = ", ".join(self._names)
        checks = [
            require(
                found,
                "conditions must name columns among ",
                known_names,
                ". Received: ",
                first_wrong(names, found),
            )
        ]
        times = tf.reduce_sum(tf.one_hot(places, len(self._names), dtype=tf.int32), axis=0)
        repeated = first_wrong(tf.constant(self._names), times < 2)
        checks.append(
            require(times < 2, "conditions may name a column once. Received: ", repeated, " twice")
        )
        with tf.control_dependencies(checks):
            known = times > 0
        return self._parsed(known, places, texts)

    def _parsed(self, known: tf.Tensor, places: tf.Tensor, texts: tf.Tensor) -> Conditions:
        rows, codes, values = [], [], []
        for place, column in enumerate(self._layout.columns):
            text = tf.concat([tf.boolean_mask(texts, places == place), [""]], 0)[0]
            here = known[place]
            if column.has_categories:
                code = self._category(place, column, text, here)
                missing = code == (-1 if column.missing is None else column.missing)
                row, value = tf.cast(code, tf.float64), tf.zeros([], tf.float32)
            else:
                row, missing = _number(column, self._decoder.bounds[place], text, here)
                code, value = _laid_out(column, row, missing, here)
            rows.append(tf.where(missing, tf.constant(np.nan, tf.float64), row))
            codes.append(tf.where(here, code, 0))
            if column.value is not None:
                values.append(tf.where(here, value, 0.0))
        return Conditions(
            known,
            tf.stack(rows),
            tf.stack(codes),
            tf.stack(values) if values else tf.zeros([0]),
        )

    def _category(
        self, place: int, column: ColumnLayout, text: tf.Tensor, here: tf.Tensor
    ) -> tf.Tensor:
        if column.kind == "boolean":
            text = tf.strings.lower(text)
        code = self._categories[place].lookup(text)
        if column.missing is not None:
            code = tf.where((text == "") & (code < 0), column.missing, code)
        names = ", ".join(column.categories[:_SHOWN])
        more = ", ..." if len(column.categories) > _SHOWN else ""
        check = require(
            ~here | (code >= 0),
            f"{column.name} must be a category that training had ({names}{more}). Received: ",
            text,
        )
        with tf.control_dependencies([check]):
            return tf.maximum(code, 0)


def _table(names: Sequence[str]) -> Any:
    """Looks up the place of a name; -1 for others."""
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(names), tf.string), tf.range(len(names), dtype=tf.int32)
        ),
        default_value=-1,
    )


def _number(
    column: ColumnLayout, bounds: Bounds, text: tf.Tensor, here: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The number of a condition and whether it is the missing value; anything where not `here`."""
    missing = here & (text == "") if column.nullable else tf.constant(False)
    wanted = here & ~missing
    some = "1970-01-01" if column.kind == DATETIME else "0"
    if column.kind == DATETIME:
        micros = datetimes.parse(tf.where(wanted, text, some)[tf.newaxis])[0]
        number = tf.cast(micros, tf.float64) / 1e6
    else:
        formed = tf.strings.regex_full_match(text, _NUMBER)
        check = require(~wanted | formed, f"{column.name} must be a number. Received: ", text)
        with tf.control_dependencies([check]):
            number = tf.strings.to_number(tf.where(wanted & formed, text, some), tf.float64)
    low, high = bounds.low, bounds.high
    inside = ~wanted | ((number >= low) & (number <= high))
    if column.kind == DATETIME:
        ends = datetimes.write(tf.constant([int(low * 1e6), int(high * 1e6)]), column.dtype, 0)
        expected = tf.strings.join([f"{column.name} must be from ", ends[0], " to ", ends[1]])
    else:
        expected = tf.constant(f"{column.name} must be from {low:.15g} to {high:.15g}")
    checks = [require(inside, expected, ". Received: ", text)]
    if (step := tick(column)) is not None:
        steps = number / step
        # Of a time in microseconds float64 has no digits left over.
        whole = tf.abs(steps - tf.round(steps)) < _CLOSE + 1e-15 * tf.abs(steps)
        unit = " seconds" if column.kind == DATETIME else ""
        expected = f"{column.name} must be a multiple of {step:g}{unit}. Received: "
        checks.append(require(~wanted | whole, expected, text))
    with tf.control_dependencies(checks):
        return tf.identity(number), missing


def _laid_out(
    column: ColumnLayout, number: tf.Tensor, missing: tf.Tensor, here: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Code and value of a number, as the transform finds them; see `TableLayout.encode`."""
    means = np.array(column.means)
    distances = number - tf.constant(means, tf.float64)
    if column.value is None:
        code = tf.argmin(tf.abs(distances), output_type=tf.int32)
        near = tf.reduce_min(tf.abs(distances)) <= _CLOSE * max(1.0, float(np.abs(means).max()))
        shown = ", ".join(f"{mean:.15g}" for mean in means[:_SHOWN])
        more = ", ..." if len(means) > _SHOWN else ""
        check = require(
            ~here | missing | near,
            f"{column.name} must be a number that training had ({shown}{more}). Received: ",
            tf.strings.as_string(number, shortest=True),
        )
        value = tf.zeros([], tf.float32)
        with tf.control_dependencies([check]):
            code = tf.identity(code)
    else:
        deviations = np.array(column.deviations)
        scaled = distances / deviations
        likely = np.log(np.array(column.weights)) - np.log(deviations) - scaled**2 / 2
        code = tf.argmax(likely, output_type=tf.int32)
        value = tf.cast(tf.clip_by_value(scaled[code] / SPAN, -1.0, 1.0), tf.float32)
    if column.missing is None:
        return code, value
    return tf.where(missing, column.missing, code), tf.where(missing, 0.0, value)

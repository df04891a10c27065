"""Makes every generated row meet the declared constraints, inside a graph.

Ranges hold already: numbers are clipped to them where they are decoded (table_decode.py). Rows
that break another constraint are drawn again; after some rounds they are repaired first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import ConfigError, DataError
from components.table_schema import Fixed, Inequality, Unique, parse_constraint
from components.train.families.random_rows import drawn, uniform_rows
from components.train.families.table_conditions import Conditions
from components.train.families.table_decode import TableDecoder, raised, tick
from components.train.graph_checks import require

# Codes int [B, C] and values float [B, V] of training rows.
CodeBatches = Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]]

_REPAIR_STREAM = 101
_BATCH_ROWS = 65_536
_MISSING_BITS = -1
_AGREEMENT = 40.0


class TableConstraints:
    """The constraints of a table that its decoder does not meet by itself.

    Args:
        decoder: of the table.
        seen: training rows, from which `fixed` constraints learn their combinations; not read
            where there are none.

    Raises:
        ConfigError: combinations are to be fixed of numbers that do not come back exactly.
        DataError: no training row shows an allowed combination.
    """

    def __init__(self, decoder: TableDecoder, seen: CodeBatches) -> None:
        layout = decoder.layout
        self._decoder = decoder
        self._columns = layout.columns
        self._bounds = decoder.bounds
        self._place = {column.name: place for place, column in enumerate(layout.columns)}
        columns = [column.column for column in layout.columns]
        parsed = [parse_constraint(text, columns) for text in layout.constraints]
        self._inequalities = [each for each in parsed if isinstance(each, Inequality)]
        self._unique = [each for each in parsed if isinstance(each, Unique)]
        fixed = [each for each in parsed if isinstance(each, Fixed)]
        self._fixed = [_Combinations(each, self._place, self._columns) for each in fixed]
        # Places of columns whose numbers go with those of others.
        self._held = {self._place[name] for each in fixed for name in each.columns}
        if self._fixed:
            self._learn(seen)

    def _learn(self, seen: CodeBatches) -> None:
        for codes, values in seen:
            for start in range(0, len(codes), _BATCH_ROWS):
                part = slice(start, start + _BATCH_ROWS)
                rows = self._decoder.numbers(
                    tf.constant(codes[part], tf.int32), tf.constant(values[part], tf.float32)
                ).numpy()
                for combinations in self._fixed:
                    combinations.count(rows, codes[part], values[part])
        for combinations in self._fixed:
            combinations.finish()

    @property
    def unique_count(self) -> int:
        """How many constraints ask for rows that differ from one another."""
        return len(self._unique)

    @property
    def texts(self) -> list[str]:
        """The constraints that drawing a row again may be needed for."""
        texts = [each.text for each in self._inequalities]
        texts += [combinations.constraint.text for combinations in self._fixed]
        return texts + [each.text for each in self._unique]

    @property
    def tables(self) -> list[Any]:
        """Lookup tables, which the module that is saved must hold."""
        return [combinations.table for combinations in self._fixed]

    def possible(self, conditions: Conditions) -> list[tf.Operation]:
        """Refuses conditions that no row can meet together with a constraint."""
        checks = [combinations.possible(conditions) for combinations in self._fixed]
        for each in self._inequalities:
            left, right = self._place[each.left], self._place[each.right]
            low = self._least(left, conditions)
            high = -self._least(right, conditions, sign=-1.0)
            met = low < high if each.strict else low <= high
            # A comparison with a missing value is not broken.
            for place in (left, right):
                absent = tf.math.is_nan(conditions.row[place])
                if self._columns[place].nullable:
                    met |= absent | ~conditions.known[place]
            checks.append(
                require(
                    met,
                    f"conditions must allow {each.text}. Received: {each.left} from ",
                    low,
                    f", {each.right} up to ",
                    high,
                )
            )
        return checks

    def _least(self, place: int, conditions: Conditions, sign: float = 1.0) -> tf.Tensor:
        bounds = self._bounds[place]
        end = sign * (bounds.low if sign > 0 else bounds.high)
        return tf.where(conditions.known[place], sign * conditions.row[place], end)

    def hold(self, rows: tf.Tensor) -> tf.Tensor:
        """Bool [B], whether rows float64 [B, C] meet all but `unique`."""
        met = tf.ones(tf.shape(rows)[:1], tf.bool)
        for each in self._inequalities:
            left, right = rows[:, self._place[each.left]], rows[:, self._place[each.right]]
            # Comparisons with NaN are false.
            met &= ~(left >= right if each.strict else left > right)
        for combinations in self._fixed:
            met &= combinations.hold(rows)
        return met

    def repaired(self, rows: tf.Tensor, conditions: Conditions, seed: tf.Tensor) -> tf.Tensor:
        """Rows float64 [B, C] with what breaks a constraint replaced, but for what is known.

        Of columns that are fixed together, the combination that agrees in the most columns is
        taken, the more frequent the likelier. Of an inequality the right side is raised to the
        left one, or the left one lowered, unless it is fixed to others: such rows may stay broken.
        """
        for number, combinations in enumerate(self._fixed):
            uniform = uniform_rows(seed, 1, _REPAIR_STREAM + number)[:, 0]
            rows = combinations.repaired(rows, conditions, uniform)
        # A chain is in order after as many rounds as it has links: up, and where an upper end is
        # in the way, down again.
        links = self._inequalities
        for each in links * len(links):
            rows = self._ordered(rows, each, conditions.known, raises=True)
        for each in links[::-1] * len(links):
            rows = self._ordered(rows, each, conditions.known, raises=False)
        return rows

    def _ordered(
        self, rows: tf.Tensor, each: Inequality, known: tf.Tensor, raises: bool
    ) -> tf.Tensor:
        """Rows in which one side of an inequality is moved, unless known or fixed to others."""
        places = self._place[each.left], self._place[each.right]
        moved, other = places[::-1] if raises else places
        if moved in self._held:
            return rows
        left, right = (rows[:, place] for place in places)
        broken = left >= right if each.strict else left > right
        direction = 1 if raises else -1
        column = self._columns[moved]
        end = rows[:, other] + direction * (_step(column) if each.strict else 0.0)
        end = self._decoder.rounded(_fitting(column, end, direction), moved)
        columns = tf.unstack(rows, axis=1)
        columns[moved] = tf.where(broken & ~known[moved], end, columns[moved])
        return tf.stack(columns, axis=1)

    def keys(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """For each `unique` constraint, string [B], alike for rows that are alike in it."""
        return [_keys(rows, [self._place[name] for name in each.columns]) for each in self._unique]


def _step(column: Any) -> float:
    """What makes a number greater for sure; for whole precision a part of the range."""
    step = tick(column)
    if step is not None:
        return step
    return float(raised(max(abs(column.minimum), abs(column.maximum)), column)) * 1e-6


def _fitting(column: Any, numbers: tf.Tensor, direction: int) -> tf.Tensor:
    """Rounds to a column's precision, up or down, so that an order made before stays."""
    step = tick(column)
    if step is None:
        return numbers
    ends = tf.math.ceil if direction > 0 else tf.math.floor
    return ends(numbers / step - direction * 1e-9) * step


class _Combinations:
    """The combinations of a `fixed` constraint, with how often training has each."""

    def __init__(self, constraint: Fixed, place: dict[str, int], columns: Sequence[Any]) -> None:
        self.constraint = constraint
        self._places = [place[name] for name in constraint.columns]
        self._unknown = [(p, columns[p].unknown) for p in self._places]
        self._values = [columns[p].value for p in self._places if columns[p].value is not None]
        for p in self._places:
            if columns[p].value is not None and tick(columns[p]) is None:
                raise ConfigError(
                    f"ingest.constraints: expected categories, times or numbers of few decimals in "
                    f"{constraint.text!r}. Received: {columns[p].name} of whole precision"
                )
        self._counts: dict[bytes, int] = {}
        self.table: Any = None

    def count(
        self, rows: npt.NDArray[np.float64], codes: npt.NDArray[Any], values: npt.NDArray[Any]
    ) -> None:
        """Counts the combinations of decoded rows [B, C] that a sample may have."""
        # What lies outside of every mode was clipped, and is no number of training.
        kept = ~(np.abs(values[:, self._values]) >= 1).any(axis=1)
        for place, unknown in self._unknown:
            kept &= codes[:, place] >= 0
            if unknown is not None:
                kept &= codes[:, place] != unknown
        found, counts = np.unique(rows[kept][:, self._places], axis=0, return_counts=True)
        for row, number in zip(found, counts, strict=True):
            key = row.tobytes()
            self._counts[key] = self._counts.get(key, 0) + int(number)

    def finish(self) -> None:
        """Lays the combinations down as constants of the graph."""
        if not self._counts:
            raise DataError(
                f"expected training rows that show the combinations of {self.constraint.text!r}. "
                "Received: none whose values are all kept; raise transform.max_categories"
            )
        rows = np.stack([np.frombuffer(key) for key in self._counts])
        self._rows = tf.constant(rows)
        self._bits = _bits(self._rows)
        self._log_counts = tf.math.log(tf.constant(list(self._counts.values()), tf.float32))
        keys = _keys(self._rows, range(len(self._places)))
        places = tf.range(len(rows), dtype=tf.int32)
        initializer = tf.lookup.KeyValueTensorInitializer(keys, places)
        self.table = tf.lookup.StaticHashTable(initializer, default_value=-1)

    def hold(self, rows: tf.Tensor) -> tf.Tensor:
        """Bool [B], whether training has the combination of rows float64 [B, C]."""
        return self.table.lookup(_keys(rows, self._places)) >= 0

    def _fits(self, conditions: Conditions) -> tf.Tensor:
        """Bool [combinations], whether each agrees with what is known."""
        known = tf.gather(conditions.known, self._places)
        given = _bits(tf.gather(conditions.row, self._places))
        return tf.reduce_all(~known | (self._bits == given), axis=1)

    def possible(self, conditions: Conditions) -> tf.Operation:
        names = ", ".join(self.constraint.columns)
        return require(
            tf.reduce_any(self._fits(conditions)),
            f"conditions must allow a combination of {names} that training had "
            f"({self.constraint.text}). Received: others",
        )

    def repaired(self, rows: tf.Tensor, conditions: Conditions, uniform: tf.Tensor) -> tf.Tensor:
        """Rows whose combination training has; where it had none, another is drawn."""
        own = _bits(tf.gather(rows, self._places, axis=1))
        agreement = tf.reduce_sum(tf.cast(own[:, tf.newaxis] == self._bits, tf.float32), axis=2)
        likely = tf.where(self._fits(conditions), self._log_counts, -np.inf)
        chosen = drawn(likely + _AGREEMENT * agreement, uniform, tf.ones_like(uniform))
        columns = tf.unstack(rows, axis=1)
        fine = self.hold(rows)
        for index, place in enumerate(self._places):
            other = tf.gather(self._rows[:, index], chosen)
            columns[place] = tf.where(fine, columns[place], other)
        return tf.stack(columns, axis=1)


def _bits(rows: tf.Tensor) -> tf.Tensor:
    """Numbers as int64 that are equal exactly if the numbers are; one for all that are missing."""
    return tf.where(tf.math.is_nan(rows), np.int64(_MISSING_BITS), tf.bitcast(rows, tf.int64))


def _keys(rows: tf.Tensor, places: Iterable[int]) -> tf.Tensor:
    """String [B], alike for rows float64 [B, C] that are alike in some columns."""
    bits = tf.strings.as_string(_bits(tf.gather(rows, list(places), axis=1)))
    return tf.strings.reduce_join(bits, axis=1, separator=" ")


def fresh(keys: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Bool [B], whether a key is the first of its kind among `before` and the keys until it.

    Args:
        keys: string [B].
        before: string [N].
    """
    together = tf.concat([before, keys], axis=0)
    _, kinds = tf.unique(together)
    places = tf.range(tf.size(together))
    first = tf.math.unsorted_segment_min(places, kinds, tf.size(together))
    return (tf.gather(first, kinds) == places)[tf.size(before) :]

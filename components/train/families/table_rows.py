"""Draws rows until each meets the conditions and constraints of a call, inside a graph."""

from __future__ import annotations

import tensorflow as tf

from components.train.families.family import TableFamily
from components.train.families.random_rows import derived_seeds
from components.train.families.table_conditions import Conditions
from components.train.families.table_constraints import TableConstraints, fresh
from components.train.families.table_decode import TableDecoder
from components.train.graph_checks import require

# Rows made together: more take more memory, fewer spend more of the time on launching operations.
CHUNK_ROWS = 8192
# Least candidates of a round; rounds before rows are repaired; rounds in vain to give up after.
CANDIDATES = 512
_ROUNDS_AS_DRAWN = 4
_ROUNDS_IN_VAIN = 24
# A family that cannot be given a number draws one this near: a quarter of its mode's deviation.
_NEAR = 0.25 / 4.0


class RowMaker:
    """Makes rows of a table: float64 [rows, columns], see table_decode.py.

    A row depends on the seed and its number alone, unless rows must be unique: then also on the
    rows before it.

    Args:
        family: draws candidates.
        decoder: of the table.
        constraints: which every row meets.
    """

    def __init__(
        self, family: TableFamily, decoder: TableDecoder, constraints: TableConstraints
    ) -> None:
        self._family, self._decoder, self._constraints = family, decoder, constraints
        self._columns = decoder.layout.columns

    def make(
        self, count: tf.Tensor, conditions: Conditions, temperature: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """Makes rows, all under the same conditions.

        Args:
            count: int32 [], how many.
            conditions: that all meet.
            temperature: float32 [].
            seed: int64 [].

        Raises:
            tf.errors.InvalidArgumentError: no row can meet conditions and constraints, or none
                was found after many tries.
        """
        with tf.control_dependencies(self._constraints.possible(conditions)):
            chunks = (count + CHUNK_ROWS - 1) // CHUNK_ROWS
        rows = tf.TensorArray(
            tf.float64, chunks, infer_shape=False, element_shape=[None, len(self._columns)]
        )
        keys = [tf.zeros([0], tf.string) for _ in range(self._constraints.unique_count)]

        def chunk(
            number: tf.Tensor, rows: tf.TensorArray, keys: list[tf.Tensor]
        ) -> tuple[tf.Tensor, tf.TensorArray, list[tf.Tensor]]:
            first = number * CHUNK_ROWS
            size = tf.minimum(CHUNK_ROWS, count - first)
            seeds = derived_seeds(seed, tf.cast(tf.range(first, first + size), tf.int64))
            made, keys = self._chunk(seeds, conditions, temperature, keys, first)
            return number + 1, rows.write(number, made), keys

        _, rows, _ = tf.while_loop(
            lambda number, *_: number < chunks,
            chunk,
            (tf.constant(0), rows, keys),
            shape_invariants=(
                tf.TensorShape([]), tf.TensorShape(None), [tf.TensorShape([None]) for _ in keys]
            ),
            parallel_iterations=1,
        )  # fmt: skip
        return tf.ensure_shape(rows.concat(), [None, len(self._columns)])

    def _chunk(
        self, seeds: tf.Tensor, conditions: Conditions, temperature: tf.Tensor,
        keys: list[tf.Tensor], before: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:  # fmt: skip
        """Rows [B, C], one for each seed int64 [B]; the keys so far and theirs."""
        size = tf.size(seeds)
        start = (
            tf.constant(0), tf.constant(0), tf.zeros([size, len(self._columns)], tf.float64),
            tf.zeros([size], tf.bool), keys,
        )  # fmt: skip

        def more(round_: tf.Tensor, vain: tf.Tensor, rows: tf.Tensor, done: tf.Tensor, _: object):  # type: ignore[no-untyped-def]
            return ~tf.reduce_all(done) & (vain < _ROUNDS_IN_VAIN)

        def once(  # type: ignore[no-untyped-def]
            round_: tf.Tensor, vain: tf.Tensor, rows: tf.Tensor, done: tf.Tensor, keys
        ):
            pending = tf.cast(tf.where(~done), tf.int32)
            found, good, keys = self._round(
                tf.gather_nd(seeds, pending), round_, conditions, temperature, keys
            )
            places = tf.boolean_mask(pending, good)
            rows = tf.tensor_scatter_nd_update(rows, places, tf.boolean_mask(found, good))
            done = tf.tensor_scatter_nd_update(done, places, tf.ones(tf.shape(places)[:1], tf.bool))
            vain = tf.where(tf.reduce_any(good), 0, vain + 1)
            return round_ + 1, vain, rows, done, keys

        scalar = tf.TensorShape([])
        _, _, rows, done, keys = tf.while_loop(
            more,
            once,
            start,
            shape_invariants=(
                scalar, scalar, tf.TensorShape([None, len(self._columns)]), tf.TensorShape([None]),
                [tf.TensorShape([None]) for _ in keys],
            ),
            parallel_iterations=1,
        )  # fmt: skip
        made = before + tf.reduce_sum(tf.cast(done, tf.int32))
        rules = self._constraints.texts
        among = f" and constraints ({', '.join(rules)})" if rules else ""
        check = require(
            done, f"conditions{among} must be ones that rows are drawn for. Received: ones that ",
            made, f" rows meet, and none of {_ROUNDS_IN_VAIN * CANDIDATES} more; ask for fewer "
            "rows or conditions",
        )  # fmt: skip
        with tf.control_dependencies([check]):
            return tf.identity(rows), keys

    def _round(
        self, seeds: tf.Tensor, round_: tf.Tensor, conditions: Conditions,
        temperature: tf.Tensor, keys: list[tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:  # fmt: skip
        """One try for each seed, with several candidates each after the first round."""
        rows = tf.size(seeds)
        copies = tf.where(round_ == 0, 1, tf.maximum(1, CANDIDATES // rows))
        tries = tf.range(copies) + round_ * CANDIDATES
        derived = derived_seeds(seeds[:, tf.newaxis], tf.cast(tries, tf.int64)[tf.newaxis])
        candidates, good = self._candidates(
            tf.reshape(derived, [-1]), conditions, temperature, round_ >= _ROUNDS_AS_DRAWN
        )
        good = tf.reshape(good, [rows, copies])
        first = tf.argmax(tf.cast(good, tf.int32), axis=1, output_type=tf.int32)
        chosen = tf.gather(candidates, tf.range(rows) * copies + first)
        accepted = tf.reduce_any(good, axis=1)
        own = self._constraints.keys(chosen)
        # Rows that are not accepted stand in nobody's way: their keys are made their own.
        numbered = tf.strings.join(["row ", tf.strings.as_string(tf.range(rows))])
        own = [tf.where(accepted, key, numbered) for key in own]
        for key, before in zip(own, keys, strict=True):
            accepted &= fresh(key, before)
        keys = [
            tf.concat([before, tf.boolean_mask(key, accepted)], axis=0)
            for key, before in zip(own, keys, strict=True)
        ]
        return chosen, accepted, keys

    def _candidates(
        self, seeds: tf.Tensor, conditions: Conditions, temperature: tf.Tensor, repair: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows [N, C], of each seed one, and bool [N], whether it meets everything but unique."""
        rows = tf.size(seeds)

        def wide(tensor: tf.Tensor) -> tf.Tensor:
            return tf.broadcast_to(tensor, [rows, *tensor.shape])

        codes, values = self._family.sample(
            wide(conditions.known), wide(conditions.codes), wide(conditions.values), seeds,
            tf.fill([rows], temperature),
        )  # fmt: skip
        matched = self._matched(codes, values, conditions)
        drawn = self._decoder.numbers(codes, values)
        drawn = tf.where(conditions.known, conditions.row, drawn)
        drawn = tf.cond(
            repair,
            lambda: self._constraints.repaired(drawn, conditions, seeds),
            lambda: drawn,
        )
        return drawn, matched & self._constraints.hold(drawn)

    def _matched(self, codes: tf.Tensor, values: tf.Tensor, conditions: Conditions) -> tf.Tensor:
        """Bool [N], whether what is known was drawn: the same codes, and values near."""
        matched = tf.reduce_all(~conditions.known | (codes == conditions.codes), axis=1)
        for place, column in enumerate(self._columns):
            if column.value is not None:
                apart = tf.abs(values[:, column.value] - conditions.values[column.value])
                missing = codes[:, place] >= len(column.means)
                matched &= ~conditions.known[place] | missing | (apart <= _NEAR)
        return matched

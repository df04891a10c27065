"""A model of tables as a server sees it: the exported SavedModel, called through its signatures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.errors import ModelError
from components.table_layout import MISSING_SUFFIX, arrow_type, score_inputs
from components.table_schema import Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

_INPUTS = {"num_rows", "conditions", "temperature", "seed"}
_GENERATE_ROWS = 1000
_SCORE_ROWS = 500


class ServedTable:
    """A loaded SavedModel with `generate(num_rows, conditions, temperature, seed) -> columns`."""

    def __init__(self, path: Path, schema: TableSchema) -> None:
        """Loads the SavedModel at `path`.

        Args:
            path: its folder.
            schema: of the real rows, whose types the generated ones get.

        Raises:
            ModelError: there is none, it cannot be loaded, or it does not generate these columns.
        """
        import tensorflow as tf

        if not (path / "saved_model.pb").is_file():
            raise ModelError(f"expected a SavedModel at {path}. Received: no saved_model.pb there")
        try:
            self._loaded: Any = tf.saved_model.load(str(path))
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"expected a readable SavedModel at {path}. Received: {error}"
            ) from None
        self._schema = schema
        generate = self._loaded.signatures.get("generate")
        inputs = set(generate.structured_input_signature[1]) if generate else set()
        outputs = set(generate.structured_outputs) if generate else set()
        if inputs != _INPUTS or not set(schema.names) <= outputs:
            raise ModelError(
                f"expected a signature generate({', '.join(sorted(_INPUTS))}) that gives "
                f"{', '.join(schema.names)} in the SavedModel at {path}. Received: inputs "
                f"{', '.join(sorted(inputs)) or 'none'}, outputs {', '.join(sorted(outputs))}"
            )
        self._generate = generate

    @property
    def scores(self) -> bool:
        """Whether the model tells how likely a row is."""
        return "score" in self._loaded.signatures

    def generate(
        self,
        rows: int,
        seed: int,
        temperature: float = 1.0,
        conditions: Sequence[str] = (),
        name: str = "generate",
    ) -> tuple[pa.Table, float]:
        """Generates rows in calls of a thousand.

        Returns:
            The rows in the types of the source, and rows per second after the first call.

        Raises:
            ModelError: the model refuses.
        """
        import pyarrow as pa

        parts: list[pa.Table] = []
        seconds, timed = 0.0, 0
        for call, start in enumerate(range(0, rows, _GENERATE_ROWS)):
            wanted = min(_GENERATE_ROWS, rows - start)
            begun = time.perf_counter()
            outputs = self._call(wanted, seed + call, temperature, conditions)
            if call:
                seconds, timed = seconds + time.perf_counter() - begun, timed + wanted
            parts.append(self._table(outputs))
            print(f"progress: {name} {start + wanted:,}/{rows:,} rows", flush=True)
        return pa.concat_tables(parts), timed / seconds if seconds else 0.0

    def one(self, seed: int) -> None:
        """Answers one request: a row.

        Raises:
            ModelError: the model refuses.
        """
        self._call(1, seed, 1.0, ())

    def _call(
        self, rows: int, seed: int, temperature: float, conditions: Sequence[str]
    ) -> dict[str, npt.NDArray[Any]]:
        """The outputs of one call."""
        import tensorflow as tf

        try:
            found = self._generate(
                num_rows=tf.constant([rows], tf.int32),
                conditions=tf.constant([each.encode() for each in conditions], tf.string),
                temperature=tf.constant([temperature], tf.float32),
                seed=tf.constant([seed], tf.int64),
            )
        except tf.errors.InvalidArgumentError as error:
            asked = f" where {', '.join(conditions)}" if conditions else ""
            said = error.message.strip().splitlines()[0]
            raise ModelError(
                f"expected the model to generate {rows} rows{asked}. Received: {said}"
            ) from None
        return {key: tensor.numpy() for key, tensor in found.items()}

    def _table(self, outputs: dict[str, npt.NDArray[Any]]) -> pa.Table:
        import pyarrow as pa

        arrays = []
        for column in self._schema.columns:
            values = outputs[column.name]
            absent = outputs.get(f"{column.name}{MISSING_SUFFIX}", np.zeros(len(values), bool))
            arrays.append(_array(values, absent, column))
        return pa.table(arrays, names=self._schema.names)

    def score(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """Negative log-likelihood of each row, in nats.

        Raises:
            ModelError: a score is not finite.
        """
        import tensorflow as tf

        signature = self._loaded.signatures["score"]
        specs = signature.structured_input_signature[1]
        names = [name for column in self._schema.columns for name in _named(column)]
        called = score_inputs(names)
        found = []
        for start in range(0, table.num_rows, _SCORE_ROWS):
            part = table.slice(start, _SCORE_ROWS)
            inputs: dict[str, Any] = {}
            for column in self._schema.columns:
                name, *missing = (called[each] for each in _named(column))
                values, absent = _plain(part.column(column.name), specs[name].dtype)
                inputs[name] = tf.constant(values, specs[name].dtype)
                inputs |= {each: tf.constant(absent) for each in missing}
            found.append(signature(**inputs)["nll"].numpy().astype(np.float64))
            print(f"progress: score {start + part.num_rows:,}/{table.num_rows:,} rows", flush=True)
        scores = np.concatenate(found)
        broken = int(np.count_nonzero(~np.isfinite(scores)))
        if broken:
            raise ModelError(
                f"expected finite scores from the model. Received: {broken} of {len(scores)} that "
                "are not; its training diverged: train again with a lower learning rate"
            )
        return scores


def _named(column: Column) -> list[str]:
    """A column's name, and that of what tells its missing values where it may have some."""
    return [column.name, *([f"{column.name}{MISSING_SUFFIX}"] if column.nullable else [])]


def _array(values: npt.NDArray[Any], absent: npt.NDArray[np.bool_], column: Column) -> pa.Array:
    """An output as an Arrow column in the source's type, null where missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = arrow_type(column.dtype)
    if values.dtype != object:
        return pc.cast(pa.array(values, mask=absent), wanted, safe=False)
    texts = [None if gone else value.decode() for value, gone in zip(values, absent, strict=True)]
    if pa.types.is_timestamp(wanted):
        import pandas as pd

        times = pd.to_datetime(pd.Series(texts), utc=True, format="ISO8601")
        return pc.cast(
            pc.cast(pa.Array.from_pandas(times), pa.timestamp("us", tz="UTC"), safe=False),
            wanted,
            safe=False,
        )
    return pc.cast(pa.array(texts, pa.string()), wanted)


def _plain(array: pa.ChunkedArray, dtype: Any) -> tuple[Any, npt.NDArray[np.bool_]]:
    """A column as what a tensor of that type takes, with something in place of the missing."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import tensorflow as tf

    absent = np.asarray(pc.is_null(array).to_numpy())
    if dtype == tf.string:
        if pa.types.is_timestamp(array.type):
            moments = array.to_pylist()
            return [moment.isoformat().encode() if moment else b"" for moment in moments], absent
        return [(text or "").encode() for text in pc.cast(array, pa.string()).to_pylist()], absent
    filled = pc.fill_null(array, False if dtype == tf.bool else 0)
    return filled.to_numpy().astype(dtype.as_numpy_dtype), absent

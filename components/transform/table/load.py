"""Runs a table's transform graph inside another module, such as an exported model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from components.artifacts import TransformGraph, read_json
from components.errors import DataError
from components.table_layout import ColumnLayout, TableLayout
from components.table_schema import DATETIME
from components.transform.table import datetimes
from components.transform.table.features import EXAMPLE_ID, feature_type, sparse

MISSING_SUFFIX = ".missing"

_Features = dict[str, tf.Tensor | tf.SparseTensor]


class TableTransform(tf.Module):  # type: ignore[misc]
    """The transform of a table as it was written by the transform step.

    Assigned to an attribute of a module that is saved, it takes graph, modes and categories along.
    """

    def __init__(self, graph: TransformGraph) -> None:
        """Loads the graph; see `load_transform`."""
        super().__init__(name="table_transform")
        self.layout = TableLayout.from_json(read_json(graph.table_layout))
        self._loaded = tf.saved_model.load(str(graph.transform_fn))

    def transform(self, features: _Features) -> tuple[tf.Tensor, tf.Tensor]:
        """Lays rows out by the transform graph itself.

        Args:
            features: of each column, as components/transform/table/features.py describes them.

        Returns:
            `codes`, int32 [B, columns], -1 for a category that training did not have; `values`,
            float32 [B, values].
        """
        some = next(iter(features.values()))
        rows = some.dense_shape[0] if isinstance(some, tf.SparseTensor) else tf.shape(some)[0]
        # The layout of a row does not depend on its id.
        ids = tf.fill([rows], "")
        found = self._loaded.transform_fn({**features, EXAMPLE_ID: ids})
        values = found.get("values")
        if values is None:
            values = tf.zeros([rows, 0], tf.float32)
        return tf.cast(found["codes"], tf.int32), values

    def encode(self, columns: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Lays rows out that come as a caller of a model has them.

        Args:
            columns: of each column its values, [B], in the source's own type, datetimes as
                ISO 8601 texts; for a nullable column also 'NAME.missing', bool [B], without
                which no value is missing. NaN and empty times are missing, too.

        Returns:
            `codes`, int32 [B, columns]; `values`, float32 [B, values], 0 where missing.

        Raises:
            tf.errors.InvalidArgumentError: a category is none that training had, a value is
                missing in a column that never lacked one, or a time is none.
        """
        features: _Features = {}
        for column in self.layout.columns:
            absent = columns.get(f"{column.name}{MISSING_SUFFIX}")
            features[column.name] = _feature(column, columns[column.name], absent)
        codes, values = self.transform(features)
        checks = []
        for place, column in enumerate(self.layout.columns):
            if column.categories and column.unknown is None:
                # Typed values may not compare with a code, so the first unseen one is shown.
                checks.append(_assert_seen(column, codes[:, place], columns[column.name]))
        with tf.control_dependencies(checks):
            return tf.identity(codes), tf.identity(values)


def _feature(
    column: ColumnLayout, values: tf.Tensor, absent: tf.Tensor | None
) -> tf.Tensor | tf.SparseTensor:
    if absent is None:
        absent = tf.zeros(tf.shape(values), tf.bool)
    if values.dtype.is_floating:
        absent |= tf.math.is_nan(values)
    elif column.kind == DATETIME and values.dtype == tf.string:
        absent |= tf.strings.strip(values) == ""
    there = ~absent
    if column.nullable:
        return sparse(_typed(column, tf.boolean_mask(values, there)), there)
    message = f"expected a value of {column.name} in every row. Received: a missing one"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(there), [message])]):
        return _typed(column, tf.identity(values))


def _typed(column: ColumnLayout, values: tf.Tensor) -> tf.Tensor:
    """Values in the type of the column's feature."""
    kind = feature_type(column.column)
    if column.kind == DATETIME and values.dtype == tf.string:
        return datetimes.parse(values)
    if kind == tf.string and values.dtype.is_floating:
        # With 17 digits a number of double precision is the same again.
        return tf.strings.as_string(tf.cast(values, tf.float64), precision=17, shortest=True)
    return values if kind == tf.string else tf.cast(values, kind)


def _assert_seen(column: ColumnLayout, codes: tf.Tensor, values: tf.Tensor) -> tf.Operation:
    unseen = tf.boolean_mask(values, codes < 0)[:1]
    text = unseen if unseen.dtype == tf.string else tf.strings.as_string(unseen)
    known = ", ".join(column.categories[:10])
    more = ", ..." if len(column.categories) > 10 else ""
    message = tf.strings.join(
        [
            f"expected a category of {column.name} that training had ({known}{more}). Received: '",
            tf.strings.reduce_join(text),
            "'",
        ]
    )
    return tf.debugging.Assert(tf.reduce_all(codes >= 0), [message])


def load_transform(graph: Path) -> TableTransform:
    """Loads the graph that the transform step wrote.

    Args:
        graph: folder in TFX's layout.

    Raises:
        DataError: there is no transform graph for tables.
    """
    written = TransformGraph(graph)
    for path in (written.transform_fn / "saved_model.pb", written.table_layout):
        if not path.is_file():
            raise DataError(
                f"expected the transform graph of a table at {graph}. Received: no {path.name} "
                "there"
            )
    return TableTransform(written)

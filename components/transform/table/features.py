"""The features of a table that a transform graph takes, in the types that tf.Example has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.table_schema import BOOLEAN, DATETIME, Column

EXAMPLE_ID = "example_id"


def feature_type(column: Column) -> tf.DType:
    """The type of a column's feature.

    Integers, booleans and datetimes (microseconds since 1970, UTC) are int64. Numbers of double
    precision are texts, because tf.Example has single precision only.
    """
    if column.kind in (BOOLEAN, DATETIME) or "int" in column.dtype:
        return tf.int64
    return tf.float32 if column.dtype == "float" else tf.string


def feature_spec(columns: Sequence[Column]) -> dict[str, tf.io.FixedLenFeature]:
    """What the graph takes: one value for each column, none where one may be missing."""
    spec = {EXAMPLE_ID: tf.io.FixedLenFeature([], tf.string)}
    for column in columns:
        kind = feature_type(column)
        fixed = tf.io.FixedLenFeature([], kind)
        spec[column.name] = tf.io.VarLenFeature(kind) if column.nullable else fixed
    return spec


def feature_values(array: pa.Array, column: Column) -> pa.Array:
    """A column of examples in its feature's type: int64, float or large_binary."""
    if column.kind == DATETIME:
        zone = array.type.tz if pa.types.is_timestamp(array.type) else None
        array = pc.cast(array, pa.timestamp("us", tz=zone))
    kind = feature_type(column)
    if kind == tf.string:
        return pc.cast(pc.cast(array, pa.string()), pa.large_binary())
    return pc.cast(array, pa.int64() if kind == tf.int64 else pa.float32())


def feature_lists(values: pa.Array) -> pa.Array:
    """Values as TFX's record batches have them: a list for each row, empty where missing."""
    present = np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.int64)
    offsets = pa.array(np.concatenate([[0], np.cumsum(present)]))
    return pa.LargeListArray.from_arrays(offsets, pc.drop_null(values))


def feature_tensor(values: pa.Array, column: Column) -> tf.Tensor | tf.SparseTensor:
    """Values as the graph takes them: [rows], or sparse [rows, 1] for a nullable column."""
    kind = feature_type(column)
    present = values.is_valid().to_numpy(zero_copy_only=False)
    dense = tf.constant(pc.drop_null(values).to_numpy(zero_copy_only=False), kind)
    return sparse(dense, present) if column.nullable else dense


def sparse(values: tf.Tensor, present: tf.Tensor) -> tf.SparseTensor:
    """The values of the rows that have one, as sparse [rows, 1].

    Args:
        values: [rows that have one].
        present: bool [rows].
    """
    places = tf.where(present)
    indices = tf.concat([places, tf.zeros_like(places)], axis=1)
    rows = tf.cast(tf.size(present), tf.int64)
    return tf.SparseTensor(indices, values, tf.stack([rows, tf.constant(1, tf.int64)]))


def dense(feature: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """One value for each row; where it is missing, an empty text or 0."""
    if not isinstance(feature, tf.SparseTensor):
        return feature
    rows = feature.dense_shape[0]
    shape = tf.stack([rows, tf.constant(1, tf.int64)])
    return tf.sparse.to_dense(tf.SparseTensor(feature.indices, feature.values, shape))[:, 0]


def present(feature: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """bool [rows], whether a row has a value."""
    if not isinstance(feature, tf.SparseTensor):
        return tf.ones(tf.shape(feature), tf.bool)
    places = feature.indices[:, :1]
    found = tf.scatter_nd(places, tf.ones(tf.shape(places)[:1], tf.int32), feature.dense_shape[:1])
    return found > 0

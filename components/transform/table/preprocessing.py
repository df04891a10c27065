"""TensorFlow Transform's `preprocessing_fn` for tables; fit to be TFX Transform's `module_file`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import tf_utils

from components.table_layout import SPAN
from components.table_schema import BOOLEAN, CATEGORICAL, DATETIME, Column, TableSchema
from components.transform.table import datetimes
from components.transform.table.features import EXAMPLE_ID, dense, present
from components.transform.table.modes import (
    NUMBERS_PER_LINE,
    LearnModes,
    NumberSpec,
    empty_file,
)

_KEYS = 2**62
_MICROSECONDS = 1e6

_Feature: TypeAlias = tf.Tensor | tf.SparseTensor


def preprocessing_fn(
    inputs: Mapping[str, _Feature], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Lays rows out as codes and values, by modes and categories learnt from the same rows.

    Mode-specific normalization is that of CTGAN (Xu et al., Modeling Tabular data using
    Conditional GAN, 2019), but a number belongs to its most likely mode, where CTGAN draws one:
    so a row has one layout, in training and in serving.

    Args:
        inputs: `example_id`, string [B], passed through; and a feature for each column, as
            components/transform/table/features.py describes them.
        custom_config: `schema`, a TableSchema as JSON; and `modes`, `max_distinct` and
            `max_categories`, as in TransformTableOptions.

    Returns:
        `example_id`, string [B]; `codes`, int64 [B, columns], -1 for a category that training did
        not have; `values`, float32 [B, values], absent where there are none.
    """
    columns = TableSchema.from_json(custom_config["schema"]).columns
    numbers = [column for column in columns if column.kind not in (CATEGORICAL, BOOLEAN)]
    modes = _learn_modes(inputs, numbers, custom_config)
    codes, values = [], []
    for place, column in enumerate(columns):
        feature = inputs[column.name]
        there = present(feature)
        if column.kind == BOOLEAN:
            code, count = dense(feature), tf.constant(2, tf.int64)
        elif column.kind == CATEGORICAL:
            most = int(custom_config["max_categories"])
            codes.append(_categories(feature, there, column, most, vocabulary_name(place)))
            continue
        else:
            spec = number_spec(column, custom_config)
            code, within, count = _place(_numbers(feature, column), modes[column.name], spec)
            if not spec.each_value:
                values.append(tf.cast(tf.where(there, within, 0.0), tf.float32))
        codes.append(tf.where(there, code, count))
    outputs = {EXAMPLE_ID: inputs[EXAMPLE_ID], "codes": tf.stack(codes, axis=1)}
    return {**outputs, "values": tf.stack(values, axis=1)} if values else outputs


def number_spec(column: Column, custom_config: Mapping[str, Any]) -> NumberSpec:
    """How the modes of a numerical or datetime column are learnt."""
    few = column.distinct is not None and column.distinct <= int(custom_config["max_distinct"])
    resolution = 0.0
    if column.step is not None:
        resolution = column.step
    elif column.decimals is not None:
        resolution = 10.0**-column.decimals
    most = column.distinct if few and column.distinct else int(custom_config["modes"])
    return NumberSpec(most, few, resolution)


def vocabulary_name(place: int) -> str:
    """The name of the vocabulary of a categorical column, by its place among the columns."""
    return f"categories_{place:03d}"


def _numbers(feature: _Feature, column: Column) -> tf.Tensor:
    """float64 [B], NaN where missing; datetimes in seconds."""
    there, values = present(feature), dense(feature)
    if values.dtype == tf.string and column.kind == DATETIME:
        values = datetimes.parse(tf.where(there, values, "1970-01-01"))
    elif values.dtype == tf.string:
        values = tf.strings.to_number(tf.where(there, values, "0"), tf.float64)
    found = tf.cast(values, tf.float64)
    if column.kind == DATETIME:
        found /= _MICROSECONDS
    return tf.where(there, found, tf.constant(float("nan"), tf.float64))


def _learn_modes(
    inputs: Mapping[str, _Feature], numbers: list[Column], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Of each column a float64 [lines, 3], as `LearnModes` writes them."""
    if not numbers:
        return {}
    specs = [number_spec(column, custom_config) for column in numbers]
    matrix = tf.stack([_numbers(inputs[column.name], column) for column in numbers], axis=1)
    keys = tf.strings.to_hash_bucket_fast(inputs[EXAMPLE_ID], _KEYS)
    (path,) = tft.experimental.ptransform_analyzer(
        inputs=[matrix, keys],
        ptransform=LearnModes(specs),
        output_dtypes=[tf.string],
        output_shapes=[[]],
        output_asset_default_values=[empty_file(specs)],
        name="modes",
    )
    lines = _read_lines(path, sum(spec.lines for spec in specs))
    parts = tf.split(lines, [spec.lines for spec in specs])
    return {column.name: part for column, part in zip(numbers, parts, strict=True)}


def _read_lines(path: tf.Tensor, count: int) -> tf.Tensor:
    """The numbers of a file whose path is known only once the analyzer has run."""

    def make_table(name: str | tf.Tensor) -> tf.lookup.StaticHashTable:
        initializer = tf.lookup.TextFileInitializer(
            name,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
        )
        return tf.lookup.StaticHashTable(initializer, "0.0 1.0 0.0")

    numbers = tf.range(count, dtype=tf.int64)
    lines, _ = tf_utils.construct_and_lookup_table(make_table, path, numbers)
    parts = tf.strings.split(lines, " ").to_tensor("0.0", shape=[count, NUMBERS_PER_LINE])
    return tf.strings.to_number(parts, tf.float64)


def _place(
    numbers: tf.Tensor, lines: tf.Tensor, spec: NumberSpec
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The most likely mode of each number, where in it, and how many modes there are."""
    means, deviations, weights = tf.unstack(lines[1:], axis=1)
    distances = numbers[:, None] - means
    if spec.each_value:
        # The nearest one: a value that training did not have has no code of its own.
        nearness = tf.where(weights > 0, -tf.abs(distances), -float("inf"))
        scaled = tf.zeros_like(distances)
    else:
        scaled = distances / deviations
        nearness = tf.math.log(weights) - tf.math.log(deviations) - tf.square(scaled) / 2
    code = tf.argmax(nearness, axis=1)
    within = tf.gather(scaled, code, axis=1, batch_dims=1) / SPAN
    count = tf.reduce_sum(tf.cast(weights > 0, tf.int64))
    return code, tf.clip_by_value(within, -1.0, 1.0), count


def escape(texts: tf.Tensor) -> tf.Tensor:
    """Texts as lines of a vocabulary, which holds neither line ends nor empty texts."""
    for found, written in ((r"\\", r"\\\\"), ("\n", r"\\n"), ("\r", r"\\r")):
        texts = tf.strings.regex_replace(texts, found, written)
    return tf.where(texts == "", r"\0", texts)


def unescape(line: str) -> str:
    """The text of a line of a vocabulary."""
    marks = {r"\0": "", r"\n": "\n", r"\r": "\r", r"\\": "\\"}
    return re.sub(r"\\[0nr\\]", lambda found: marks[found[0]], line)


def _categories(
    feature: _Feature, there: tf.Tensor, column: Column, most: int, name: str
) -> tf.Tensor:
    """The code of each category; see components/table_layout.py."""
    values = dense(feature)
    texts = values if values.dtype == tf.string else tf.strings.as_string(values)
    texts = escape(texts)
    # Words are counted by batch first: few pairs reach Beam. One more word than is kept says
    # whether there are others.
    words, _, counts = tf.unique_with_counts(tf.boolean_mask(texts, there))
    vocabulary = tft.vocabulary(
        words, top_k=most + 1, weights=tf.cast(counts, tf.float32), vocab_filename=name
    )
    codes = tft.apply_vocabulary(texts, vocabulary, default_value=-1)
    learnt = tf.cast(tft.experimental.get_vocabulary_size_by_name(name), tf.int64)
    kept = tf.minimum(learnt, most)
    unknown = tf.where(learnt > most, kept + int(column.nullable), -1)
    codes = tf.where((codes < 0) | (codes >= kept), unknown, codes)
    return tf.where(there, codes, kept)

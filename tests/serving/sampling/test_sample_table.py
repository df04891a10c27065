"""A table of any length streams from a server into a file, in the types of its source."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from serving.client import InvalidRequestError
from serving.sampling import SamplingError, sample_table
from serving.sampling.commands import sample
from serving.sampling.sampling import batch_seed

TYPES = {
    "flight": pa.int16(),
    "weight": pa.float64(),
    "delay": pa.float32(),
    "carrier": pa.string(),
    "late": pa.bool_(),
    "day": pa.date32(),
    "at": pa.timestamp("us", tz="America/New_York"),
}


def test_rows_come_in_the_types_and_the_order_of_the_source(
    table_address: str, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "rows.parquet"
    seen = []
    done = sample_table(
        table_address, "text", 250, out, batch_rows=100, progress=lambda *at: seen.append(at)
    )
    table = pq.read_table(out)
    assert (table.num_rows, done.rows, done.version) == (250, 250, 3)
    assert {field.name: field.type for field in table.schema} == TYPES
    assert table.column_names == list(TYPES)
    assert [field.nullable for field in table.schema] == [name == "delay" for name in TYPES]
    assert seen == [(100, 250), (200, 250), (250, 250)]
    assert [path.name for path in out.parent.iterdir()] == ["rows.parquet"]
    for row in table.slice(0, 20).to_pylist():
        assert (row["delay"] is None) == (row["flight"] % 2 == 0)
        assert row["weight"] == row["flight"] + 0.1
        assert row["day"] == dt.date(2013, 2, 28)
        assert row["at"] == dt.datetime(2013, 2, 28, 12, 30, tzinfo=dt.UTC)


def test_csv_has_the_same_rows(table_address: str, tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.parquet"):
        sample_table(table_address, "text", 120, tmp_path / name, batch_rows=50, seed=4)
    types = {"flight": pa.int16(), "delay": pa.float32(), "carrier": pa.string()}
    options = pyarrow.csv.ConvertOptions(column_types=types)
    read = pyarrow.csv.read_csv(tmp_path / "rows.csv", convert_options=options)
    written = pq.read_table(tmp_path / "rows.parquet")
    for name in ("flight", "weight", "delay", "carrier", "late", "day"):
        assert read[name].to_pylist() == written[name].to_pylist()


def test_a_seed_gives_the_same_rows_and_batches_are_not_alike(
    table_address: str, tmp_path: Path
) -> None:
    tables = []
    for number, seed in enumerate((7, 7, 8)):
        out = tmp_path / f"{number}.parquet"
        sample_table(table_address, "text", 200, out, batch_rows=100, seed=seed)
        tables.append(pq.read_table(out))
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])
    assert not tables[0].slice(0, 100).equals(tables[0].slice(100))
    seeds = {batch_seed(seed, number) for seed in range(100) for number in range(100)}
    assert len(seeds) == 10_000
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_conditions_and_temperature_reach_the_model(table_address: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    sample_table(table_address, "text", 50, out, conditions=["carrier=UA"], temperature=0.0)
    table = pq.read_table(out)
    assert all(text.startswith("carrier=UA") for text in table["carrier"].to_pylist())
    assert set(table["delay"].drop_null().to_pylist()) == {0.0}


def test_rows_are_unique_across_batches(unique_address: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    sample_table(unique_address, "text", 400, out, batch_rows=100)
    assert len(set(pq.read_table(out)["flight"].to_pylist())) == 400


def test_more_unique_rows_than_there_are_end_in_one_line(
    unique_address: str, tmp_path: Path
) -> None:
    out = tmp_path / "rows.parquet"
    with pytest.raises(SamplingError, match=r"Received: 500 such rows, .* ask for fewer rows"):
        sample_table(unique_address, "text", 501, out, batch_rows=1000)
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_refuses_leaves_the_old_file(table_address: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("old")
    with pytest.raises(InvalidRequestError, match="conditions must name columns among carrier"):
        sample_table(table_address, "text", 10, out, conditions=["wings=2"])
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("name", "rows", "batch_rows", "expected"),
    [
        ("rows.json", 1, 1, r"a file named \*.parquet or \*.csv. Received: .*rows.json"),
        ("rows.csv", 0, 1, r"expected 1 row or more. Received: 0"),
        ("rows.csv", 1, 0, r"batches of 1 row or more. Received: 0"),
    ],
)
def test_senseless_arguments_are_refused_before_anything_is_asked(
    tmp_path: Path, name: str, rows: int, batch_rows: int, expected: str
) -> None:
    with pytest.raises(SamplingError, match=expected):
        sample_table("127.0.0.1:1", "table", rows, tmp_path / name, batch_rows=batch_rows)


def test_a_model_of_text_is_refused(server: object, tmp_path: Path) -> None:
    address = server.address  # type: ignore[attr-defined]
    with pytest.raises(SamplingError, match="expected a model of tables"):
        sample_table(address, "text", 1, tmp_path / "rows.csv")


def test_a_place_that_cannot_be_written_ends_in_one_line(
    table_address: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SamplingError, match="expected a place to write"):
        sample_table(table_address, "text", 1, tmp_path / "file" / "rows.csv")


def test_the_command_writes_and_says_so(table_address: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    arguments = ["table", "--rows=30", f"--out={out}", f"--server={table_address}"]
    arguments += ["--model=text", "--where", "carrier=UA"]
    result = CliRunner().invoke(sample, arguments)
    assert result.exit_code == 0, result.output
    assert f"{out}: 30 rows" in result.stdout
    assert "progress: 30 of 30 rows" in result.stderr
    assert pq.read_table(out).num_rows == 30


def test_the_command_ends_in_one_line(table_address: str, tmp_path: Path) -> None:
    arguments = ["table", "--rows=3", f"--out={tmp_path / 'rows.csv'}", "--where=wings=2"]
    arguments += [f"--server={table_address}", "--model=text"]
    result = CliRunner().invoke(sample, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_memory_does_not_grow_with_the_rows(table_address: str, tmp_path: Path) -> None:
    """In a process of its own, 50,000 rows raise the peak that 5,000 had by less than 16 MB."""
    program = (
        "import resource, sys; from pathlib import Path; from serving.sampling import sample_table;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "out = Path(sys.argv[2]);"
        "sample_table(sys.argv[1], 'text', 5_000, out, batch_rows=1_000); first = peak();"
        "sample_table(sys.argv[1], 'text', 50_000, out, batch_rows=1_000); print(peak() - first)"
    )
    out = tmp_path / "rows.parquet"
    command = [sys.executable, "-c", program, table_address, str(out)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert pq.read_metadata(out).num_rows == 50_000
    assert int(result.stdout) * 1024 < 16_000_000


def test_no_tensorflow_is_loaded() -> None:
    program = (
        "import sys, serving.sampling.commands, serving.sampling;"
        "print('tensorflow' in sys.modules, 'pyarrow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert result.stdout.split() == ["False", "False"]

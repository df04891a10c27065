"""Tables become examples: complete, in their own types, split by content and time."""

from __future__ import annotations

import datetime as dt
import gzip
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Examples, ExamplesManifest
from components.errors import ConfigError, DataError
from components.ingest.table.ingest import run
from components.ingest.table.options import IngestTableOptions
from components.table_schema import Column, TableSchema

ROOT = Path(__file__).parents[4]

TRIPS = """\
trip,city,postal,price,member,day,left,note
1,Rome,00184,12.50,true,2013-01-05,2013-01-05T08:00:00Z,
2,Rome,00185,8.25,false,2013-01-06,2013-01-06T09:00:00Z,"late, ""very"" late"
3,Paris,75001,,true,2013-02-07,2013-02-07T10:00:00Z,"two
lines"
4,NA,10115,3,,2013-02-08,2013-02-08T11:00:00Z,ok
5,Bern,03011,4.1,false,2013-03-09,2013-03-09T12:00:00Z,ok
6,Bern,03011,4.1,false,2013-03-10,2013-03-10T12:00:00Z,ok
"""


def ingest(source: Path | str, output: Path, **options: Any) -> ExamplesManifest:
    return run(IngestTableOptions(source=str(source), **options), output)


def rows(output: Path, *splits: str) -> list[dict[str, Any]]:
    return [
        row
        for split in splits or ("train", "eval", "current")
        for batch in Examples(output).batches(split)
        for row in batch.to_pylist()
    ]


def schema(manifest: ExamplesManifest) -> TableSchema:
    return TableSchema.from_json(manifest.details)


@pytest.fixture
def trips(tmp_path: Path) -> Path:
    path = tmp_path / "trips.csv"
    path.write_text(TRIPS, "utf-8")
    return path


def test_columns_of_texts_get_the_types_that_all_values_have(trips: Path, tmp_path: Path) -> None:
    manifest = ingest(trips, tmp_path / "out", categorical=["trip"])
    assert manifest.modality == "table"
    expected = [
        Column("trip", "categorical", "int64", False, distinct=6),
        Column("city", "categorical", "string", True, distinct=3),
        Column("postal", "categorical", "string", False, distinct=5),
        Column("price", "numerical", "double", True, 2, 3.0, 12.5, 5 - 1),
        Column("member", "boolean", "bool", True, distinct=2),
        Column("day", "datetime", "date32[day]", False, 0, 1357344000.0, 1362873600.0, 6, 86400.0),
        Column("left", "datetime", "timestamp[us, tz=UTC]", False, 0, 1357372800.0, 1362916800.0,
               6, 3600.0),
        Column("note", "categorical", "string", True, distinct=3),
    ]  # fmt: skip
    assert list(schema(manifest).columns) == expected
    found = {row["trip"]: row for row in rows(tmp_path / "out")}
    assert found[3]["note"] == "two\nlines"
    assert found[2]["note"] == 'late, "very" late'
    assert found[4] | {"example_id": "", "document_id": ""} == {
        "trip": 4, "city": None, "postal": "10115", "price": 3.0, "member": None,
        "day": dt.date(2013, 2, 8), "left": dt.datetime(2013, 2, 8, 11, tzinfo=dt.UTC),
        "note": "ok", "event_time": None, "provenance": None, "example_id": "", "document_id": "",
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["csv.gz", "csv.zip", "parquet"])
def test_every_format_gives_the_same_examples(trips: Path, tmp_path: Path, ending: str) -> None:
    ingest(trips, tmp_path / "plain")
    other = tmp_path / f"other.{ending}"
    if ending == "csv.gz":
        other.write_bytes(gzip.compress(trips.read_bytes()))
    elif ending == "csv.zip":
        subprocess.run([sys.executable, "-m", "zipfile", "-c", str(other), str(trips)], check=True)
    else:
        examples = Examples(tmp_path / "plain")
        table = pa.Table.from_batches(
            [*examples.batches("train"), *examples.batches("eval")]
        ).drop_columns(["example_id", "document_id", "event_time"])
        pq.write_table(table, other)
    ingest(other, tmp_path / "other")
    for split in ("train", "eval"):
        one, two = (rows(tmp_path / name, split) for name in ("plain", "other"))
        assert sorted(one, key=str) == sorted(two, key=str)


def test_equal_rows_are_kept_with_ids_of_their_own_and_fall_together(tmp_path: Path) -> None:
    path = tmp_path / "again.csv"
    path.write_text("a,b\n" + "1,x\n" * 500 + "2,y\n" * 3, "utf-8")
    ingest(path, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert len({row["example_id"] for row in found}) == len(found) == 503
    train, held_out = (
        {row["a"] for row in rows(tmp_path / "out", split)} for split in ("train", "eval")
    )
    assert train | held_out == {1, 2}
    assert not train & held_out


def test_ids_tell_apart_what_joins_to_the_same_text(tmp_path: Path) -> None:
    separator = "\x1f"
    table = pa.table(
        {
            "a": ["x", f"x{separator}y", "\\N", None, "x\\", "x"],
            "b": [f"y{separator}z", "z", "n", "n", "z", "\\z"],
        }
    )
    pq.write_table(table, tmp_path / "odd.parquet")
    ingest(tmp_path / "odd.parquet", tmp_path / "out")
    ids = {row["example_id"] for row in rows(tmp_path / "out")}
    again = pa.concat_tables([table, table.slice(0, 1)])
    pq.write_table(again, tmp_path / "again.parquet")
    ingest(tmp_path / "again.parquet", tmp_path / "again")
    assert len(ids) == 6
    assert len(ids & {row["example_id"] for row in rows(tmp_path / "again")}) == 6


def test_eras_are_told_apart_by_a_column_that_need_not_be_kept(trips: Path, tmp_path: Path) -> None:
    eras = {"time_column": "left", "reference_to": "2013-02-28", "current_from": "2013-03-10"}
    manifest = ingest(trips, tmp_path / "out", columns=["trip", "city"], **eras)
    assert schema(manifest).names == ["trip", "city"]
    assert {row["trip"] for row in rows(tmp_path / "out", "train", "eval")} == {1, 2, 3, 4}
    assert [row["trip"] for row in rows(tmp_path / "out", "current")] == [6]
    assert manifest.splits["current"].first_time == "2013-03-10T12:00:00+00:00"
    assert manifest.splits["train"].rows
    assert manifest.splits["eval"].rows


def test_columns_come_in_the_order_asked_for_or_without_those_left_out(
    trips: Path, tmp_path: Path
) -> None:
    assert schema(ingest(trips, tmp_path / "a", columns=["price", "trip"])).names == [
        "price",
        "trip",
    ]
    left = schema(ingest(trips, tmp_path / "b", columns=["-note", "-trip"])).names
    assert left == ["city", "postal", "price", "member", "day", "left"]


def test_row_limit_keeps_the_same_rows_whatever_their_order(tmp_path: Path) -> None:
    lines = [f"{number},{number % 7}\n" for number in range(2000)]
    chosen = []
    for name, ordered in (("up", lines), ("down", lines[::-1])):
        path = tmp_path / f"{name}.csv"
        path.write_text("a,b\n" + "".join(ordered), "utf-8")
        manifest = ingest(path, tmp_path / name, max_rows=150, eval_percent=20)
        sizes = [manifest.splits[split].rows for split in ("train", "eval")]
        assert sum(sizes) == 150
        assert 15 < sizes[1] < 45
        chosen.append({row["a"] for row in rows(tmp_path / name)})
    assert chosen[0] == chosen[1]
    # Spread over the whole table.
    assert sum(number < 1000 for number in chosen[0]) == pytest.approx(75, abs=25)


def test_parquet_types_are_kept_or_brought_to_the_nearest(tmp_path: Path) -> None:
    table = pa.table(
        {
            "small": pa.array([1, 2, 3], pa.int8()),
            "single": pa.array([0.1, 0.25, float("nan")], pa.float32()),
            "exact": pa.array([Decimal("1.50"), Decimal("2.25"), None], pa.decimal128(5, 2)),
            "word": pa.array(["a", "b", "a"]).dictionary_encode(),
            "moment": pa.array([1, 2, None], pa.timestamp("ns")),
            "computed": pa.array([0.1 + 0.2, 10.357019999999999, 1.0]),
            "whole": pa.array([1 / 3, 2.0, 1.0]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = {column.name: column for column in schema(ingest(tmp_path, tmp_path / "o")).columns}
    assert {name: column.dtype for name, column in found.items()} == {
        "small": "int8",
        "single": "float",
        "exact": "double",
        "word": "string",
        "moment": "timestamp[us]",
        "computed": "double",
        "whole": "double",
    }
    decimals = {name: column.decimals for name, column in found.items()}
    assert decimals["single"] == 2
    assert decimals["exact"] == 2
    assert decimals["computed"] == 5
    assert decimals["whole"] is None
    assert found["single"].nullable  # Not a number is a missing one.


def test_constant_columns_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("year,a\n" + "".join(f"2013,{n}\n" for n in range(40)), "utf-8")
    year = schema(ingest(path, tmp_path / "o")).column("year")
    assert (year.minimum, year.maximum, year.distinct, year.nullable) == (2013, 2013, 1, False)


def test_several_files_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("a,b\n1,x\n2,y\n", "utf-8")
    (tmp_path / "in" / "2.csv").write_text("b,a\nz,3.5\n", "utf-8")
    manifest = ingest(tmp_path / "in", tmp_path / "o")
    assert schema(manifest).column("a").dtype == "double"
    assert {(row["a"], row["b"]) for row in rows(tmp_path / "o")} == {
        (1.0, "x"), (2.0, "y"), (3.5, "z"),
    }  # fmt: skip


BAD = {
    "all of a column missing": ("a,b,c\n1,,\n2,NA,\n", {}, DataError, "none in b, c"),
    "a column without values in training": (
        "a,b,t\n1,1,2012\n2,2,2012\n,3,2011\n,4,2011\n", {"columns": ["a", "b"], "time_column": "t",
         "reference_to": "2011", "current_from": "2012"}, DataError, "training rows"),
    "unknown column": ("a,b\n1,2\n", {"columns": ["a", "x", "y"]}, ConfigError,
                       "ingest.columns: expected columns among a, b. Received: x, y"),
    "unknown time": ("a,b\n1,2\n", {"time_column": "t"}, ConfigError, "ingest.time_column"),
    "unknown category": ("a\n1\n2\n", {"categorical": ["b"]}, ConfigError, "ingest.categorical"),
    "category of fractions": ("a\n1.5\n2\n", {"categorical": ["a"]}, ConfigError, "a, which is"),
    "unknown constraint": ("a\n1\n2\n", {"constraints": ["a >= b"]}, ConfigError, "'a >= b'"),
    "ragged": ("a,b\n1,2\n3\n4,5\n", {}, DataError, "Received: 1 in line 3"),
    "no row": ("a,b\n", {}, DataError, "expected rows"),
    "nothing at all": ("", {}, DataError, "empty file"),
    "a name that examples have": ("example_id,b\nx,1\ny,2\n", {}, DataError,
                                  r"example_id, which every example has.*\['-example_id'\]"),
    "a name twice": ("a,a\n1,2\n", {}, DataError, "Received twice: a"),
    "one row": ("a,b\n1,2\n", {}, DataError, "two or more rows that differ"),
    "equal rows": ("a,b\n" + "1,2\n" * 9, {}, DataError, "Received: 9 equal ones"),
    "no time": ("a,t\n1,soon\n2,2013\n", {"time_column": "t", "reference_to": "2013"}, DataError,
                "Received: 'soon'"),
    "no row in the era": ("a,t\n1,2013\n2,2013\n", {"time_column": "t", "reference_to": "2012"},
                          DataError, "none of 2"),
    "no row in the current era": ("a,t\n1,2013\n2,2013\n3,2013\n", {
        "time_column": "t", "reference_to": "2013", "current_from": "2014"}, DataError,
        "current era"),
    "infinite": ("a,b\n1.5,2\ninf,3\n", {}, DataError, "finite numbers in 'a'"),
    "all left out": ("a\n1\n2\n", {"columns": ["-a"]}, ConfigError, "all left out"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(tmp_path: Path, case: str) -> None:
    content, options, kind, says = BAD[case]
    path = tmp_path / "bad.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(kind, match=says) as caught:
        ingest(path, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not Examples(tmp_path / "out").manifest_path.exists()


def test_bytes_that_are_no_utf8_and_broken_files_are_one_clear_line(tmp_path: Path) -> None:
    for name, content in (
        ("latin.csv", "a,b\n1,caf\xe9\n".encode("latin-1")),
        ("head.csv", "caf\xe9,b\n1,2\n".encode("latin-1")),
        ("cut.parquet", b"PAR1 nothing"),
        ("cut.csv.zip", b"PK nothing"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=name) as caught:
            ingest(path, tmp_path / "out")
        assert "\n" not in str(caught.value)


def test_nested_values_are_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "tags": [["x"], []]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"'tags'.*leave it out: ingest.columns: \['-tags'\]"):
        ingest(tmp_path / "t.parquet", tmp_path / "out")


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="Received both: a, -b"):
        IngestTableOptions(source="x.csv", columns=["a", "-b"])
    with pytest.raises(ValueError, match="Received twice: a"):
        IngestTableOptions(source="x.csv", columns=["a", "a"])
    with pytest.raises(ValueError, match="time_column"):
        IngestTableOptions(source="x.csv", reference_to="2013")


INGEST = """
import resource, sys
from pathlib import Path
from components.ingest.table.ingest import run
from components.ingest.table.options import IngestTableOptions
run(IngestTableOptions(source=sys.argv[1]), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_stays_flat_as_the_input_grows(tmp_path: Path) -> None:
    peaks = []
    for name, count in (("small", 50_000), ("large", 400_000)):
        source = tmp_path / f"{name}.csv"
        with source.open("w") as stream:
            stream.write("number,word,share,note\n")
            for row in range(count):
                stream.write(f"{row},word {row % 977},{row / 100},{'some text ' * 10}\n")
        result = subprocess.run(
            [sys.executable, "-c", INGEST, str(source), str(tmp_path / name)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        peaks.append(int(result.stdout.splitlines()[-1]))
        assert sum(info.rows for info in Examples(tmp_path / name).manifest().splits.values()) == (
            count
        )
    assert peaks[1] <= 1.3 * peaks[0], f"peak memory grew from {peaks[0]} to {peaks[1]} KiB"

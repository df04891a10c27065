"""Rows are sampled by digest, in memory that does not grow with the rows."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Examples
from components.drift.choosing import smallest

ROOT = Path(__file__).parents[3]
SHARD = 60_000


def _ids(first: int, count: int) -> list[str]:
    return [
        hashlib.blake2b(b"%d" % n, digest_size=8).hexdigest() for n in range(first, first + count)
    ]


def write(root: Path, rows: int, shard: int = 700, wide: bool = False) -> Examples:
    """Rows whose column `number` is their place, in shards of unsorted ids."""
    examples = Examples(root)
    for place, first in enumerate(range(0, rows, shard)):
        count = min(shard, rows - first)
        path = examples.shard_path("train", place)
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = np.arange(first, first + count)
        table = {"example_id": _ids(first, count), "number": numbers, "other": numbers / 7}
        if wide:
            table["text"] = [f"{place:0120d}" for place in numbers.tolist()]
        pq.write_table(pa.table(table), path)
    return examples


@pytest.mark.parametrize("rows", [0, 1, 50, 2500])
def test_the_smallest_ids_are_chosen_and_sorted(tmp_path: Path, rows: int) -> None:
    examples = write(tmp_path, rows)
    chosen = smallest(examples, "train", 50, ["number", "absent"])
    expected = sorted(zip(_ids(0, rows), range(rows), strict=True))[:50]
    assert chosen.column("example_id").to_pylist() == [key for key, _ in expected]
    if rows:
        assert chosen.column_names == ["example_id", "number"]
        assert chosen.column("number").to_pylist() == [number for _, number in expected]
        assert smallest(examples, "train", 50).column_names == ["example_id", "number", "other"]


def test_a_shard_that_lacks_all_values_of_a_column_fits_the_others(tmp_path: Path) -> None:
    examples = write(tmp_path, 100)
    rows = {"example_id": ["!", "#"], "number": pa.nulls(2), "other": pa.nulls(2)}
    pq.write_table(pa.table(rows), examples.shard_path("train", 1))
    chosen = smallest(examples, "train", 10)
    assert chosen.column("number").to_pylist()[:2] == [None, None]
    assert chosen.schema.field("number").type == pa.int64()


PEAK = """
import json, pathlib, resource, sys
from components.artifacts import Examples
from components.drift.choosing import smallest
chosen = smallest(Examples(pathlib.Path(sys.argv[1])), "train", 2000)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([chosen.num_rows, peak]))
"""


def test_ten_times_the_rows_need_no_more_memory(tmp_path: Path) -> None:
    """Held in memory, the 540,000 rows more would take over 80 MB."""
    peaks = []
    for rows in (60_000, 600_000):
        folder = tmp_path / str(rows)
        write(folder, rows, shard=SHARD, wide=True)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        chosen, peak = json.loads(done.stdout)
        assert chosen == 2000
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 40

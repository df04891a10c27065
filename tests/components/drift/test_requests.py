"""What users asked for is read in any of the usual forms, and in no other."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.drift.requests import read_requests
from components.errors import DataError

RECORD = {
    "id": "1",
    "created": "2026-11-03T10:00:00Z",
    "model": "text",
    "inputs": {"prompt": "The Congress", "seed": 7},
    "status": "ok",
}


def test_every_form_gives_the_same_prompts(tmp_path: Path) -> None:
    prompts = [f"prompt {number}" for number in range(20)]
    (tmp_path / "a.jsonl").write_text("".join(f'{{"prompt": "{one}"}}\n' for one in prompts))
    (tmp_path / "b.jsonl").write_text("\n\n".join(json.dumps(one) for one in prompts))
    (tmp_path / "c.txt").write_text("\n".join(prompts))
    (tmp_path / "d.csv").write_text("prompt\n" + "\n".join(prompts))
    pq.write_table(pa.table({"prompt": prompts}), tmp_path / "e.parquet")
    for path in sorted(tmp_path.iterdir()):
        found = read_requests(path, 100)
        assert sorted(one.values("prompt")[0] for one in found) == sorted(prompts)
        few = read_requests(path, 5)
        assert [one.inputs for one in few] == [one.inputs for one in found[:5]]


def test_records_of_the_gateway_give_their_inputs_and_day(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    batch = {**RECORD, "inputs": {"prompt": ["one", "two"]}}
    # A line that a crash tore off, at the end.
    path.write_text(json.dumps(RECORD) + "\n" + json.dumps(batch) + "\n" + json.dumps(RECORD)[:30])
    found = read_requests(path, 10)
    assert sorted(value for one in found for value in one.values("prompt")) == [
        "The Congress", "one", "two",
    ]  # fmt: skip
    assert {one.time for one in found} == {"2026-11-03"}
    assert all(set(one.inputs) == {"prompt"} for one in found)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone.jsonl", None, "no such file"),
        ("a.xlsx", "x", r"ends in .jsonl, .csv, .parquet, .txt. Received: a.xlsx"),
        ("empty.jsonl", "\n", "Received: none; take a longer window"),
        ("empty.csv", "prompt\n", "Received: none; take a longer window"),
        ("broken.jsonl", '{"prompt": "a"}\n{"prom\n{}\n', 'Received in line 2: {"prom'),
        ("numbers.jsonl", "1\n", "Received in line 1: 1"),
        ("no.parquet", "not parquet at all", "expected Parquet in"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=told) as caught:
        read_requests(tmp_path / name, 10)
    assert "\n" not in str(caught.value)

"""On another Beam runner documents become the same examples, and mistakes are told as here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Examples
from components.errors import ConfigError, DataError, RunnerError
from components.ingest import spread
from components.ingest.ingest import run
from components.ingest.options import IngestOptions
from components.options import chosen

ROOT = Path(__file__).parents[3]
TIMES = {"time_column": "written", "reference_to": "1959", "current_from": "1960"}


def texts(numbers: range) -> list[str]:
    """Documents of two paragraphs; one in five has a paragraph that others have as well."""
    return [
        f"Paragraph of document {number}, long enough.\n\n"
        + (f"Said again and again, {number % 3}." if number % 5 == 0 else f"Once, by {number}.")
        for number in numbers
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Documents in files of several formats, one of them cut at its row groups."""
    folder = tmp_path / "source"
    folder.mkdir()
    years = [1900 + 7 * number % 110 for number in range(400)]
    with (folder / "a.jsonl").open("w") as stream:
        for text, year in zip(texts(range(60)), years[:60], strict=True):
            stream.write(json.dumps({"text": text, "written": year, "provenance": "human"}) + "\n")
    rows = "".join(
        f'"{text}",{year}\n' for text, year in zip(texts(range(40, 90)), years[40:90], strict=True)
    )
    (folder / "b.csv").write_text("text,written\n" + rows)
    table = pa.table({"text": texts(range(70, 330)), "written": years[70:330]})
    pq.write_table(table, folder / "c.parquet", row_group_size=50)
    (folder / "d.jsonl").write_text(json.dumps({"text": "", "written": 1901}) + "\n")
    return folder


def test_another_runner_writes_the_same_rows_in_the_same_order(
    equal_on: Any, prism: Any, source: Path
) -> None:
    manifest = equal_on(run, IngestOptions, prism, source, least=4, **TIMES)
    assert manifest.duplicates > 50
    assert all(info.rows for info in manifest.splits.values())


def test_a_split_that_the_digests_leave_empty_is_mended_as_here(
    equal_on: Any, prism: Any, tmp_path: Path
) -> None:
    (tmp_path / "few").mkdir()
    for number, text in enumerate(texts(range(7))):
        (tmp_path / "few" / f"{number}.txt").write_text(text)
    manifest = equal_on(run, IngestOptions, prism, tmp_path / "few", least=2, eval_percent=1)
    assert manifest.splits["eval"].rows > 0


@pytest.fixture
def worker_pool() -> Iterator[dict[str, Any]]:
    """Options that have processes of their own do the work."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pool = "apache_beam.runners.worker.worker_pool_main"
    command = [sys.executable, "-m", pool, f"--service_port={port}"]
    # It starts each worker as `python`.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, env={**os.environ, "PATH": path}
    ) as process:
        for _ in range(600):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.1)
        yield {"--environment_type": "EXTERNAL", "--environment_config": f"127.0.0.1:{port}"}
        os.killpg(process.pid, signal.SIGTERM)


def test_workers_may_be_processes_of_their_own(
    equal_on: Any, prism: Any, worker_pool: dict[str, str], source: Path
) -> None:
    flags = [flag for flag in prism["beam_options"] if "environment" not in flag]
    flags += [f"{name}={value}" for name, value in worker_pool.items()]
    equal_on(run, IngestOptions, {**prism, "beam_options": flags}, source, least=4, **TIMES)


def test_what_a_worker_finds_wrong_is_the_line_that_one_process_tells(
    prism: Any, source: Path, tmp_path: Path, many_parts: None
) -> None:
    with (source / "b.csv").open("a") as stream:
        stream.write('"A text of no time",sometime\n')
    told = []
    for beam in ({}, prism):
        options = IngestOptions(source=str(source), **TIMES, **beam)
        with pytest.raises(DataError, match="expected a year or an ISO 8601 time") as error:
            run(options, tmp_path / "out")
        told.append(str(error.value))
    assert told[0] == told[1]
    # What another source gave is gone, too: no step takes it for this one.
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_an_era_without_documents_is_told_as_here(prism: Any, source: Path, tmp_path: Path) -> None:
    options = IngestOptions(source=str(source), time_column="written", reference_to="1800", **prism)
    with pytest.raises(DataError, match=r"to 1800\. Received: none of 371"):
        run(options, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_job_service_that_is_not_there_is_one_clear_line(source: Path, tmp_path: Path) -> None:
    flags = ["--job_endpoint=127.0.0.1:1", "--job_server_timeout=1", "--environment_type=LOOPBACK"]
    beam: dict[str, Any] = {"beam_runner": "portable", "beam_options": flags}
    with pytest.raises(RunnerError, match="expected the runner portable with") as error:
        run(IngestOptions(source=str(source), **TIMES, **beam), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("hidden", ["source", "out"])
def test_a_worker_that_does_not_see_a_folder_is_one_clear_line(
    prism: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    running = spread.running

    @contextlib.contextmanager
    def elsewhere(options: Any) -> Iterator[Any]:
        with running(options) as pipeline:
            yield pipeline
            (tmp_path / hidden).rename(tmp_path / "not mounted")

    monkeypatch.setattr(spread, "running", elsewhere)
    options = IngestOptions(source=str(source), **TIMES, **prism)
    with pytest.raises(DataError, match=f"expected workers that see {tmp_path / hidden}") as error:
        run(options, tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_runner": "hadoop"}, "beam_runner: expected one of local, flink, spark, dataflow"),
        ({"beam_options": ["parallelism=2"]}, "expected flags such as --parallelism=8"),
        ({"beam_options": ["--runner=FlinkRunner"]}, "expected the runner as beam_runner"),
    ],
)
def test_what_is_no_runner_and_no_flag_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(IngestOptions, {"source": "sotu:", **options})


def test_a_runner_that_is_killed_leaves_nothing_that_passes_for_complete(
    prism: Any, source: Path, tmp_path: Path
) -> None:
    program = f"""
from pathlib import Path
from components.ingest import parts
from components.ingest.ingest import run
from components.ingest.options import IngestOptions
parts.PART_BYTES = 100
options = IngestOptions(source={str(source)!r}, **{TIMES!r}, **{prism!r})
run(options, Path({str(tmp_path / "out")!r}))
"""
    output = tmp_path / "out"
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    while not list(output.glob(".scratch-*/read/*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(DataError):
        Examples(output).manifest()
    assert not Examples(output).shards("train")
    run(IngestOptions(source=str(source), **TIMES), output)
    assert sorted(path.name for path in output.iterdir()) == [
        "current", "eval", "manifest.json", "train",
    ]  # fmt: skip


def test_repeats_are_numbered_in_the_order_of_the_source() -> None:
    """Whatever order a runner hands parts over in."""
    one, two = b"1" * 16, b"2" * 16

    def found(part: int, rows: list[int], turns: list[int], digests: bytes) -> Any:
        numbers = [pa.array(each, pa.int64()).buffers()[1].to_pybytes()[: 8 * len(each)]
                   for each in (rows, turns)]  # fmt: skip
        return part, *numbers, digests

    bucket = [
        found(2, [0, 5], [0, 0], one + two),
        found(0, [3, 9, 11], [4, 4, 1], one + one + two),
        found(1, [], [], b""),
    ]
    got = {
        part: [memoryview(each).cast("q").tolist() for each in pieces]
        for part, pieces in spread._find_repeats((49, bucket))
    }
    # Of the ones, part 2 has the lowest turn; of the twos as well, before part 0 with turn 1.
    assert got == {0: [[3, 9, 11], [1, 2, 1]], 1: [[], []], 2: [[], []]}

"""Writes transformed shards, in this process or on the workers of a Beam runner.

In this process, calling the graph on large batches is several times faster than Beam's own
transform, and the rows are the same. On another runner each worker does the same with the shards
it is given, so the files are equal, whatever wrote them; workers see the folders of the step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import tensorflow as tf

from components.artifacts import EVAL, TRAIN, Examples, TransformedExamples, TransformGraph
from components.beam import BeamOptions, running

# Serialized rows of a shard, None for one that is left out, each with its number of tokens.
Records = Callable[[Path], Iterator[tuple[bytes | None, int]]]
_REPORT_EVERY = 10_000


@dataclasses.dataclass(frozen=True)
class Written:
    """How many rows were written and left out, and the tokens of those written."""

    rows: int = 0
    left_out: int = 0
    tokens: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(
            self.rows + other.rows, self.left_out + other.left_out, self.tokens + other.tokens
        )


@contextlib.contextmanager
def scratch_folder(graph: TransformGraph) -> Iterator[str]:
    """A folder for a pipeline's temporary files, beside the graph, where workers see it too."""
    graph.path.parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=".scratch-", dir=graph.path.parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_shards(
    open_records: Callable[[], Records],
    examples: Examples,
    transformed: TransformedExamples,
    options: BeamOptions,
    unit: str,
) -> dict[str, Written]:
    """Writes the transformed training and evaluation splits, one file per shard.

    Args:
        open_records: loads what turns shards into records; sent to workers by its name.
        examples: read from.
        transformed: written to; its statistics are the caller's.
        options: what runs the work.
        unit: what a row is called in messages.

    Returns:
        What was written, by split.

    Raises:
        DataError: a row cannot be transformed.
        RunnerError: the runner cannot be reached, or failed.
    """
    work = [
        (split, str(shard), str(transformed.shard_path(split, index)))
        for split in (TRAIN, EVAL)
        for index, shard in enumerate(examples.shards(split))
    ]
    counts = {TRAIN: Written(), EVAL: Written()}
    if options.distributed:
        with running(options) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create(work)
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.ParDo(_WriteShard(open_records))
            )
    else:
        records = open_records()
    for split, source, destination in work:
        if options.distributed:
            counts[split] += _told(Path(destination))
        else:
            before = counts[split]
            written = _write(records, Path(source), Path(destination), f"{split}: {{}} {unit}")
            counts[split] = before + written
        _tell(f"{split}: {{}} {unit}", counts[split].rows)
    return counts


class _WriteShard(beam.DoFn):  # type: ignore[misc]
    """Writes a shard, and beside it how many rows it holds."""

    def __init__(self, open_records: Callable[[], Records]) -> None:
        self._open = open_records

    def setup(self) -> None:
        self._records = self._open()

    def process(self, work: tuple[str, str, str]) -> Iterator[None]:
        _, source, destination = work
        written = _write(self._records, Path(source), Path(destination))
        partial = Path(f"{destination}.{uuid.uuid4().hex}")
        partial.write_text(json.dumps(dataclasses.asdict(written)))
        partial.replace(_counts_path(Path(destination)))
        return iter(())


def _write(records: Records, source: Path, destination: Path, report: str = "") -> Written:
    """Writes a shard under another name first: a worker that is tried again starts anew."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}")
    rows = left_out = tokens = 0
    try:
        with tf.io.TFRecordWriter(os.fspath(partial)) as writer:
            for record, length in records(source):
                if record is None:
                    left_out += 1
                    continue
                writer.write(record)
                rows += 1
                tokens += length
                if report and rows % _REPORT_EVERY == 0:
                    _tell(report, rows)
        partial.replace(destination)
    finally:
        partial.unlink(missing_ok=True)
    return Written(rows, left_out, tokens)


def _counts_path(destination: Path) -> Path:
    return destination.with_name(f".{destination.name}.json")


def _told(destination: Path) -> Written:
    """What a worker wrote beside its shard."""
    path = _counts_path(destination)
    written = Written(**json.loads(path.read_text()))
    path.unlink()
    return written


def _tell(report: str, rows: int) -> None:
    print(f"progress: {report.format(f'{rows:,}')}", flush=True)

"""Spreads an ingestion over the workers of a Beam runner.

    parts ── read ── digests, by bucket ── find repeats, by part ── write ── shards
               └──────────── rows, in the scratch folder ────────────┘

Each worker reads a part of the source and lays its rows down in a folder that all workers see.
Only the rows' digests are shuffled: where one came up before, in the order of the source, is known
once all parts are read. Then each worker writes the shards of a part, and the step puts them in
order, so that the rows are those of an ingestion in one process, in the same order.

All files get their names once they are complete, so a worker may be tried again, or twice at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import shutil
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

from components.artifacts import SPLITS, Examples
from components.beam import BeamOptions, running
from components.errors import DataError
from components.ingest.parts import cut
from components.ingest.snapshots import combine, file_digest
from components.ingest.writing import SCRATCH, clear

DIGEST_BYTES = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


class Part(Protocol):
    """A part of a source."""

    def files(self) -> dict[str, Path]:
        """The files that it reads, by stable name."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was read of a part.

    Attributes:
        digests: 16 bytes for each row, in the order of the rows laid down.
        note: what the step needs to know of it.
        turns: int64 [rows]; of equal rows the one with the lower number counts as the first.
            Where absent, the order of the parts and of their rows decides.
    """

    digests: bytes
    note: Any
    turns: NDArray[np.int64] | None = None


class Work(Protocol):
    """How a modality reads and writes; sent to workers."""

    def read(self, part: Any, rows: Path) -> Reading:
        """Reads a part of the source and lays its rows down in the folder `rows`."""

    def write(self, rows: Path, repeats: dict[int, int], examples: Examples) -> Any:
        """Writes the shards of a part.

        Args:
            rows: the folder that `read` wrote.
            repeats: of rows that are equal to earlier ones: how many came before.
            examples: written to.

        Returns:
            What the step needs to know of it.
        """


class Spread:
    """An ingestion on a Beam runner; used as a context, it leaves no scratch folder behind."""

    def __init__(self, options: BeamOptions, examples: Examples) -> None:
        """Removes what an earlier ingestion wrote.

        Args:
            options: the runner and its flags.
            examples: written to; workers see its folder.
        """
        self._options, self._examples = options, examples
        clear(examples)
        # Of the usual mode: workers may run as somebody else.
        self._folder = examples.path / f"{SCRATCH}{uuid.uuid4().hex}"
        self._folder.mkdir()
        self._parts = self._rounds = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Calls a function for each item on the workers; its results, in order."""
        self._rounds += 1
        folder = self._folder / f"each-{self._rounds}"
        with running(self._options) as pipeline:
            _ = pipeline | _Each(folder, function, items)
        return [_load(folder, index) for index in range(len(items))]

    def ingest(
        self,
        parts: Sequence[Part],
        files: Iterable[tuple[str, Path]],
        work: Work,
    ) -> tuple[str, list[Any], list[Any]]:
        """Reads a source and writes its shards.

        Args:
            parts: of the source, in order.
            files: whose content identifies it.
            work: how it is read and written.

        Returns:
            The digest of the source's content; and for each part what was noted on reading and
            on writing.

        Raises:
            DataError: what a worker found wrong with the data.
            RunnerError: the runner cannot be reached, or failed.
        """
        self._parts = len(parts)
        print(
            f"progress: {self._parts:,} parts for the runner {self._options.beam_runner}",
            flush=True,
        )
        shares = cut(files, whole=True)
        read, written = _ReadPart(work, self._folder), _WritePart(work, self._folder)
        digests = self._folder / "digests"
        with running(self._options) as pipeline:
            _ = pipeline | _Each(
                digests, _digest_files, [[share.path for share in part] for part in shares]
            )
            _ = (
                pipeline
                | "Parts" >> beam.Create(list(enumerate(parts)))
                | "SpreadParts" >> beam.Reshuffle()
                | "Read" >> beam.ParDo(read)
                | "ByDigest" >> beam.GroupByKey()
                | "FindRepeats" >> beam.ParDo(_find_repeats)
                | "ByPart" >> beam.GroupByKey()
                | "Write" >> beam.ParDo(written)
            )
        names = [share.name for part in shares for share in part]
        found = [digest for index in range(len(shares)) for digest in _load(digests, index)]
        snapshot = combine(zip(names, found, strict=True))
        return snapshot, self._notes("read"), self._notes("written")

    def write_again(self, work: Work) -> list[Any]:
        """Writes the shards of what was read anew, by another split."""
        self._rounds += 1
        shutil.rmtree(self._folder / "written")
        write = _WritePart(work, self._folder)
        with running(self._options) as pipeline:
            _ = (
                pipeline
                | "Parts" >> beam.Create(range(self._parts))
                | "SpreadParts" >> beam.Reshuffle()
                | "Write" >> beam.Map(write.write)
            )
        return self._notes("written")

    def publish(self) -> None:
        """Puts the shards of all parts in order where examples have theirs."""
        for split in SPLITS:
            number = 0
            for index in range(self._parts):
                for shard in Examples(self._folder / "written" / str(index)).shards(split):
                    target = self._examples.shard_path(split, number)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shard.rename(target)
                    number += 1

    def _notes(self, name: str) -> list[Any]:
        return [_load(self._folder / name / str(index), "note") for index in range(self._parts)]


class _Each(beam.PTransform):  # type: ignore[misc]
    """Calls a function for each item, and stores its results by their numbers."""

    def __init__(
        self, folder: Path, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> None:
        super().__init__(label=folder.name)
        self._folder, self._function, self._items = folder, function, items

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "Items" >> beam.Create(list(enumerate(self._items)))
            | "Spread" >> beam.Reshuffle()
            | "Call" >> beam.Map(_call, function=self._function, folder=self._folder)
        )


def _call(item: tuple[int, Any], function: Callable[[Any], Any], folder: Path) -> None:
    check_seen(folder.parent)
    _store(folder, item[0], function(item[1]))


def _digest_files(paths: list[Path]) -> list[bytes]:
    check_seen(paths[0])
    return [file_digest(path) for path in paths]


# A bucket, the first byte of digests; and in it those of a part: its number, the number of each
# row (int64), what decides whose turn it is (int64), and the digests, all as bytes.
_Found = tuple[int, tuple[int, bytes, bytes, bytes]]


class _ReadPart(beam.DoFn):  # type: ignore[misc]
    """Reads a part; yields the digests of its rows by bucket."""

    def __init__(self, work: Any, folder: Path) -> None:
        self._work, self._folder = work, folder

    def process(self, numbered: tuple[int, Any]) -> Iterator[_Found]:
        index, part = numbered
        check_seen(self._folder)
        check_seen(next(iter(part.files().values())))
        target = self._folder / "read" / str(index)
        with _whole(target) as rows:
            reading = self._work.read(part, rows)
            _store(rows, "note", reading.note)
        digests = np.frombuffer(reading.digests, np.uint8).reshape(-1, DIGEST_BYTES)
        turns = np.zeros(len(digests), np.int64) if reading.turns is None else reading.turns
        bucket = digests[:, 0]
        for number in np.unique(bucket).tolist():
            rows_in = np.flatnonzero(bucket == number)
            numbers = rows_in.astype(np.int64).tobytes()
            yield (
                number,
                (index, numbers, turns[rows_in].tobytes(), digests[rows_in].tobytes()),
            )
        if not len(digests):
            yield 0, (index, b"", b"", b"")


def _find_repeats(bucket: tuple[int, Iterable[Any]]) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
    """Yields, for each part, the rows that came up before, and how often; both int64 as bytes."""
    found = list(bucket[1])
    rows, turns = (
        np.frombuffer(b"".join(each[place] for each in found), np.int64) for place in (1, 2)
    )
    parts = np.repeat([each[0] for each in found], [len(each[1]) // 8 for each in found])
    halves = np.frombuffer(b"".join(each[3] for each in found), np.uint64).reshape(-1, 2)
    order = np.lexsort((rows, parts, turns, halves[:, 1], halves[:, 0]))
    sorted_halves = halves[order]
    new = np.ones(len(order), bool)
    new[1:] = (sorted_halves[1:] != sorted_halves[:-1]).any(axis=1)
    places = np.arange(len(order))
    # The place of the first of those that are equal, which stand together.
    first = np.maximum.accumulate(np.where(new, places, 0)) if len(order) else places
    before = places - first
    repeated, times = order[before > 0], before[before > 0]
    by_part = np.argsort(parts[repeated], kind="stable")
    repeated, times = repeated[by_part], times[by_part]
    for part in {each[0] for each in found}:
        start, end = np.searchsorted(parts[repeated], [part, part + 1])
        yield part, (rows[repeated[start:end]].tobytes(), times[start:end].tobytes())


class _WritePart(beam.DoFn):  # type: ignore[misc]
    """Writes the shards of a part."""

    def __init__(self, work: Any, folder: Path) -> None:
        self._work, self._folder = work, folder

    def process(self, part: tuple[int, Iterable[tuple[bytes, bytes]]]) -> Iterator[None]:
        index, found = part
        pieces = list(found)
        rows, times = (
            np.frombuffer(b"".join(piece[place] for piece in pieces), np.int64).tolist()
            for place in (0, 1)
        )
        _store(self._folder / "repeats", index, dict(zip(rows, times, strict=True)))
        self.write(index)
        return iter(())

    def write(self, index: int) -> None:
        """Writes by what was stored."""
        check_seen(self._folder)
        rows, repeats = self._folder / "read" / str(index), _load(self._folder / "repeats", index)
        with _whole(self._folder / "written" / str(index)) as target:
            note = self._work.write(rows, repeats, Examples(target))
            _store(target, "note", note)


def check_seen(path: Path) -> None:
    """Refuses a worker that does not see what the step does.

    Raises:
        DataError: there is nothing at the path.
    """
    if not path.exists():
        raise DataError(
            f"expected workers that see {path}. Received: no such path on the worker "
            f"{socket.gethostname()}; mount it there under the same name"
        )


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder that gets its name once it is complete; of two attempts the first one stays."""
    target.parent.mkdir(exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    partial.mkdir()
    try:
        yield partial
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _store(folder: Path, name: int | str, content: object) -> None:
    folder.mkdir(exist_ok=True)
    partial = folder / f".{name}.{uuid.uuid4().hex}"
    partial.write_bytes(pickle.dumps(content))
    partial.replace(folder / f"{name}.pickle")


def _load(folder: Path, name: int | str) -> Any:
    return pickle.loads((folder / f"{name}.pickle").read_bytes())

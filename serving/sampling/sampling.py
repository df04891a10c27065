"""Asks a served table model for rows, batch by batch, and writes them as they come."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from serving.client import Client
from serving.client.channel import Tls
from serving.sampling.errors import SamplingError
from serving.sampling.files import TableFile, check_path
from serving.sampling.schema import GENERATE, ServedTable

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.client.tensors import Tensor

BATCH_ROWS = 10_000
TIMEOUT = 300.0
_IN_FLIGHT = 2
_BATCHES_IN_VAIN = 20

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Sampled:
    """What was written: rows, bytes of the file, seconds, and the model's version."""

    path: Path
    rows: int
    bytes: int
    seconds: float
    version: int


def sample_table(
    address: str,
    model: str,
    rows: int,
    out: Path,
    *,
    conditions: Sequence[str] = (),
    temperature: float = 1.0,
    seed: int = 0,
    batch_rows: int = BATCH_ROWS,
    timeout: float = TIMEOUT,
    tls: Tls | None = None,
    progress: Progress | None = None,
) -> Sampled:
    """Writes rows that a model generates, in the types of the table that it has learnt.

    Memory holds a few batches, whatever the number of rows; only a model with `unique:`
    constraints costs about 100 bytes a row, to tell a row from those of other batches. The file
    appears when it is whole. The same arguments give the same rows.

    Args:
        address: HOST:PORT of the model server.
        model: its name there.
        rows: how many to write.
        out: file to write, .parquet or .csv.
        conditions: texts such as 'carrier=UA', which every row meets.
        temperature: 1 for what the model has learnt; lower for more usual rows.
        seed: of the random numbers.
        batch_rows: in one call.
        timeout: seconds that one call may take.
        tls: how to encrypt the calls; None for plain text.
        progress: called with the rows that are written, and all that are wanted.

    Raises:
        SamplingError: an argument makes no sense, the model generates no tables, it cannot make
            so many different rows, or the file cannot be written.
        ClientError: the server refused, failed, or cannot be reached.
    """
    check_path(out)
    if rows < 1:
        raise SamplingError(f"expected 1 row or more. Received: {rows}")
    if batch_rows < 1:
        raise SamplingError(f"expected batches of 1 row or more. Received: {batch_rows}")
    started = time.monotonic()
    with Client(address, model=model, timeout=timeout, tls=tls) as client:
        table = ServedTable.of(client, timeout)
        size = min(batch_rows, rows, table.most_rows or batch_rows)

        def ask(number: int) -> dict[str, Tensor]:
            inputs = {
                "num_rows": [size],
                "conditions": list(conditions),
                "temperature": [temperature],
                "seed": [batch_seed(seed, number)],
            }
            return client.predict(GENERATE, inputs, version=table.version).outputs

        with TableFile(out, table.schema()) as file:
            for batch, written in _batches(table, ask, rows):
                file.write(batch)
                if progress is not None:
                    progress(written, rows)
    seconds = time.monotonic() - started
    return Sampled(out, rows, out.stat().st_size, seconds, table.version)


def _batches(
    table: ServedTable, ask: Callable[[int], dict[str, Tensor]], rows: int
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Batches of rows, and how many there are with each."""
    different = _Different(table.unique)
    written = vain = 0
    for answer in _answers(ask):
        batch = different.only_new(table.batch(answer)).slice(0, rows - written)
        vain = 0 if batch.num_rows else vain + 1
        if vain == _BATCHES_IN_VAIN:
            among = " and ".join(f"'unique: {', '.join(names)}'" for names in table.unique)
            raise SamplingError(
                f"expected a model that generates {rows} rows which are {among}. Received: "
                f"{written} such rows, and none in {vain} batches more; ask for fewer rows"
            )
        written += batch.num_rows
        if batch.num_rows:
            yield batch, written
        if written >= rows:
            return


def _answers(ask: Callable[[int], dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Answers to the calls 0, 1, ... in order; some are asked ahead of their turn."""
    pool = ThreadPoolExecutor(_IN_FLIGHT)
    try:
        waiting: list[Future[dict[str, Tensor]]] = []
        number = 0
        while True:
            while len(waiting) < _IN_FLIGHT:
                waiting.append(pool.submit(ask, number))
                number += 1
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(cancel_futures=True)


def batch_seed(seed: int, number: int) -> int:
    """The seed of one batch, of 0..2^63 - 1."""
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class _Different:
    """Leaves out rows that an earlier batch has, as `unique:` constraints understand it."""

    def __init__(self, unique: Sequence[Sequence[str]]) -> None:
        self._unique = unique
        self._seen: list[set[bytes]] = [set() for _ in unique]

    def only_new(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._unique:
            return batch
        import pyarrow as pa

        keys = [self._keys(batch, names) for names in self._unique]
        kept: list[int] = []
        for row, of_row in enumerate(zip(*keys, strict=True)):
            if any(key in seen for key, seen in zip(of_row, self._seen, strict=True)):
                continue
            kept.append(row)
            for key, seen in zip(of_row, self._seen, strict=True):
                seen.add(key)
        return batch.take(pa.array(kept, pa.int64()))

    def _keys(self, batch: pa.RecordBatch, names: Sequence[str]) -> list[bytes]:
        rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        return [hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in rows]

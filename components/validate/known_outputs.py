"""What models are known to have generated, to be found again where nobody tagged it."""

from __future__ import annotations

import array
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.artifacts import IMAGE, TABLE, TEXT, ExamplesManifest
from components.errors import ConfigError
from components.table_schema import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

# Words in a row; five are seldom shared by chance, and an edit here or there leaves most of them.
_SHINGLE = 5
# A text of fewer shingles says too little to be told from another by a part of them.
_FEWEST_SHINGLES = 8
_WORD = re.compile(r"\w+")
_ID = re.compile(r"[0-9a-f]{32}")
# Of an image that is looked at; ingest has limits of its own.
_MOST_PIXELS, _LONGEST_SIDE = 1 << 26, 1 << 14
_BATCH = 1024


class KnownOutputs:
    """Recognizes examples that a model made: the same ones, and texts that are nearly the same.

    An example is the same where its `example_id` is, which is a digest of its content. A text is
    nearly the same where most of its runs of five words stand in known outputs (containment of
    shingles: Broder, 1997), taken together, as where two answers are joined. Memory: 8 bytes for
    each known word, and some 100 for each known output.
    """

    def __init__(self, paths: Sequence[str], manifest: ExamplesManifest, overlap: float) -> None:
        """Reads the files.

        Args:
            paths: `.txt` with an `example_id` a line; `.jsonl` and `.parquet` with `example_id`, or
                with what was generated: `text`, perhaps after its `prompt`; `image`; the columns of
                the table. The `samples.parquet` of an evaluation is such a file.
            manifest: of the examples that are to be recognized.
            overlap: share of a text's shingles from which on it counts.

        Raises:
            ConfigError: a file is missing or of another form.
        """
        self._modality, self._overlap = manifest.modality, overlap
        self._schema = (
            TableSchema.from_json(manifest.details) if manifest.modality == TABLE else None
        )
        self._ids: set[str] = set()
        shingles = array.array("q")
        for name in paths:
            try:
                self._read(Path(name), shingles)
            except ConfigError:
                raise
            except Exception as error:  # Arrow's errors have no ancestor but this one.
                raise _wrong(name, " ".join(str(error).split())) from None
        self._shingles = np.unique(np.array(shingles, np.int64))

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Which rows of a shard are known outputs; bool [rows]."""
        ids = table.column("example_id").to_pylist()
        if self._schema is not None:
            # The id of a row that comes again tells that, too.
            batches = table.to_batches()
            ids = [one for batch in batches for one in _row_ids(batch, self._schema)]
        found = np.array([one in self._ids for one in ids], bool)
        if self._modality == TEXT and len(self._shingles):
            for row, text in enumerate(table.column("text").to_pylist()):
                if not found[row] and text:
                    found[row] = self._near(text)
        return found

    def _near(self, text: str) -> bool:
        hashes = np.fromiter(_shingles(text), np.int64)
        if len(hashes) < _FEWEST_SHINGLES:
            return False
        places = np.searchsorted(self._shingles, hashes)
        places[places == len(self._shingles)] = 0
        return bool((self._shingles[places] == hashes).mean() >= self._overlap)

    def _read(self, path: Path, shingles: array.array[int]) -> None:
        if path.suffix == ".txt":
            for line in path.read_text("utf-8").splitlines():
                if line.strip():
                    self._ids.add(_id(line.strip(), path))
            return
        if path.suffix not in (".jsonl", ".parquet"):
            raise _wrong(str(path), f"a file {path.suffix or 'without an ending'}")
        for batch in _batches(path):
            names = batch.schema.names
            if "example_id" in names:
                self._ids.update(
                    _id(one, path) for one in batch.column("example_id").to_pylist() if one
                )
            if self._modality == TEXT and "text" in names:
                self._add_texts(batch, shingles)
            elif self._modality == IMAGE and "image" in names:
                self._ids.update(_image_ids(batch.column("image").to_pylist()))
            elif self._schema is not None and set(self._schema.names) <= set(names):
                self._ids.update(_row_ids(batch, self._schema))
            elif "example_id" not in names:
                wanted = {TEXT: "text", IMAGE: "image"}.get(self._modality)
                columns = wanted or ", ".join(self._schema.names if self._schema else [])
                raise _wrong(
                    str(path), f"columns {', '.join(names)}, neither example_id nor {columns}"
                )

    def _add_texts(self, batch: pa.RecordBatch, shingles: array.array[int]) -> None:
        texts = batch.column("text").to_pylist()
        prompts: list[Any] = [""] * len(texts)
        if "prompt" in batch.schema.names:
            prompts = batch.column("prompt").to_pylist()
        for prompt, text in zip(prompts, texts, strict=True):
            if text:
                whole = f"{prompt or ''}{text}"
                self._ids.update(_text_ids(text))
                self._ids.update(_text_ids(whole))
                shingles.extend(_shingles(whole))


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as reader:
            yield from reader.iter_batches(batch_size=_BATCH)
        return
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise _wrong(str(path), f"{type(row).__name__} in line {number}")
            rows.append(row)
            if len(rows) == _BATCH:
                yield pa.RecordBatch.from_pylist(rows)
                rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows)


def _text_ids(text: str) -> Iterator[str]:
    """The ids that ingest gives to a text as a whole, and to each paragraph of it."""
    import hashlib

    from components.ingest.documents import paragraphs

    lines = text.splitlines()
    for part in {"\n".join(line.rstrip() for line in lines).strip(), *paragraphs(lines, 1)}:
        if part:
            yield hashlib.sha256(part.encode()).digest()[:16].hex()


def _image_ids(images: Iterable[bytes | None]) -> list[str]:
    from components.ingest.image.inspection import inspect

    there = [image for image in images if image]
    return [found.example_id for found in inspect(there, _MOST_PIXELS, _LONGEST_SIDE)]


def _row_ids(batch: pa.RecordBatch, schema: TableSchema) -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from components.ingest.table.rows import row_digests

    times = {
        "date32[day]": pa.date32(),
        "timestamp[us]": pa.timestamp("us"),
        "timestamp[us, tz=UTC]": pa.timestamp("us", "UTC"),
    }
    columns = [
        pc.cast(batch.column(each.name), times.get(each.dtype) or pa.type_for_alias(each.dtype))
        for each in schema.columns
    ]
    rows = pa.record_batch(columns, names=schema.names)
    return [digest[:16].hex() for digest in row_digests(rows)]


def _shingles(text: str) -> Iterator[int]:
    words = _WORD.findall(text.casefold())
    for start in range(len(words) - _SHINGLE + 1):
        yield hash(tuple(words[start : start + _SHINGLE]))


def _id(text: object, path: Path) -> str:
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise _wrong(str(path), f"the id {text!r}, not 32 hexadecimal digits")
    return text


def _wrong(name: str, received: str) -> ConfigError:
    return ConfigError(
        f"validate.known_outputs: expected ids or outputs of models in {name} (.txt, .jsonl, "
        f".parquet). Received: {received}"
    )

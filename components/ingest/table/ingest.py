"""The ingest step for tables: rows of a source to examples, split by digest and by time.

Equal rows are kept: a table may truly hold a row twice. The first has the digest of its content
as its id, each further one a digest of content and number.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import (
    CURRENT,
    EVAL,
    PROVENANCE,
    SPLITS,
    TABLE,
    TRAIN,
    Examples,
    ExamplesManifest,
)
from components.errors import ConfigError, DataError
from components.ingest.table.options import IngestTableOptions
from components.ingest.table.sources import TableSource, open_source, snapshot_digest
from components.provenance import parse as parse_provenance
from components.table_schema import RESERVED, Column, TableSchema, parse_constraint

if TYPE_CHECKING:
    import pyarrow as pa

_REPORT_EVERY = 100_000


def run(options: IngestTableOptions, examples: Path) -> ExamplesManifest:
    """Reads a table and writes its rows as examples.

    The manifest is written last: a folder without one is not complete. The types of CSV columns
    are those that all their texts can be read as.

    Args:
        options: the source, the columns, the eras, the constraints, the share held out.
        examples: folder to write to; what it held before is replaced.

    Raises:
        ConfigError: the source, an era, a column or a constraint makes no sense.
        DataError: a file cannot be read, a column has no value, or a split would be empty.
    """
    from components.ingest.table.splitting import TableSplitter

    splitter = TableSplitter(options)
    source = open_source(options.source, options.missing_values)
    names = chosen_columns(
        options, [name for name in source.names if name != options.provenance_column]
    )
    found = source.types()
    types = {name: found[name] for name in names}
    _check(options, types)
    digest = snapshot_digest(options.source)
    ingestion = _Ingestion(options, source, names, types, splitter, Examples(examples))
    if options.max_rows:
        ingestion.choose()
    ingestion.write()
    if ingestion.mend_split():
        ingestion.write()
    return ingestion.finish(digest)


def chosen_columns(options: IngestTableOptions, found: list[str]) -> list[str]:
    """The columns to keep, in their order.

    Raises:
        ConfigError: an option names a column that is not there.
        DataError: a column has a name that examples need.
    """
    wanted = [name.removeprefix("-") for name in options.columns]
    leave_out = bool(options.columns) and options.columns[0].startswith("-")
    time = [options.time_column] if options.time_column else []
    named = {"columns": wanted, "time_column": time, "categorical": options.categorical}
    for option, names in named.items():
        unknown = [name for name in names if name not in found]
        if unknown:
            raise ConfigError(
                f"ingest.{option}: expected columns among {', '.join(found)}. Received: "
                f"{', '.join(unknown)}"
            )
    names = [name for name in found if name not in wanted] if leave_out else wanted or found
    reserved = [name for name in names if name in RESERVED]
    if reserved:
        leave = ", ".join(f"'-{name}'" for name in reserved)
        raise DataError(
            f"expected columns with names of their own in {options.source!r}. Received: "
            f"{', '.join(reserved)}, which every example has; rename, or leave out: "
            f"ingest.columns: [{leave}]"
        )
    if not names:
        raise ConfigError("ingest.columns: expected a column to keep. Received: all left out")
    return list(names)


def _check(options: IngestTableOptions, types: dict[str, pa.DataType]) -> None:
    """Fails on what can be known before rows are read."""
    import pyarrow as pa

    from components.ingest.table.profile import kind_of

    empty = [name for name, kind in types.items() if pa.types.is_null(kind)]
    if len(empty) < len(types):  # Where all are, there may be no rows either: told later.
        _refuse_empty_columns(empty)
    for name in options.categorical:
        if name in types and pa.types.is_floating(types[name]):
            raise ConfigError(
                f"ingest.categorical: expected columns of whole numbers or texts. Received: "
                f"{name}, which is {types[name]}"
            )
    columns = [
        Column(name, kind_of(kind, name in options.categorical), str(kind), True)
        for name, kind in types.items()
    ]
    for text in options.constraints:
        parse_constraint(text, columns)


def _refuse_empty_columns(names: list[str], where: str = "") -> None:
    if names:
        leave = ", ".join(f"'-{name}'" for name in names)
        raise DataError(
            f"expected values in every column{where}. Received: none in {', '.join(names)}; leave "
            f"out: ingest.columns: [{leave}]"
        )


class _Ingestion:
    """Passes over a source."""

    def __init__(
        self,
        options: IngestTableOptions,
        source: TableSource,
        names: list[str],
        types: dict[str, pa.DataType],
        splitter: Any,
        examples: Examples,
    ) -> None:
        self._options, self._source, self._examples = options, source, examples
        self._names, self._types, self._splitter = names, types, splitter

    def _batches(self) -> Iterator[tuple[pa.RecordBatch, pa.Array, pa.Array]]:
        """Rows of the chosen columns in their types, with the rows' times and provenance."""
        import pyarrow as pa

        from components.ingest.table.inference import convert
        from components.ingest.table.rows import TIME_TYPE, event_times

        time = self._options.time_column
        tagged = self._options.provenance_column
        needed = [*self._names, *([time] if time and time not in self._names else [])]
        if tagged in self._source.names and tagged not in needed:
            needed.append(tagged)
        for where, batch in self._source.batches(needed):
            columns = dict(zip(needed, batch.columns, strict=True))
            arrays = [
                convert(columns[name], self._types[name], name, where) for name in self._names
            ]
            rows = pa.record_batch(arrays, names=self._names)
            if time:
                column = rows.column(time) if time in self._names else columns[time]
                times = event_times(column, time, where)
            else:
                times = pa.nulls(rows.num_rows, TIME_TYPE)
            yield rows, times, self._provenance(columns.get(tagged), rows.num_rows, where)

    def _provenance(self, column: pa.Array | None, rows: int, where: str) -> pa.Array:
        """Who made each row: what the source says, or else the configuration."""
        import pyarrow as pa

        otherwise = self._options.made_by or None
        if column is None:
            return pa.array([otherwise] * rows, pa.string())
        name = self._options.provenance_column
        # Few tags stand in many rows.
        read = {tag: parse_provenance(tag, where, name) for tag in column.unique().to_pylist()}
        tags = [read[tag] or otherwise for tag in column.to_pylist()]
        return pa.array(tags, pa.string())

    def choose(self) -> None:
        """Finds which rows are kept, where there are more than are wanted."""
        from components.ingest.table.rows import numbers_of, row_digests
        from components.ingest.table.splitting import SmallestNumbers

        smallest: dict[str, SmallestNumbers] = {}
        for rows, times, _ in self._batches():
            if not rows.num_rows:
                continue
            numbers = numbers_of(row_digests(rows))[:, 0]
            for era, mask in self._splitter.eras(times).items():
                kept = smallest.setdefault(era, SmallestNumbers(self._options.max_rows))
                kept.add(numbers[mask])
        limits = {era: kept.largest() for era, kept in smallest.items()}
        self._splitter.kept_to = {era: most for era, most in limits.items() if most is not None}

    def write(self) -> None:
        """Writes the shards, and learns what the columns hold."""
        import pyarrow as pa

        from components.ingest.table.profile import Profile
        from components.ingest.table.rows import TIME_TYPE, numbers_of, row_digests
        from components.ingest.writing import Occurrences, ShardWriter

        self._examples.manifest_path.unlink(missing_ok=True)
        for split in SPLITS:
            shutil.rmtree(self._examples.path / split, ignore_errors=True)
        self._examples.path.mkdir(parents=True, exist_ok=True)
        self._profiles = [
            Profile(name, kind, name in self._options.categorical)
            for name, kind in self._types.items()
        ]
        self._read = self._written = 0
        self._trained: Counter[str] = Counter()
        self._held: list[int] = []
        fields = [("example_id", pa.string()), ("document_id", pa.string())]
        fields += [*self._types.items(), ("event_time", TIME_TYPE), (PROVENANCE, pa.string())]
        self._schema = pa.schema(fields)
        with Occurrences() as seen, ShardWriter(self._examples, self._schema) as writer:
            for rows, times, tags in self._batches():
                if not rows.num_rows:
                    continue
                self._read += rows.num_rows
                digests = row_digests(rows)
                numbers = numbers_of(digests)
                for split, mask in self._splitter.splits(times, numbers).items():
                    self._write(split, mask, (rows, times, tags, digests, numbers), seen, writer)
        self._splits = writer.splits

    def _write(self, split: str, mask: Any, batch: Any, seen: Any, writer: Any) -> None:
        """Writes the marked rows of a batch to a split."""
        import pyarrow as pa

        rows, times, tags, digests, numbers = batch
        places = mask.nonzero()[0]
        if not len(places):
            return
        ids = pa.array([_example_id(digests[place], seen) for place in places], pa.string())
        kept = rows.take(pa.array(places))
        taken = [column.take(pa.array(places)) for column in (times, tags)]
        columns = [ids, ids, *kept.columns, *taken]
        writer.write_batch(split, pa.record_batch(columns, schema=self._schema))
        for profile, column in zip(self._profiles, kept.columns, strict=True):
            profile.add(column)
            if split == TRAIN:
                self._trained[profile.name] += len(column) - column.null_count
        if split != CURRENT:
            held = numbers[places, 1]
            ends = [*self._held, int(held.min()), int(held.max())]
            self._held = [min(ends), max(ends)]
        before = self._written // _REPORT_EVERY
        self._written += len(places)
        if self._written // _REPORT_EVERY > before:
            print(f"progress: {self._written:,} rows", flush=True)

    def mend_split(self) -> bool:
        """Moves the row that comes nearest where the digests left `train` or `eval` empty."""
        if not self._held or self._held[0] == self._held[1]:
            return False
        if not self._splits[EVAL].rows:
            self._splitter.held_out_below = self._held[0] + 1
        elif not self._splits[TRAIN].rows:
            self._splitter.held_out_below = self._held[1]
        else:
            return False
        return True

    def finish(self, digest: str) -> ExamplesManifest:
        """Checks that there is something in each split and column, and writes the manifest."""
        self._refuse_empty()
        columns = tuple(profile.column() for profile in self._profiles)
        manifest = ExamplesManifest(
            source=self._options.source,
            snapshot_digest=digest,
            splits=self._splits,
            columns={field.name: str(field.type) for field in self._schema},
            modality=TABLE,
            details=TableSchema(columns, tuple(self._options.constraints)).to_json(),
        )
        self._examples.write_manifest(manifest)
        rows = ", ".join(f"{name} {info.rows:,}" for name, info in self._splits.items())
        print(f"progress: {rows} rows of {len(columns)} columns", flush=True)
        return manifest

    def _refuse_empty(self) -> None:
        options, splits = self._options, self._splits
        where = f"in {options.source!r}"
        if not self._read:
            raise DataError(f"expected rows {where}. Received: none")
        if not splits[TRAIN].rows and not splits[EVAL].rows:
            raise DataError(
                f"expected rows in the training era {options.reference_from or '...'} to "
                f"{options.reference_to or '...'}. Received: none of {self._read:,} {where}"
            )
        if self._splitter.current.bounded and not splits[CURRENT].rows:
            raise DataError(
                f"expected rows in the current era {options.current_from or '...'} to "
                f"{options.current_to or '...'}. Received: none of {self._read:,} {where}"
            )
        if not splits[TRAIN].rows or not splits[EVAL].rows:
            raise DataError(
                "expected two or more rows that differ, for train and eval. Received: "
                f"{splits[TRAIN].rows + splits[EVAL].rows} equal ones of the training era {where}"
            )
        _refuse_empty_columns(
            [name for name in self._names if not self._trained[name]], " of the training rows"
        )


def _example_id(digest: bytes, seen: Any) -> str:
    """The digest of a row's content; for a further row of the same content, of its number too."""
    before = seen.add(digest[:16])
    if before:
        digest = hashlib.sha256(digest + str(before).encode()).digest()
    return digest[:16].hex()

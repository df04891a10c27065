"""The ingest step for tables: rows of a source to examples, split by digest and by time.

Equal rows are kept: a table may truly hold a row twice. The first has the digest of its content
as its id, each further one a digest of content and number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import CURRENT, EVAL, TABLE, TRAIN, Examples, ExamplesManifest
from components.errors import ConfigError, DataError
from components.ingest.table.options import IngestTableOptions
from components.ingest.table.sources import TableSource, open_source, snapshot_digest
from components.table_schema import RESERVED, Column, TableSchema, parse_constraint

if TYPE_CHECKING:
    import pyarrow as pa

    from components.ingest.table.shards import Written
    from components.ingest.table.splitting import SmallestNumbers, TableSplitter


def run(options: IngestTableOptions, examples: Path) -> ExamplesManifest:
    """Reads a table and writes its rows as examples.

    The manifest is written last: a folder without one is not complete. The types of CSV columns
    are those that all their texts can be read as. Whatever runs the work, the rows are the same,
    in the same order.

    Args:
        options: the source, the columns, the eras, the constraints, the share held out, the
            runner.
        examples: folder to write to; what it held before is replaced.

    Raises:
        ConfigError: the source, an era, a column or a constraint makes no sense.
        DataError: a file cannot be read, a column has no value, or a split would be empty.
        RunnerError: the runner cannot be reached, or failed.
    """
    from components.ingest.table.splitting import TableSplitter

    splitter = TableSplitter(options)
    source = open_source(options.source, options.missing_values)
    ingest = _spread if options.distributed else _here
    return ingest(options, source, splitter, Examples(examples))


def _here(
    options: IngestTableOptions, source: TableSource, splitter: TableSplitter, examples: Examples
) -> ExamplesManifest:
    """Reads and writes in this process."""
    from components.ingest.table.reading import READ, Reader
    from components.ingest.table.shards import write
    from components.ingest.writing import Occurrences, clear

    names = _names(options, source)
    reader = Reader(options, source.names, _types(options, names, source.types()))
    digest = snapshot_digest(options.source)
    counts: Counter[str] = Counter()

    def ingested() -> Written:
        counts.clear()
        clear(examples)
        rows = reader.rows(source, counts)
        with Occurrences() as seen:
            before = lambda some, place: seen.add(some.digests[place][:16])  # noqa: E731
            return write(rows, before, splitter, reader, examples)

    if options.max_rows:
        _keep(splitter, [reader.smallest(source)])
    written = ingested()
    if written.mended(splitter):
        written = ingested()
    return _finish(options, splitter, examples, digest, counts[READ], written)


def _spread(
    options: IngestTableOptions, source: TableSource, splitter: TableSplitter, examples: Examples
) -> ExamplesManifest:
    """Has the workers of a Beam runner read and write."""
    from components.ingest.spread import Spread
    from components.ingest.table.distributed import TableWork
    from components.ingest.table.reading import Reader
    from components.ingest.table.shards import Written

    names = _names(options, source)
    parts = source.parts()
    with Spread(options, examples) as spread:
        types = source.declared() or _inferred(spread, source)
        reader = Reader(options, source.names, _types(options, names, types))
        if options.max_rows:
            _keep(splitter, spread.each(reader.smallest, parts))
        work = TableWork(reader, splitter)
        digest, read, notes = spread.ingest(parts, source.named.items(), work)
        written = Written.nothing(reader).join(notes)
        if written.mended(splitter):
            written = Written.nothing(reader).join(spread.write_again(work))
        spread.publish()
    return _finish(options, splitter, examples, digest, sum(read), written)


def _inferred(spread: Any, source: TableSource) -> dict[str, pa.DataType]:
    """The types of CSV columns, by every text of them."""
    import functools

    from components.ingest.table.inference import TextTypes
    from components.ingest.table.sources import TablePart

    look = functools.partial(TablePart.text_types, names=source.names)
    texts = TextTypes(source.names)
    for found in spread.each(look, source.parts()):
        texts.join(found)
    return texts.types()


def _keep(splitter: TableSplitter, found: Iterable[dict[str, SmallestNumbers]]) -> None:
    """Sets which rows are kept, where there are more than are wanted."""
    smallest: dict[str, SmallestNumbers] = {}
    for part in found:
        for era, numbers in part.items():
            if era in smallest:
                smallest[era].join(numbers)
            else:
                smallest[era] = numbers
    limits = {era: kept.largest() for era, kept in smallest.items()}
    splitter.kept_to = {era: most for era, most in limits.items() if most is not None}


def _names(options: IngestTableOptions, source: TableSource) -> list[str]:
    return chosen_columns(
        options, [name for name in source.names if name != options.provenance_column]
    )


def _types(
    options: IngestTableOptions, names: list[str], found: dict[str, pa.DataType]
) -> dict[str, pa.DataType]:
    types = {name: found[name] for name in names}
    _check(options, types)
    return types


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


def _finish(
    options: IngestTableOptions,
    splitter: TableSplitter,
    examples: Examples,
    digest: str,
    read: int,
    written: Written,
) -> ExamplesManifest:
    """Checks that there is something in each split and column, and writes the manifest."""
    from components.ingest.table.shards import schema_of

    _refuse_empty(options, splitter, read, written)
    columns = tuple(profile.column() for profile in written.profiles)
    types = {profile.name: profile.dtype for profile in written.profiles}
    manifest = ExamplesManifest(
        source=options.source,
        snapshot_digest=digest,
        splits=written.splits,
        columns={field.name: str(field.type) for field in schema_of(types)},
        modality=TABLE,
        details=TableSchema(columns, tuple(options.constraints)).to_json(),
    )
    examples.write_manifest(manifest)
    rows = ", ".join(f"{name} {info.rows:,}" for name, info in written.splits.items())
    print(f"progress: {rows} rows of {len(columns)} columns", flush=True)
    return manifest


def _refuse_empty(
    options: IngestTableOptions, splitter: TableSplitter, read: int, written: Written
) -> None:
    where = f"in {options.source!r}"
    if not read:
        raise DataError(f"expected rows {where}. Received: none")
    rows = {split: info.rows for split, info in written.splits.items()}
    if not rows[TRAIN] and not rows[EVAL]:
        raise DataError(
            f"expected rows in the training era {options.reference_from or '...'} to "
            f"{options.reference_to or '...'}. Received: none of {read:,} {where}"
        )
    if splitter.current.bounded and not rows[CURRENT]:
        raise DataError(
            f"expected rows in the current era {options.current_from or '...'} to "
            f"{options.current_to or '...'}. Received: none of {read:,} {where}"
        )
    if not rows[TRAIN] or not rows[EVAL]:
        raise DataError(
            "expected two or more rows that differ, for train and eval. Received: "
            f"{rows[TRAIN] + rows[EVAL]} equal ones of the training era {where}"
        )
    untrained = [profile.name for profile in written.profiles if not written.trained[profile.name]]
    _refuse_empty_columns(untrained, " of the training rows")

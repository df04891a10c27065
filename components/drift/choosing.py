"""Samples rows by digest while a split streams past, however many rows it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.artifacts import Examples

if TYPE_CHECKING:
    import pyarrow as pa

_KEY = "example_id"


def smallest(
    examples: Examples, split: str, most: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """At most `most` rows of a split, those with the smallest ids, in the order of their ids.

    So the first of them are a sample of the whole era, and the choice depends on the rows and not
    on their order. Memory grows with `most`, not with the split: once that many rows are held, a
    batch is cut down to the ids below the largest of them before it is kept.

    Args:
        examples: where the split is.
        split: its name.
        most: rows at most.
        columns: to read besides the id, those that there are; None for all.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    shards = examples.shards(split)
    if not shards:
        return pa.table({_KEY: pa.array([], pa.string())})
    schema = pq.read_schema(shards[0])
    read = None
    if columns is not None:
        read = [_KEY, *(name for name in columns if name in schema.names and name != _KEY)]
    held: list[Any] = []
    rows = 0
    bound = None
    for batch in examples.batches(split, columns=read):
        if bound is not None:
            batch = batch.filter(pc.less(batch.column(_KEY), bound))
        if batch.num_rows:
            held.append(batch)
            rows += batch.num_rows
        if rows > 2 * most:
            kept = _first(held, most)
            held, rows = kept.to_batches(), kept.num_rows
            bound = kept.column(_KEY)[-1]
    if not held:
        empty = schema.empty_table()
        return empty if read is None else empty.select(read)
    return _first(held, most)


def _first(batches: Sequence[pa.RecordBatch], most: int) -> pa.Table:
    """The rows with the smallest ids, sorted, in memory of their own."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # A shard in which a column is missing throughout may have it without a type.
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    table = pa.concat_tables(tables, promote_options="permissive")
    return table.take(
        pc.sort_indices(table, sort_keys=[(_KEY, "ascending")])[:most]
    ).combine_chunks()

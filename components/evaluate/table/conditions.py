"""Whether rows have what was asked for, such as carrier=UA."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING

from components.artifacts import Figure
from components.errors import ModelError
from components.evaluate.intervals import wilson
from components.evaluate.table.served_table import ServedTable
from components.table_layout import category_texts
from components.table_schema import BOOLEAN, CATEGORICAL, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 100
_COLUMNS = 3
_VALUES = 2  # Of each column: the commonest.


@dataclasses.dataclass(frozen=True)
class Asked:
    """One condition, how many rows were asked for and have it, and why none came, if none did."""

    condition: str
    rows: int
    met: int
    refusal: str = ""


def ask(served: ServedTable, schema: TableSchema, training: pa.Table, seed: int) -> list[Asked]:
    """Asks for the commonest values of the first columns of categories."""
    named = [c.name for c in schema.columns if c.kind in (CATEGORICAL, BOOLEAN)][:_COLUMNS]
    found = []
    for name in named:
        texts = category_texts(training.column(name).combine_chunks())
        common = collections.Counter(text for text in texts if text).most_common(_VALUES)
        found += [_asked(served, name, value, seed) for value, _ in common]
    return found


def _asked(served: ServedTable, name: str, value: str, seed: int) -> Asked:
    condition = f"{name}={value}"
    try:
        rows, _ = served.generate(ROWS, seed, 1.0, [condition], f"generate where {condition}")
    except ModelError as error:
        # A model that refuses what training rows commonly have does not meet the condition.
        return Asked(condition, ROWS, 0, str(error))
    texts = category_texts(rows.column(name).combine_chunks())
    return Asked(condition, len(texts), sum(text == value for text in texts))


def figures(asked: list[Asked]) -> dict[str, Figure]:
    """The share of rows that have what was asked for; nothing where nothing could be asked."""
    if not asked:
        return {}
    share = wilson(sum(each.met for each in asked), sum(each.rows for each in asked))
    return {
        "condition_met": Figure(
            share.value, share.low, share.high, share.clusters, "share", "higher",
            "Rows that have the value that was asked for",
        )
    }  # fmt: skip

"""The texts that a table of examples or samples holds, as guards read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.artifacts import PROVENANCE
from components.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_OURS = ("example_id", "document_id", PROVENANCE, "label", "problem")


def texts_of(table: pa.Table) -> list[str]:
    """The text of each row: the column `text`, or all columns of strings, a line each.

    Raises:
        ConfigError: there is no text in it, as in images.
    """
    if "text" in table.column_names:
        return [text or "" for text in table.column("text").to_pylist()]
    names = [
        field.name
        for field in table.schema
        if field.name not in _OURS and _is_text(field.type) and "image" not in table.column_names
    ]
    if not names:
        raise ConfigError(
            "guards: expected a column of texts to check. Received: "
            f"{', '.join(table.column_names)}; leave guards empty"
        )
    columns = [table.column(name).to_pylist() for name in names]
    return ["\n".join(cell for cell in row if cell) for row in zip(*columns, strict=True)]


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))

"""Tells the types of columns whose values are texts, and brings all types to a few."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from components.errors import DataError
from components.ingest.table.formats import TableFile

_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
# From the narrowest: a column has the first type that all its texts can be read as.
_CANDIDATES = (
    pa.bool_(),
    pa.int64(),
    pa.float64(),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("us", tz="UTC"),
)
# Numbers that start with a zero are codes, such as the postal code 00501.
_LEADING_ZERO = r"^[+-]?0\d"


class TextTypes:
    """The types that all texts of each column can be read as."""

    def __init__(self, names: Sequence[str]) -> None:
        """Starts without any text."""
        self._left = {name: list(_CANDIDATES) for name in names}
        self._empty = set(names)

    def add(self, file: TableFile) -> None:
        """Looks at every text of a file.

        Raises:
            DataError: it cannot be read.
        """
        names = list(self._left)
        for _, batch in file.batches(names):
            for name, texts in zip(names, batch.columns, strict=True):
                if texts.null_count < len(texts):
                    self._empty.discard(name)
                    self._left[name] = [kind for kind in self._left[name] if _reads(texts, kind)]

    def join(self, other: TextTypes) -> None:
        """Takes in what others have seen."""
        self._empty &= other._empty
        for name, kinds in self._left.items():
            self._left[name] = [kind for kind in kinds if kind in other._left[name]]

    def types(self) -> dict[str, pa.DataType]:
        """Type by column; a column without any value has Arrow's type `null`."""
        return {
            name: pa.null() if name in self._empty else (kinds or [pa.string()])[0]
            for name, kinds in self._left.items()
        }


def declared_types(files: Sequence[TableFile]) -> dict[str, pa.DataType]:
    """The type of each column as the files declare it; none where no file does.

    Args:
        files: of the same columns.

    Raises:
        DataError: a file declares other types than the first one that declares any.
    """
    declared: dict[str, pa.DataType] = {}
    for file in files:
        types = file.types()
        for name in files[0].names if types is not None else ():
            assert types is not None
            _declare(declared, name, types[name], file)
    return declared


def _declare(
    declared: dict[str, pa.DataType], name: str, stored: pa.DataType, file: TableFile
) -> None:
    kind = _simplified(name, stored, file)
    before = declared.setdefault(name, kind)
    if pa.types.is_null(before):
        declared[name] = kind
    elif before != kind and not pa.types.is_null(kind):
        raise DataError(
            f"expected the column {name!r} as {before} in every file. Received: {kind} in "
            f"{file.path}"
        )


def _simplified(name: str, kind: pa.DataType, file: TableFile) -> pa.DataType:
    """The type that a column of a Parquet file is kept as."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_uint64(kind):
        return pa.int64()
    simple = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    if any(matches(kind) for matches in simple):
        return kind
    raise DataError(
        f"expected numbers, texts, dates or booleans in {name!r} of {file.path}. Received: {kind}; "
        f"leave it out: ingest.columns: ['-{name}']"
    )


def _reads(texts: pa.Array, kind: pa.DataType) -> bool:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        coded = pc.any(pc.match_substring_regex(texts, _LEADING_ZERO)).as_py()
        if coded and pa.types.is_integer(kind):
            return False
        if coded and not pc.any(pc.match_substring(texts, ".")).as_py():
            return False
    try:
        _read_texts(texts, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _read_texts(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        known = pc.is_in(texts, pa.array([*_TRUE, *_FALSE, None], pa.string()))
        if not pc.all(known).as_py():
            raise pa.ArrowInvalid("not a boolean")
        values = pc.is_in(texts, pa.array(_TRUE))
        return pc.if_else(pc.is_valid(texts), values, pa.scalar(None, pa.bool_()))
    return pc.cast(texts, kind)


def convert(array: pa.Array, kind: pa.DataType, name: str, where: str) -> pa.Array:
    """Brings values to the type that was found; what is not a number is missing.

    Raises:
        DataError: a value does not fit, or is infinite.
    """
    try:
        if pa.types.is_string(array.type) and not pa.types.is_string(kind):
            array = _read_texts(array, kind)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        # Nanoseconds are cut to microseconds.
        array = pc.cast(array, kind, safe=not pa.types.is_temporal(kind))
    except pa.ArrowInvalid as error:
        reason = " ".join(str(error).split())
        raise DataError(f"expected {kind} in {name!r} ({where}). Received: {reason}") from None
    if pa.types.is_floating(kind):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
        infinite = pc.sum(pc.is_inf(array)).as_py()
        if infinite:
            raise DataError(
                f"expected finite numbers in {name!r} ({where}). Received: {infinite} infinite; "
                "mend them, or leave them missing"
            )
    return array

"""Plain Python values to TensorProto and back, without numpy."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from serving.client import messages

# For each type: its number, the field of TensorProto that holds it, and its `struct` letter.
_TYPES: dict[str, tuple[int, str, str]] = {
    "float32": (1, "float_val", "f"),
    "float64": (2, "double_val", "d"),
    "int32": (3, "int_val", "i"),
    "uint8": (4, "int_val", "B"),
    "string": (7, "string_val", ""),
    "int64": (9, "int64_val", "q"),
    "bool": (10, "bool_val", "?"),
    "uint32": (22, "uint32_val", "I"),
    "uint64": (23, "uint64_val", "Q"),
}
_BY_NUMBER = {number: (field, letter) for number, field, letter in _TYPES.values()}


def vector(values: Sequence[Any], dtype: str) -> Any:
    """A TensorProto of rank 1.

    Args:
        values: one value per row; text is sent as UTF-8.
        dtype: a name such as 'int32' or 'string'.

    Raises:
        ValueError, TypeError: a value does not fit the type.
    """
    number, field, _ = _TYPES[dtype]
    proto = messages.TensorProto(dtype=number)
    proto.tensor_shape.dim.add(size=len(values))
    if dtype == "string":
        values = [value.encode() if isinstance(value, str) else value for value in values]
    getattr(proto, field).extend(values)
    return proto


def flat_values(proto: Any) -> list[Any]:
    """The elements of a TensorProto in row-major order; strings as bytes.

    Raises:
        ValueError: the type is not one that this client reads, or the content is cut short.
    """
    if proto.dtype not in _BY_NUMBER:
        raise ValueError(f"expected a tensor of {', '.join(_TYPES)}. Received: type {proto.dtype}")
    field, letter = _BY_NUMBER[proto.dtype]
    count = math.prod(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_content:
        try:
            return list(struct.unpack(f"<{count}{letter}", proto.tensor_content))
        except struct.error as error:
            raise ValueError(f"tensor content does not fit its shape: {error}") from None
    values = list(getattr(proto, field))
    # TensorFlow may leave out trailing values that repeat the last one.
    if values and len(values) < count:
        values += values[-1:] * (count - len(values))
    if len(values) != count:
        raise ValueError(f"expected {count} values. Received: {len(values)}")
    return values

"""Plain Python values to TensorProto and back, without numpy."""

from __future__ import annotations

import dataclasses
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
    "int16": (5, "int_val", "h"),
    "int8": (6, "int_val", "b"),
    "string": (7, "string_val", ""),
    "int64": (9, "int64_val", "q"),
    "bool": (10, "bool_val", "?"),
    "uint16": (17, "int_val", "H"),
    "uint32": (22, "uint32_val", "I"),
    "uint64": (23, "uint64_val", "Q"),
}
_BYTES = bytes | bytearray | memoryview
_BY_NUMBER = {number: (name, field, letter) for name, (number, field, letter) in _TYPES.items()}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An output.

    Attributes:
        dtype: such as 'float32' or 'string'.
        shape: size of every dimension.
        values: the elements in row-major order; strings as bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    values: list[Any]

    def tolist(self) -> Any:
        """The elements as nested lists; a single value where the tensor has no dimension."""
        nested = self.values
        if not self.shape:
            return nested[0]
        for position in range(len(self.shape) - 1, 0, -1):
            size = self.shape[position]
            count = math.prod(self.shape[:position])
            nested = [nested[row * size : (row + 1) * size] for row in range(count)]
        return nested


def vector(values: Sequence[Any], dtype: str) -> Any:
    """A TensorProto of rank 1.

    Args:
        values: one value per row; text is sent as UTF-8.
        dtype: a name such as 'int32' or 'string'.

    Raises:
        ValueError, TypeError: a value does not fit the type.
    """
    return _proto(dtype, (len(values),), values)


def tensor(values: Any, dtype: int, rank: int | None) -> Any:
    """A TensorProto of nested sequences, or of one value.

    Args:
        values: lists within lists, as deep as the tensor has dimensions; what has a `tolist()`,
            such as an array or a `Tensor`, is taken as that; text is sent as UTF-8.
        dtype: number of TensorFlow's DataType.
        rank: dimensions that are expected; None for any. One value is sent as a row of one
            where one dimension is expected.

    Raises:
        ValueError, TypeError: a value does not fit the type, lists of one level differ in length,
            or the type is not one that this client writes.
    """
    if dtype not in _BY_NUMBER:
        raise ValueError(f"expected a tensor of {', '.join(_TYPES)}. Received: type {dtype}")
    if hasattr(values, "tolist"):
        values = values.tolist()
    if rank == 1 and not _is_list(values):
        values = [values]
    shape: list[int] = []
    flat = [values]
    while (flat and _is_list(flat[0])) or (rank is not None and len(shape) < rank and not flat):
        if not flat:
            shape.append(0)
            continue
        sizes = {len(inner) if _is_list(inner) else -1 for inner in flat}
        if len(sizes) != 1:
            raise ValueError("lists of one level differ in length")
        shape.append(sizes.pop())
        flat = [element for inner in flat for element in inner]
    if any(_is_list(element) for element in flat):
        raise ValueError("lists and values stand side by side")
    return _proto(_BY_NUMBER[dtype][0], tuple(shape), flat)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | _BYTES)


def _proto(dtype: str, shape: tuple[int, ...], values: Sequence[Any]) -> Any:
    number, field, _ = _TYPES[dtype]
    proto = messages.TensorProto(dtype=number)
    # A scalar's shape is present and without dimensions.
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == "string":
        values = [_encoded(value) for value in values]
    getattr(proto, field).extend(values)
    return proto


def _encoded(value: Any) -> Any:
    """The bytes of one string; what is none is left to protobuf to refuse."""
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, _BYTES) else value


def read(proto: Any) -> Tensor:
    """What a TensorProto holds.

    Raises:
        ValueError: the type is not one that this client reads, or the content is cut short.
    """
    if proto.dtype not in _BY_NUMBER:
        raise ValueError(f"expected a tensor of {', '.join(_TYPES)}. Received: type {proto.dtype}")
    name, field, letter = _BY_NUMBER[proto.dtype]
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = math.prod(shape)
    if proto.tensor_content:
        try:
            content = struct.unpack(f"<{count}{letter}", proto.tensor_content)
        except struct.error as error:
            raise ValueError(f"tensor content does not fit its shape: {error}") from None
        return Tensor(name, shape, list(content))
    values = list(getattr(proto, field))
    # TensorFlow may leave out trailing values that repeat the last one.
    if values and len(values) < count:
        values += values[-1:] * (count - len(values))
    if len(values) != count:
        raise ValueError(f"expected {count} values. Received: {len(values)}")
    return Tensor(name, shape, values)


def flat_values(proto: Any) -> list[Any]:
    """The elements of a TensorProto in row-major order; strings as bytes.

    Raises:
        ValueError: the type is not one that this client reads, or the content is cut short.
    """
    return read(proto).values

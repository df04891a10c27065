"""One JSON value to the values of one tensor, by TensorFlow Serving's rules."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from serving.server.errors import StatusError, invalid_argument, unimplemented
from serving.server.json_tensor_parse import Document, shown
from serving.server.tensors import to_proto

_B64 = "b64"
_SPACES = re.compile(r"\s+")
# numpy's own limit is not much higher, and no model comes near it.
_MAX_RANK = 32
_CPP_NAMES = {tf.float32: "float", tf.float64: "double", tf.float16: "half"}
# Integers beyond these lose digits: TensorFlow Serving refuses them.
_EXACT = {tf.float32: 2**24 - 1, tf.float64: 2**53 - 1}
_RANGES = {
    dtype: (int(np.iinfo(dtype.as_numpy_dtype).min), int(np.iinfo(dtype.as_numpy_dtype).max))
    for dtype in (
        *(tf.int8, tf.int16, tf.int32, tf.int64),
        *(tf.uint8, tf.uint16, tf.uint32, tf.uint64),
    )
}
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of one tensor, in order."""

    shape: tuple[int, ...]
    leaves: Sequence[Any]


def read_values(value: Any, dtype: tf.DType, document: Document) -> Values:
    """A number, a string or nested lists of them as the values of one tensor."""
    shape = shape_of(value)
    values = read_regular(value, shape, dtype, document)
    if values is None:
        leaves: list[Any] = []
        _collect(value, 0, shape, dtype, document, leaves)
        values = Values(shape, leaves)
    return values


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape that the first elements tell."""
    sizes: list[int] = []
    while isinstance(value, list):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    if len(sizes) > _MAX_RANK:
        raise invalid_argument(
            f"expected lists that are nested at most {_MAX_RANK} deep. Received: {len(sizes)}"
        )
    return tuple(sizes)


def read_regular(
    value: Any, shape: tuple[int, ...], dtype: tf.DType, document: Document
) -> Values | None:
    """The values if all are plain and of the same kind and size, which is fast to find out."""
    leaves = [value]
    for size in shape:
        for part in leaves:
            if type(part) is not list or len(part) != size:
                return None
        leaves = list(itertools.chain.from_iterable(leaves))
    kinds = set(map(type, leaves))
    if dtype == tf.string and kinds <= {str}:
        return Values(shape, [document.encoded(leaf) for leaf in leaves])
    if (dtype == tf.bool and kinds <= {bool}) or (kinds == {int} and _in_range(leaves, dtype)):
        return Values(shape, leaves)
    if dtype in _EXACT and kinds == {float} and _all_representable(leaves, dtype):
        return Values(shape, leaves)
    return None


def _in_range(leaves: list[int], dtype: tf.DType) -> bool:
    if dtype in _RANGES:
        least, most = _RANGES[dtype]
        return min(leaves) >= least and max(leaves) <= most
    limit = _EXACT.get(dtype, -1)
    return min(leaves) >= -limit and max(leaves) <= limit


def _all_representable(leaves: list[float], dtype: tf.DType) -> bool:
    limit = _LARGEST_FLOAT32 if dtype == tf.float32 else float(np.finfo(np.float64).max)
    # NaN makes the comparison false, and goes the slow way.
    return bool(np.all(np.abs(np.array(leaves)) <= limit))


def _collect(
    value: Any,
    level: int,
    shape: tuple[int, ...],
    dtype: tf.DType,
    document: Document,
    leaves: list[Any],
) -> None:
    """Adds the values in order, or tells the first that does not fit."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        leaves.append(_leaf(value, dtype, document))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for part in value:
        _collect(part, level + 1, shape, dtype, document, leaves)


def _leaf(value: Any, dtype: tf.DType, document: Document) -> Any:
    """One value of a tensor."""
    if dtype == tf.string:
        if isinstance(value, dict):
            return decoded_b64(value)
        if isinstance(value, str):
            return document.encoded(value)
        raise _type_error(value, dtype)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == tf.bool and isinstance(value, bool):
        return value
    if dtype in _RANGES and number and isinstance(value, int):
        least, most = _RANGES[dtype]
        if least <= value <= most:
            return value
    elif dtype in _EXACT and number:
        return to_decimal(value, dtype, document)
    elif dtype not in _RANGES and dtype not in _EXACT and dtype != tf.bool:
        raise unimplemented(f"Conversion of JSON Value: {shown(value)} to type: {type_name(dtype)}")
    raise _type_error(value, dtype)


def to_decimal(value: int | float, dtype: tf.DType, document: Document) -> float:
    """A JSON number as a floating-point value of a type.

    Raises:
        StatusError: it is too large, or an integer with more digits than the type holds.
    """
    exact = _EXACT[dtype]
    if isinstance(value, int):
        # RapidJSON keeps larger integers as doubles, and does not look at their digits.
        integer = -(2**63) <= value < 2**64
        if integer and abs(value) > exact:
            raise _lossy(value, dtype)
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if math.isinf(value):
        document.check_infinity()
    elif dtype == tf.float32 and abs(value) > _LARGEST_FLOAT32:
        raise _lossy(value, dtype)
    return value


def decoded_b64(value: Any) -> bytes:
    """The bytes of an object {"b64": "..."}.

    Raises:
        StatusError: it is not one, or its string is no base64.
    """
    if not is_b64(value):
        raise invalid_argument(
            f"JSON Value: {shown(value)} not formatted correctly for base64 data"
        )
    text = _SPACES.sub("", value[_B64]).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("Unable to base64 decode") from None


def is_b64(value: Any) -> bool:
    """Whether a JSON value stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_B64), str)


def json_type(value: Any) -> str:
    """TensorFlow Serving's name for the type of a JSON value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return "Number"
    if isinstance(value, dict):
        return "Object"
    return "Array" if isinstance(value, list) else "String"


def type_name(dtype: tf.DType) -> str:
    """TensorFlow's C++ name of a type."""
    return str(_CPP_NAMES.get(dtype, dtype.name))


def proto_of(values: Values, dtype: tf.DType, document: Document) -> Any:
    kind = object if dtype == tf.string else dtype.as_numpy_dtype
    array = np.empty(len(values.leaves), kind)
    array[:] = values.leaves
    return to_proto(array.reshape(values.shape), dtype)


def _type_error(value: Any, dtype: tf.DType) -> StatusError:
    return invalid_argument(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: "
        f"{type_name(dtype)}"
    )


def _lossy(value: Any, dtype: tf.DType) -> StatusError:
    return invalid_argument(
        f"Cannot convert JSON value: {shown(value)} to {type_name(dtype)} without loss of "
        "precision."
    )

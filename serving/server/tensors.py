"""TensorProtos to arrays and tensors to TensorProtos, with TensorFlow Serving's rules."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

# What a short message may grow to: TensorFlow repeats the last value up to the shape, so that
# twenty bytes could ask for terabytes.
_LARGEST_FILL = 256 * 2**20


class TensorError(ValueError):
    """A TensorProto that describes no tensor."""


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How values of one type lie in a TensorProto.

    Attributes:
        array: the type of the values in an array.
        field: the typed field.
        stored: the type of the field's elements, where it is not `array`.
        raw_tag: the field's tag on the wire, where its packed elements are the array's bytes.
    """

    array: Any
    field: str
    stored: Any = None
    raw_tag: bytes = b""


_FLOAT_VAL, _DOUBLE_VAL = b"\x2a", b"\x32"  # fields 5 and 6, length-delimited
_KINDS = {
    tf.float32: _Kind(np.float32, "float_val", raw_tag=_FLOAT_VAL),
    tf.float64: _Kind(np.float64, "double_val", raw_tag=_DOUBLE_VAL),
    tf.int32: _Kind(np.int32, "int_val"),
    tf.int16: _Kind(np.int16, "int_val"),
    tf.int8: _Kind(np.int8, "int_val"),
    tf.uint8: _Kind(np.uint8, "int_val"),
    tf.uint16: _Kind(np.uint16, "int_val"),
    tf.uint32: _Kind(np.uint32, "uint32_val"),
    tf.uint64: _Kind(np.uint64, "uint64_val"),
    tf.int64: _Kind(np.int64, "int64_val"),
    tf.bool: _Kind(np.bool_, "bool_val"),
    tf.string: _Kind(np.object_, "string_val"),
    tf.float16: _Kind(np.float16, "half_val", stored=np.uint16),
    tf.bfloat16: _Kind(tf.bfloat16.as_numpy_dtype, "half_val", stored=np.uint16),
    tf.complex64: _Kind(np.complex64, "scomplex_val", stored=np.float32),
    tf.complex128: _Kind(np.complex128, "dcomplex_val", stored=np.float64),
}
_BY_NUMBER = {dtype.as_datatype_enum: (dtype, kind) for dtype, kind in _KINDS.items()}


def dtype_of(proto: Any) -> tf.DType:
    """The type of a TensorProto's values.

    Raises:
        TensorError: it names no type that a request can carry.
    """
    entry = _BY_NUMBER.get(proto.dtype)
    if entry is None:
        raise TensorError(f"type {proto.dtype}")
    return entry[0]


def to_array(proto: Any) -> np.ndarray[Any, Any]:
    """The values of a TensorProto, strings as bytes objects.

    As in TensorFlow: `tensor_content` must fill the shape exactly; of typed values the last one is
    repeated up to the shape, none at all mean zeros, and what is left over is ignored.

    Raises:
        TensorError: type, shape and values do not make a tensor, or a few values would be
            repeated into more than 256 MiB.
    """
    entry = _BY_NUMBER.get(proto.dtype)
    if entry is None:
        raise TensorError(f"type {proto.dtype}")
    kind = entry[1]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or (shape and min(shape) < 0):
        raise TensorError(f"shape {shape}")
    count = math.prod(shape)
    content = proto.tensor_content
    if kind.array is np.object_:
        strings = _split(content, count) if content else proto.string_val
        return _filled(np.array(list(strings), object), count, b"").reshape(shape)
    if content:
        itemsize = np.dtype(kind.array).itemsize
        if len(content) != count * itemsize:
            raise TensorError(f"{len(content)} bytes for shape {shape}")
        return np.frombuffer(content, kind.array).reshape(shape)
    field = getattr(proto, kind.field)
    try:
        values = np.fromiter(field, kind.stored or kind.array, len(field))
        if kind.stored is not None:
            values = values.view(kind.array)
    except (OverflowError, ValueError):
        raise TensorError(f"a value out of range in {kind.field}") from None
    return _filled(values, count, 0).reshape(shape)


def to_proto(values: Any, dtype: tf.DType) -> Any:
    """A TensorProto in typed fields, as TensorFlow Serving answers.

    Args:
        values: an array, or a scalar.
        dtype: the type of its values.
    """
    kind = _KINDS.get(dtype)
    if kind is None:
        return tf.make_tensor_proto(values, dtype)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    array = np.asarray(values, kind.array)
    shape = proto.tensor_shape
    shape.SetInParent()
    for size in array.shape:
        shape.dim.add(size=size)
    if kind.raw_tag:
        # Parsing copies the block at once; `extend` would take every number through Python.
        raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        proto.MergeFromString(kind.raw_tag + _varint(len(raw)) + raw)
    elif kind.stored is not None:
        getattr(proto, kind.field).extend(array.ravel().view(kind.stored).tolist())
    else:
        getattr(proto, kind.field).extend(array.ravel().tolist())
    return proto


def _filled(values: np.ndarray[Any, Any], count: int, empty: Any) -> np.ndarray[Any, Any]:
    """Exactly `count` values."""
    if len(values) == count:
        return values
    if len(values) > count:
        return values[:count]
    if count * values.itemsize > _LARGEST_FILL:
        raise TensorError(f"{len(values)} values for a shape of {count}")
    whole = np.full(count, values[-1] if len(values) else empty, values.dtype)
    whole[: len(values)] = values
    return whole


def _split(content: bytes, count: int) -> Sequence[bytes]:
    """The strings of a `tensor_content`: all lengths as varints, then all bytes."""
    if count > len(content):
        raise TensorError(f"{len(content)} bytes for {count} strings")
    sizes, position = [], 0
    for _ in range(count):
        size, shift = 0, 0
        while True:
            if position >= len(content) or shift > 28:
                raise TensorError("lengths of strings")
            byte = content[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        sizes.append(size)
    if position + sum(sizes) != len(content):
        raise TensorError("lengths of strings")
    strings = []
    for size in sizes:
        strings.append(content[position : position + size])
        position += size
    return strings


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

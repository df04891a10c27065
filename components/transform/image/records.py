"""Serializes images as tf.train.Example, many times faster than through the message's class."""

from __future__ import annotations

# Numbers of the fields, as example.proto and feature.proto of TensorFlow have them.
_FEATURES = 1
_ENTRY, _KEY, _VALUE = 1, 1, 2
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_LIST_VALUE = 1


def serialize(example_id: str, pixels: bytes, label: int) -> bytes:
    """Serializes one row.

    The message's class takes each number of a list as a Python object; here the list, which lies
    in the message as it does in memory, is copied.

    Args:
        example_id: feature `example_id`.
        pixels: feature `image`: float32, little-endian.
        label: feature `label`.
    """
    features = (
        (b"example_id", _BYTES_LIST, example_id.encode()),
        (b"image", _FLOAT_LIST, pixels),
        (b"label", _INT64_LIST, _varint(label & ((1 << 64) - 1))),
    )
    entries = b"".join(
        _field(
            _ENTRY,
            _field(_KEY, key) + _field(_VALUE, _field(kind, _field(_LIST_VALUE, value))),
        )
        for key, kind, value in features
    )
    return _field(_FEATURES, entries)


def _field(number: int, content: bytes) -> bytes:
    """A field of the wire type that has a length."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])

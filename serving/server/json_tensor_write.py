"""Answers as the JSON text that TensorFlow Serving writes, to the line breaks."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from serving.server.errors import invalid_argument
from serving.server.json_tensor_values import type_name
from serving.server.tensors import to_array

_BYTES_SUFFIX = "_bytes"
_INDENT = "    "
_INTEGERS = (
    *(tf.int8, tf.int16, tf.int32, tf.int64),
    *(tf.uint8, tf.uint16, tf.uint32, tf.uint64),
)
_SPECIAL = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
# Digits with which every value of the type comes back.
_DIGITS = {tf.float16: 9, tf.bfloat16: 9, tf.float32: 9, tf.float64: 17}


def predictions(outputs: Mapping[str, Any]) -> str:
    """The answer to `instances`: one entry a row.

    Args:
        outputs: TensorProtos by name; one alone is written without its name.

    Raises:
        StatusError: an output has no rows, or their number differs, or JSON has no such type.
    """
    _check_rows(outputs)
    columns = {name: _rows(name, proto) for name, proto in sorted(outputs.items())}
    rows = zip(*columns.values(), strict=True)
    if len(columns) == 1:
        return _one_line_list("predictions", [value for (value,) in rows])
    keys = [f"{_INDENT * 3}{_string(name)}: " for name in columns]
    entries = [
        f"{_INDENT * 2}{{\n"
        + ",\n".join(key + value for key, value in zip(keys, row, strict=True))
        + f"\n{_INDENT * 2}}}"
        for row in rows
    ]
    body = ",\n".join(entries)
    return f'{{\n{_INDENT}"predictions": [' + (f"\n{body}\n{_INDENT}" if body else "") + "]\n}"


def columns(outputs: Mapping[str, Any]) -> str:
    """The answer to `inputs`: every output as a whole.

    Args:
        outputs: TensorProtos by name; one alone is written without its name.

    Raises:
        StatusError: JSON has no such type.
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    depth = 1 if len(outputs) == 1 else 2
    written = {}
    for name, proto in sorted(outputs.items()):
        array = to_array(proto)
        written[name] = _nested(_tokens(name, array, proto), array.shape, depth)
    if len(written) == 1:
        (body,) = written.values()
    else:
        lines = [f"{_INDENT * 2}{_string(name)}: {text}" for name, text in written.items()]
        body = "{\n" + ",\n".join(lines) + f"\n{_INDENT}}}"
    return f'{{\n{_INDENT}"outputs": {body}\n}}'


def classifications(result: Any) -> str:
    """The answer to Classify: for every example a list of [label, score].

    Raises:
        StatusError: there is none.
    """
    if not result.classifications:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for entry in result.classifications:
        scores = _decimals([chosen.score for chosen in entry.classes], tf.float32)
        pairs = zip(entry.classes, scores, strict=True)
        row = ", ".join(f"[{_string(chosen.label)}, {score}]" for chosen, score in pairs)
        rows.append(f"[{row}]")
    return _one_line_list("results", rows)


def regressions(result: Any) -> str:
    """The answer to Regress: for every example a number.

    Raises:
        StatusError: there is none.
    """
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    values = _decimals([entry.value for entry in result.regressions], tf.float32)
    return f'{{\n{_INDENT}"results": [{", ".join(values)}]\n}}'


def error(message: str) -> str:
    """The body of every refusal."""
    return f'{{\n{_INDENT}"error": {_string(message)}\n}}'


def _one_line_list(key: str, values: Sequence[str]) -> str:
    # The bracket in a line of its own is how TensorFlow Serving writes it.
    end = f"\n{_INDENT}]" if values else "]"
    return f'{{\n{_INDENT}"{key}": [' + ", ".join(values) + end + "\n}"


def _check_rows(outputs: Mapping[str, Any]) -> None:
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    expected = None
    for name, proto in sorted(outputs.items()):
        if not proto.tensor_shape.dim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        size = proto.tensor_shape.dim[0].size
        if expected not in (None, size):
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {size} expecting: {expected}"
            )
        expected = size


def _rows(name: str, proto: Any) -> Iterator[str]:
    """The text of every row of an output, in one line each."""
    array = to_array(proto)
    tokens = iter(_tokens(name, array, proto))
    shape = array.shape[1:]
    return iter([_joined(tokens, shape) for _ in range(array.shape[0])])


def _joined(tokens: Iterator[str], shape: tuple[int, ...]) -> str:
    if not shape:
        return next(tokens)
    return "[" + ", ".join([_joined(tokens, shape[1:]) for _ in range(shape[0])]) + "]"


def _nested(tokens: Sequence[str], shape: tuple[int, ...], depth: int) -> str:
    """Lists with one element a line."""
    parts = list(tokens)
    for position in range(len(shape) - 1, -1, -1):
        size, level = shape[position], _INDENT * (depth + position)
        count = math.prod(shape[:position])
        opened, closed = f"[\n{level}{_INDENT}", f"\n{level}]"
        between = f",\n{level}{_INDENT}"
        parts = [
            opened + between.join(parts[row * size : (row + 1) * size]) + closed if size else "[]"
            for row in range(count)
        ]
    return parts[0]


def _tokens(name: str, array: Any, proto: Any) -> list[str]:
    """Every value of an output as JSON, in order."""
    dtype = tf.dtypes.as_dtype(proto.dtype)
    values = array.ravel().tolist()
    if dtype == tf.string:
        write: Callable[[bytes], str] = _b64 if name.endswith(_BYTES_SUFFIX) else _text
        return [write(value) for value in values]
    if dtype == tf.bool:
        return ["true" if value else "false" for value in values]
    if dtype in _INTEGERS:
        return [str(value) for value in values]
    if dtype in _DIGITS:
        return _decimals(values, dtype)
    raise invalid_argument(f"Failed to write JSON value for tensor type: {type_name(dtype)}")


def _decimals(values: Sequence[float], dtype: tf.DType) -> list[str]:
    """The shorter of six digits and as many as it takes for the value to come back."""
    numbers = np.array(values, np.float64)
    texts = [f"{value:g}" for value in values]
    with np.errstate(over="ignore"):
        same = np.array(texts, np.float64).astype(dtype.as_numpy_dtype) == numbers
    for position in np.flatnonzero(~same).tolist():
        texts[position] = f"{values[position]:.{_DIGITS[dtype]}g}"
    return [_with_point(text) for text in texts]


def _with_point(text: str) -> str:
    """A reader must see that 2.0 is no integer."""
    if "." in text or "e" in text:
        return text
    return _SPECIAL.get(text) or f"{text}.0"


def _text(value: bytes) -> str:
    # JSON is UTF-8: what is not cannot be written, short of a name that ends in _bytes.
    return _string(value.decode("utf-8", "replace"))


def _b64(value: bytes) -> str:
    return f'{{"b64": "{base64.b64encode(value).decode("ascii")}"}}'


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

"""The JSON of a REST Predict request to a PredictRequest, by TensorFlow Serving's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from serving.server.errors import StatusError, invalid_argument
from serving.server.json_tensor_parse import Document, shown
from serving.server.json_tensor_values import (
    Values,
    is_b64,
    proto_of,
    read_regular,
    read_values,
    shape_of,
)

ROW = "row"
COLUMNAR = "columnar"
_SIGNATURE, _INSTANCES, _INPUTS = "signature_name", "instances", "inputs"


def fill_signature(document: Document, spec: Any) -> None:
    """Takes the signature's name, where the request gives one, into a ModelSpec.

    Raises:
        StatusError: it is no string.
    """
    name = document.get(_SIGNATURE, "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    spec.signature_name = _name(name)


def fill_predict(document: Document, request: Any, inputs: Mapping[str, Any]) -> str:
    """Takes the tensors of a request into a PredictRequest.

    Args:
        document: the request; its `instances` are rows, its `inputs` are columns.
        request: the message, with its signature's name.
        inputs: TensorInfo of every input of the signature.

    Returns:
        ROW or COLUMNAR: the answer has the same form.

    Raises:
        StatusError: the values do not fit the signature's inputs.
    """
    # A protobuf map fails on names that are no UTF-8, instead of not having them.
    inputs = dict(inputs)
    if not inputs:
        name = request.model_spec.signature_name or "DEFAULT"
        raise invalid_argument(f"Failed to get input map for signature: {name}")
    if _INSTANCES not in document:
        if _INPUTS not in document:
            raise invalid_argument("Missing 'inputs' or 'instances' key")
        tensors = _from_columns(document, inputs)
    else:
        tensors = _from_rows(document, inputs)
    for name, values in tensors.items():
        dtype = _dtype(inputs[name])
        request.inputs[name].CopyFrom(proto_of(values, dtype, document))
    return ROW if _INSTANCES in document else COLUMNAR


def _from_columns(document: Document, inputs: Mapping[str, Any]) -> dict[str, Values]:
    given = document[_INPUTS]
    if not _is_named(given):
        if len(inputs) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        name = next(iter(inputs))
        return {name: read_values(given, _dtype(inputs[name]), document)}
    tensors = {}
    for name in sorted(inputs):
        if name not in given:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        tensors[name] = read_values(given[name], _dtype(inputs[name]), document)
    return tensors


def _from_rows(document: Document, inputs: Mapping[str, Any]) -> dict[str, Values]:
    rows = document[_INSTANCES]
    if _INPUTS in document:
        raise _format_error(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )
    if not isinstance(rows, list):
        raise _format_error(document, "Excepting 'instances' to be an list/array")
    if not rows:
        raise _format_error(document, "No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_named(rows[0])
    names = sorted(inputs) if named else [min(inputs)]
    if named:
        wanted = inputs.keys()
        regular = all(type(row) is dict and row.keys() == wanted for row in rows)
    else:
        regular = not any(_is_named(row) for row in rows)
    if regular:
        columns = {name: [row[name] for row in rows] if named else rows for name in names}
        tensors = {
            name: read_regular(column, _row_shape(column), _dtype(inputs[name]), document)
            for name, column in columns.items()
        }
        if None not in tensors.values():
            return {name: values for name, values in tensors.items() if values is not None}
    # Something is special or wrong: row by row, as TensorFlow Serving goes.
    collected: dict[str, list[Values]] = {name: [] for name in names}
    for number, row in enumerate(rows):
        _add_row(number, row, named, inputs, document, collected)
    return {
        name: Values(
            (len(rows), *parts[0].shape), [leaf for values in parts for leaf in values.leaves]
        )
        for name, parts in collected.items()
    }


def _row_shape(column: list[Any]) -> tuple[int, ...]:
    return (len(column), *shape_of(column[0]))


def _add_row(
    number: int,
    row: Any,
    named: bool,
    inputs: Mapping[str, Any],
    document: Document,
    collected: dict[str, list[Values]],
) -> None:
    """Adds the values of one row to those collected for every input."""
    if named != _is_named(row):
        raise invalid_argument(
            f"Expecting object but got list at item {number} of input list"
            if named
            else f"Expecting value/list but got object at item {number} of input list"
        )
    fields = row if named else {next(iter(collected)): row}
    for name, value in fields.items():
        try:
            if name not in inputs:
                raise invalid_argument(f"JSON object: does not have named input: {_name(name)}")
            values = read_values(value, _dtype(inputs[name]), document)
            _check_like(collected[name][:1], values)
        except StatusError as error:
            key = f" key: {_name(name)}" if named else ""
            raise invalid_argument(
                f"Failed to process element: {number}{key} of 'instances' list. "
                f"Error: {error.code.name}: {error.message}"
            ) from None
        collected[name].append(values)
    if fields.keys() != collected.keys():
        raise invalid_argument(
            f"Failed to process element: {number} of 'instances' list. "
            f"JSON object: {shown(row)} keys must be equal to: {','.join(sorted(inputs))}"
        )


def _format_error(document: Document, words: str) -> StatusError:
    return invalid_argument(f"JSON Value: {shown(document)} {words}")


def _check_like(first: Sequence[Values], values: Values) -> None:
    """All rows have the shape of the first one."""
    for expected in first:
        if len(expected.leaves) != len(values.leaves):
            raise invalid_argument(
                f"Expecting tensor size: {len(expected.leaves)} but got: {len(values.leaves)}"
            )
        if expected.shape != values.shape:
            raise invalid_argument(
                f"Expecting shape {_listed(expected.shape)} but got: {_listed(values.shape)}"
            )


def _is_named(value: Any) -> bool:
    """Whether it is an object of values by name, not one that stands for bytes."""
    return isinstance(value, dict) and not is_b64(value)


def _name(text: str) -> str:
    """A name as valid UTF-8, which JSON strings need not be."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _dtype(info: Any) -> tf.DType:
    return tf.dtypes.as_dtype(info.dtype)


def _listed(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"

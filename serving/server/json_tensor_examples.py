"""The JSON of a REST Classify or Regress request to tf.Examples, by TensorFlow Serving's rules."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from serving.server.errors import StatusError, invalid_argument
from serving.server.json_tensor_parse import Document, shown
from serving.server.json_tensor_values import decoded_b64, is_b64, json_type, to_decimal

_CONTEXT, _EXAMPLES = "context", "examples"
_BYTES, _FLOATS, _INTEGERS = "bytes_list", "float_list", "int64_list"
_KIND_NAMES = {_BYTES: "bytes", _FLOATS: "float", _INTEGERS: "int64"}


def fill_examples(document: Document, message: Any) -> int:
    """Takes the examples of a request, and what they share, into an Input message.

    Args:
        document: the request; every example is an object of features.
        message: the Input to fill.

    Returns:
        The number of examples.

    Raises:
        StatusError: there is none, or one has a feature of several types.
    """
    shared = _CONTEXT in document
    if shared:
        _fill_example(document[_CONTEXT], message.example_list_with_context.context, document)
    examples = document.get(_EXAMPLES)
    if _EXAMPLES not in document:
        problem = "When method is classify, key 'examples' is expected and was not found"
    elif not isinstance(examples, list):
        problem = "Expecting 'examples' value to be an list/array"
    elif not examples:
        problem = "'examples' value is an empty array"
    else:
        kind = message.example_list_with_context if shared else message.example_list
        for example in examples:
            _fill_example(example, kind.examples.add(), document)
        return len(examples)
    raise invalid_argument(f"JSON Value: {shown(document)} {problem}")


def _fill_example(value: Any, example: Any, document: Document) -> None:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(value)}")
    # It is an example, even without a feature.
    example.SetInParent()
    for key, content in value.items():
        name = key.encode("utf-8", "replace").decode("utf-8")
        feature = example.features.feature[name]
        for element in content if isinstance(content, list) else [content]:
            _add(element, name, feature, document)


def _add(value: Any, name: str, feature: Any, document: Document) -> None:
    """Adds one value; the first one decides on the feature's type."""
    stored: Any
    if isinstance(value, bool):
        kind, stored = _INTEGERS, int(value)
    elif isinstance(value, str):
        kind, stored = _BYTES, document.encoded(value)
    elif is_b64(value):
        kind, stored = _BYTES, decoded_b64(value)
    elif isinstance(value, int) and -(2**63) <= value < 2**64:
        kind, stored = _INTEGERS, value
    elif isinstance(value, int | float):
        kind, stored = _FLOATS, to_decimal(value, tf.float32, document)
    else:
        raise invalid_argument(
            f"Feature: {name} has element with unexpected JSON type: {json_type(value)}"
        )
    found = feature.WhichOneof("kind")
    if found not in (None, kind):
        raise _mixed(name, found)
    if kind == _INTEGERS and stored >= 2**63:
        raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
    getattr(feature, kind).value.append(stored)


def _mixed(name: str, found: str) -> StatusError:
    return invalid_argument(
        f"Unexpected element type in feature: {name} expecting type: {_KIND_NAMES[found]}"
    )

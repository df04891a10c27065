"""Configuration files in protobuf's text format: their messages, and one line for a bad one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from serving.server.errors import ConfigError

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bool": _FIELD.TYPE_BOOL,
    "int64": _FIELD.TYPE_INT64,
}
_WRAPPERS = ("Int64Value", "BoolValue", "StringValue")
_PACKAGE = "tensorflow.serving"
# Name, number and type of every field. The generated modules of these two messages are not on
# PyPI: tensorflow-serving-api leaves them out.
_MESSAGES = {
    "SSLConfig": [
        ("server_key", 1, "string"),
        ("server_cert", 2, "string"),
        ("custom_ca", 3, "string"),
        ("client_verify", 4, "bool"),
    ],
    "BatchingParameters": [
        ("max_batch_size", 1, "Int64Value"),
        ("batch_timeout_micros", 2, "Int64Value"),
        ("max_enqueued_batches", 3, "Int64Value"),
        ("num_batch_threads", 4, "Int64Value"),
        ("thread_pool_name", 5, "StringValue"),
        ("allowed_batch_sizes", 6, "repeated int64"),
        ("pad_variable_length_inputs", 7, "bool"),
        ("enable_large_batch_splitting", 8, "BoolValue"),
        ("max_execution_batch_size", 9, "Int64Value"),
    ],
}


def read_text_proto(path: Path, message: str, flag: str) -> Any:
    """Reads a file into a message of TensorFlow Serving.

    Args:
        path: the file.
        message: `SSLConfig` or `BatchingParameters`.
        flag: the command-line flag that names the file, for the error.

    Raises:
        ConfigError: it cannot be read, or it is no such message.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"expected {flag} to name a readable file. Received: {path}: {reason}"
        ) from None
    try:
        return text_format.Parse(text, _classes()[message]())
    except text_format.ParseError as error:
        known = ", ".join(name for name, _, _ in _MESSAGES[message])
        raise ConfigError(
            f"expected {path} ({flag}) to hold a {message} in protobuf's text format with the "
            f"fields {known}. Received: {' '.join(str(error).split())}"
        ) from None


@functools.cache
def _classes() -> dict[str, Any]:
    """The messages' classes, in a pool of their own that no other library can collide with."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="loomline/serving_config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            _add_field(message, field, number, kind)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    label, _, scalar = kind.rpartition(" ")
    field = message.field.add(name=name, number=number)
    field.label = _FIELD.LABEL_REPEATED if label else _FIELD.LABEL_OPTIONAL
    if kind in _WRAPPERS:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".google.protobuf.{kind}"
    else:
        field.type = _SCALARS[scalar]

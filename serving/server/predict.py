"""A loaded SavedModel's signatures: requests in, checked and run, responses out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2

from serving.server.errors import (
    from_tensorflow,
    invalid_argument,
    signature_not_found,
)

DEFAULT_SIGNATURE = "serving_default"
_SERVE_TAG = "serve"
_TYPED_FIELDS = {
    tf.string: "string_val",
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.int64: "int64_val",
    tf.bool: "bool_val",
}
# TensorFlow's C++ names, where they differ from Python's.
_TYPE_NAMES = {tf.float32: "float", tf.float64: "double", tf.float16: "half"}


class Signature:
    """One signature of a loaded model, callable with tensors in a request."""

    def __init__(self, function: Callable[..., dict[str, tf.Tensor]]) -> None:
        self._function = function
        _, arguments = function.structured_input_signature  # type: ignore[attr-defined]
        self._inputs: dict[str, Any] = dict(arguments)
        self._outputs = sorted(function.structured_outputs)  # type: ignore[attr-defined]
        # TensorFlow numbers the arguments of a call in the order of their names.
        self._positions = {name: index for index, name in enumerate(sorted(self._inputs))}

    def run(self, request: Any) -> dict[str, Any]:
        """Runs a request's inputs through the graph.

        Args:
            request: a PredictRequest.

        Returns:
            TensorProtos by output name: those of the output filter, or all.

        Raises:
            StatusError: the inputs do not fit, or the graph refused them.
        """
        self._check_names(request.inputs)
        wanted = self._filter(request.output_filter)
        tensors = {name: self._tensor(name, proto) for name, proto in request.inputs.items()}
        try:
            outputs = self._function(**tensors)
        except tf.errors.OpError as error:
            raise from_tensorflow(error.error_code, error.message) from None
        return {name: to_proto(outputs[name]) for name in wanted}

    def _check_names(self, given: Iterable[str]) -> None:
        sent, known = set(given), set(self._inputs)
        if len(sent) != len(known):
            raise invalid_argument(
                f"input size does not match signature: {len(sent)}!={len(known)} "
                f"len({{{_listed(sent)}}}) != len({{{_listed(known)}}}). "
                f"Sent extra: {{{_listed(sent - known)}}}. "
                f"Missing but required: {{{_listed(known - sent)}}}."
            )
        for name in sorted(sent - known):
            raise invalid_argument(
                f"input tensor alias not found in signature: {name}. "
                f"Inputs expected to be in the set {{{_listed(known)}}}."
            )

    def _filter(self, aliases: Iterable[str]) -> list[str]:
        chosen: list[str] = []
        for alias in aliases:
            if alias not in self._outputs:
                raise invalid_argument(
                    f"output tensor alias not found in signature: {alias} "
                    f"Outputs expected to be in the set {{{_listed(self._outputs)}}}."
                )
            if alias in chosen:
                raise invalid_argument(f"duplicate output tensor alias: {alias}")
            chosen.append(alias)
        return chosen or self._outputs

    def _tensor(self, name: str, proto: Any) -> tf.Tensor:
        expected = self._inputs[name]
        try:
            dtype = tf.dtypes.as_dtype(proto.dtype)
            tensor = tf.constant(tf.make_ndarray(proto), dtype)
        except (TypeError, ValueError, KeyError, MemoryError, tf.errors.OpError):
            raise invalid_argument(f"tensor parsing error: {name}") from None
        if dtype != expected.dtype:
            raise invalid_argument(
                f"Expects arg[{self._positions[name]}] to be {_type_name(expected.dtype)} "
                f"but {_type_name(dtype)} is provided (input {name})"
            )
        if not expected.shape.is_compatible_with(tensor.shape):
            raise invalid_argument(
                f"expected input {name} of shape {_shape(expected.shape)}. "
                f"Received: shape {_shape(tensor.shape)}"
            )
        return tensor


class LoadedModel:
    """A SavedModel in memory."""

    def __init__(self, path: Path) -> None:
        """Loads and initialises it.

        Raises:
            Exception: whatever TensorFlow raises for a folder that it cannot load.
        """
        # Signatures refer to variables and tables weakly: the object that owns them stays here.
        self._owner = tf.saved_model.load(str(path), tags=[_SERVE_TAG])
        self._signatures = {
            name: Signature(function) for name, function in self._owner.signatures.items()
        }
        self.signature_defs = _signature_defs(path)

    def predict(self, request: Any) -> tuple[str, dict[str, Any]]:
        """Answers a PredictRequest: the signature's name and TensorProtos by output name.

        Raises:
            StatusError: the request does not fit, or the graph refused it.
        """
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self._signatures.get(name)
        if signature is None:
            raise signature_not_found(name)
        return name, signature.run(request)


def to_proto(tensor: tf.Tensor) -> Any:
    """A TensorProto in typed fields, as TensorFlow Serving answers."""
    values = tensor.numpy()
    field = _TYPED_FIELDS.get(tensor.dtype)
    if field is None:
        return tf.make_tensor_proto(values, tensor.dtype, tensor.shape)
    proto = tensor_pb2.TensorProto(dtype=tensor.dtype.as_datatype_enum)
    proto.tensor_shape.CopyFrom(tensor.shape.as_proto())
    flat = [values] if isinstance(values, bytes) else values.ravel().tolist()
    getattr(proto, field).extend(flat)
    return proto


def _signature_defs(path: Path) -> dict[str, Any]:
    """The SignatureDefs of the graph that is served, by name, as the file has them."""
    model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for graph in model.meta_graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    return {}


def _listed(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _type_name(dtype: tf.DType) -> str:
    return str(_TYPE_NAMES.get(dtype, dtype.name))


def _shape(shape: tf.TensorShape) -> str:
    if shape.rank is None:
        return "unknown"
    return "[" + ",".join("?" if size is None else str(size) for size in shape) + "]"

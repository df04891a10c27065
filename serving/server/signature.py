"""One signature of a loaded model: a request's inputs checked, run and answered."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.python.eager import context, execute
from tensorflow.python.framework.ops import EagerTensor

from serving.server.errors import (
    StatusError,
    deadline_exceeded,
    from_tensorflow,
    internal,
    invalid_argument,
)
from serving.server.tensors import TensorError, dtype_of, to_array, to_proto

if TYPE_CHECKING:
    from serving.server.batching import Batcher

PREDICT_METHODS = (
    "tensorflow/serving/predict",
    "tensorflow/serving/classify",
    "tensorflow/serving/regress",
)
# TensorFlow's C++ names, where they differ from Python's.
_TYPE_NAMES = {tf.float32: "float", tf.float64: "double", tf.float16: "half"}

# numpy arrays by input name; strings are bytes objects.
Arrays = Mapping[str, Any]
Call = Callable[[dict[str, Any]], dict[str, Any]]


class Signature:
    """One signature of a loaded model, callable with the tensors of a request.

    Attributes:
        definition: its SignatureDef.
        batchable: every input and every output has a first dimension of unknown size.
        is_quick: it is called past TensorFlow's binding of arguments.
    """

    def __init__(self, function: Any, definition: Any) -> None:
        """Reads what it takes and gives.

        Args:
            function: the concrete function that TensorFlow loaded for it.
            definition: its SignatureDef.
        """
        self.definition = definition
        _, arguments = function.structured_input_signature
        self._inputs: dict[str, Any] = dict(arguments)
        self._types = {
            name: (spec.dtype, spec.dtype.as_datatype_enum, _dims(spec.shape))
            for name, spec in self._inputs.items()
        }
        self._outputs: list[str] = sorted(function.structured_outputs)
        self._dtypes = {name: spec.dtype for name, spec in function.structured_outputs.items()}
        # TensorFlow numbers the arguments of a call in the order of their names.
        self._positions = {name: index for index, name in enumerate(sorted(self._inputs))}
        quick = _flat_call(function, self._outputs)
        self.is_quick = quick is not None
        # It is called by name: this keeps what the name stands for.
        self._function = function
        self._call: Call = quick or (lambda tensors: dict(function(**tensors)))
        self._defaults = {
            name: to_array(proto) for name, proto in getattr(definition, "defaults", {}).items()
        }
        self.batchable = bool(self._inputs) and all(
            spec.shape.rank and spec.shape[0] is None
            for spec in (*self._inputs.values(), *function.structured_outputs.values())
        )

    def run(
        self, request: Any, batcher: Batcher | None = None, deadline: float | None = None
    ) -> dict[str, Any]:
        """Runs a request's inputs through the graph.

        Args:
            request: a PredictRequest.
            batcher: joins it with other requests, where the signature allows that.
            deadline: monotonic time after which it is not started any more.

        Returns:
            TensorProtos by output name: those of the output filter, or all.

        Raises:
            StatusError: the inputs do not fit, or the graph refused them.
        """
        self._check_method()
        self._check_names(request.inputs)
        arrays = self._arrays(request.inputs)
        wanted = self._filter(request.output_filter)
        if batcher is not None and self.batchable and not request.output_filter:
            outputs = batcher.run(self, arrays, deadline, request.model_spec.name)
        elif deadline is not None and time.monotonic() >= deadline:
            raise deadline_exceeded()
        else:
            outputs = self.compute(arrays)
        return {name: to_proto(outputs[name], self._dtypes[name]) for name in wanted}

    def compute(self, arrays: Arrays) -> dict[str, Any]:
        """Runs the graph on checked inputs; numpy arrays or scalars by output name.

        Raises:
            StatusError: the graph refused them.
        """
        try:
            # Not tf.constant: it copies, and it costs three times as much.
            tensors = {
                name: EagerTensor(array, "", self._types[name][1]) for name, array in arrays.items()
            }
            return {name: value.numpy() for name, value in self._call(tensors).items()}
        except tf.errors.OpError as error:
            raise from_tensorflow(error.error_code, error.message) from None

    def _check_method(self) -> None:
        if self.definition.method_name not in PREDICT_METHODS:
            raise wrong_method(self.definition.method_name)

    def _check_names(self, given: Mapping[str, Any]) -> None:
        if given.keys() == self._types.keys():
            return
        sent, known = set(given), set(self._inputs)
        if len(sent) > len(known) or (len(sent) < len(known) and not self._defaults):
            raise invalid_argument(
                f"input size does not match signature: {len(sent)}!={len(known)} "
                f"len({{{_listed(sent)}}}) != len({{{_listed(known)}}}). "
                f"Sent extra: {{{_listed(sent - known)}}}. "
                f"Missing but required: {{{_listed(known - sent)}}}."
            )
        for name in sorted(known - sent - set(self._defaults)):
            feed = self.definition.inputs[name].name
            raise invalid_argument(
                f"Signature input alias: {name}(feed name: {feed}) not found in request and no "
                "default value provided. Inputs expected to be in the request "
                f"{{{_listed(sent)}}}, or default input alias set: {_listed(self._defaults)}"
            )
        if sent - known:
            raise invalid_argument(
                f"Inputs contains invalid name. Used request inputs: {_listed(sent & known)}, "
                f"request input: {_listed(sent)}"
            )

    def _filter(self, aliases: Sequence[str]) -> list[str]:
        if not aliases:
            return self._outputs
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
        return chosen

    def _arrays(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        arrays = {name: self._array(name, proto) for name, proto in inputs.items()}
        for name, value in self._defaults.items():
            arrays.setdefault(name, value)
        return arrays

    def _array(self, name: str, proto: Any) -> Any:
        dtype, number, dims = self._types[name]
        try:
            array = to_array(proto)
        except (TensorError, MemoryError):
            raise invalid_argument(f"tensor parsing error: {name}") from None
        if proto.dtype != number:
            raise invalid_argument(
                f"Expects arg[{self._positions[name]}] to be {_type_name(dtype)} "
                f"but {_type_name(dtype_of(proto))} is provided (input {name})"
            )
        if dims is not None and not _fits(array.shape, dims):
            raise invalid_argument(
                f"expected input {name} of shape {_shape(dims)}. "
                f"Received: shape {_shape(array.shape)}"
            )
        return array


def wrong_method(name: str) -> StatusError:
    """The signature of this method name is not one to call with Predict."""
    return internal(
        "Expected prediction signature method_name to be one of "
        f"{{{', '.join(PREDICT_METHODS)}}}. Was: {name}"
    )


def _flat_call(
    function: Any, outputs: Sequence[str]
) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """The cheapest way to call a signature with checked tensors by name, or None.

    Binding keyword arguments and looking for gradient tapes takes TensorFlow longer than running
    a small graph, so the compiled function is run like any other operation. What
    lies below is not public, so it is used only where it looks as expected.
    """
    try:
        names = list(function.function_type.parameters)
        graph = function._inference_function
        captures = list(function.captured_inputs)
        given = [spec.name for spec in graph.function_type.flat_outputs]
        expected = [function.structured_outputs[name].name for name in outputs]
        fits = (
            set(names) == set(function.structured_input_signature[1])
            and len(graph.cached_definition.signature.input_arg) == len(names) + len(captures)
            and given == expected
        )
        runtime = context.context()
        options = runtime.function_call_options.as_attrs()
        attributes = tuple(itertools.chain.from_iterable(options.items()))
        kernel, count = graph.name.decode(), len(outputs)
    except (AttributeError, TypeError, KeyError):
        fits = False
    if not fits:
        return None

    def call(tensors: dict[str, Any]) -> dict[str, Any]:
        inputs = [tensors[name] for name in names] + captures
        values = execute.execute(kernel, count, inputs, attributes, runtime)
        return dict(zip(outputs, values, strict=True))

    return call


def _listed(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _type_name(dtype: tf.DType) -> str:
    return str(_TYPE_NAMES.get(dtype, dtype.name))


def _dims(shape: tf.TensorShape) -> tuple[int | None, ...] | None:
    """The sizes of a shape, None where one is unknown; None for an unknown rank."""
    return None if shape.rank is None else tuple(shape.as_list())


def _fits(shape: tuple[int, ...], dims: tuple[int | None, ...]) -> bool:
    return len(shape) == len(dims) and all(
        expected is None or size == expected for size, expected in zip(shape, dims, strict=True)
    )


def _shape(dims: Iterable[int | None]) -> str:
    return "[" + ",".join("?" if size is None else str(size) for size in dims) + "]"

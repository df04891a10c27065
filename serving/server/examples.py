"""Classify, Regress and MultiInference: serialized tf.Examples in, classes and values out.

Which signatures fit, which shapes are accepted and what a refusal says is TensorFlow Serving's
behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.server.errors import failed_precondition, invalid_argument, unimplemented

if TYPE_CHECKING:
    from serving.server.signature import Signature

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
_INPUTS = "inputs"
_CLASSES = "classes"
_SCORES = "scores"
_OUTPUTS = "outputs"

Signatures = Mapping[str, "Signature"]


def serialized_examples(message: Any) -> list[bytes]:
    """The tf.Examples of an Input, serialized; a shared context goes in front of each.

    Raises:
        StatusError: it holds none.
    """
    kind = message.WhichOneof("kind")
    examples: list[bytes] = []
    if kind == "example_list":
        examples = [entry.SerializeToString() for entry in message.example_list.examples]
    elif kind == "example_list_with_context":
        shared = message.example_list_with_context
        # Serialized messages merge when they are joined; the example's own features win.
        context = shared.context.SerializeToString()
        examples = [context + entry.SerializeToString() for entry in shared.examples]
    if not examples:
        raise invalid_argument("Input is empty.")
    return examples


def classify(name: str, signatures: Signatures, message: Any) -> Any:
    """A ClassificationResult for an Input.

    Raises:
        StatusError: the signature or the input does not fit, or the graph refused it.
    """
    signature = _named(name, signatures, "classification", CLASSIFY_METHOD)
    _check_classification(signature.definition)
    examples = serialized_examples(message)
    return _classifications(_compute(signature, examples), len(examples))


def regress(name: str, signatures: Signatures, message: Any) -> Any:
    """A RegressionResult for an Input.

    Raises:
        StatusError: the signature or the input does not fit, or the graph refused it.
    """
    signature = _named(name, signatures, "regression", REGRESS_METHOD)
    _check_regression(signature.definition)
    examples = serialized_examples(message)
    return _regressions(_compute(signature, examples), len(examples))


_TASKS: dict[str, tuple[Callable[[Any], None], Callable[[Mapping[str, Any], int], Any]]]


def multi_inference(
    signatures: Signatures, request: Any, default_signature: str
) -> list[tuple[str, Any]]:
    """The signature's name and the result of every task of a MultiInferenceRequest.

    Raises:
        StatusError: a task or its signature does not fit, or the graph refused the input.
    """
    model, names, fed = "", [], ""
    for task in request.tasks:
        spec = task.model_spec
        if not spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if model and spec.name != model:
            raise invalid_argument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        model, name = spec.name, spec.signature_name or default_signature
        if name in names:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        names.append(name)
        if name not in signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _TASKS:
            raise unimplemented(f"Unsupported signature method_name: {task.method_name}")
        definition = signatures[name].definition
        _TASKS[task.method_name][0](definition)
        feed = definition.inputs[_INPUTS].name
        if fed and feed != fed:
            raise invalid_argument("Input tensor must be the same for all Signatures.")
        fed = feed
    examples = serialized_examples(request.input)
    return [
        (name, _TASKS[task.method_name][1](_compute(signatures[name], examples), len(examples)))
        for name, task in zip(names, request.tasks, strict=True)
    ]


def _named(name: str, signatures: Signatures, kind: str, method: str) -> Signature:
    signature = signatures.get(name)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name}")
    _check_method(signature.definition, kind, method)
    return signature


def _check_method(definition: Any, kind: str, method: str) -> None:
    if definition.method_name != method:
        raise invalid_argument(
            f"Expected {kind} signature method_name to be {method}. Was: {definition.method_name}"
        )


def _check_classification(definition: Any) -> None:
    _check_method(definition, "classification", CLASSIFY_METHOD)
    if len(definition.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(definition.outputs) not in (1, 2):
        raise invalid_argument(
            f"Expected one or two output Tensors, found {len(definition.outputs)}"
        )
    if _INPUTS not in definition.inputs:
        raise failed_precondition(
            f"No classification inputs found in SignatureDef: {_text(definition)}"
        )
    if _CLASSES not in definition.outputs and _SCORES not in definition.outputs:
        raise failed_precondition(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {_text(definition)}'
        )


def _check_regression(definition: Any) -> None:
    _check_method(definition, "regression", REGRESS_METHOD)
    if len(definition.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(definition.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if _INPUTS not in definition.inputs:
        raise failed_precondition(
            f"No regression inputs found in SignatureDef: {_text(definition)}"
        )
    if _OUTPUTS not in definition.outputs:
        raise failed_precondition(
            f"No regression outputs found in SignatureDef: {_text(definition)}"
        )


def _compute(signature: Signature, examples: list[bytes]) -> dict[str, Any]:
    return signature.compute({_INPUTS: np.array(examples, object)})


def _classifications(outputs: Mapping[str, Any], count: int) -> Any:
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    widths = []
    if classes is not None:
        widths.append(_check_matrix(classes, _CLASSES, np.object_, count))
    if scores is not None:
        widths.append(_check_matrix(scores, _SCORES, np.float32, count))
    if len(set(widths)) > 1:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}"
        )
    result = classification_pb2.ClassificationResult()
    labels = None if classes is None else classes.tolist()
    values = None if scores is None else scores.tolist()
    for row in range(count):
        entry = result.classifications.add()
        for column in range(widths[0]):
            chosen = entry.classes.add()
            if labels is not None:
                chosen.label = labels[row][column].decode("utf-8", "replace")
            if values is not None:
                chosen.score = values[row][column]
    return result


def _check_matrix(values: Any, name: str, kind: Any, count: int) -> int:
    """The number of classes."""
    if np.ndim(values) != 2:
        raise invalid_argument(
            f"Expected Tensor shape: [batch_size num_classes] but got {_dims(values)}"
        )
    if values.dtype != kind:
        raise invalid_argument(
            f"Expected {name} Tensor of {_type(np.dtype(kind))}. Got: {_type(values.dtype)}"
        )
    if len(values) != count:
        raise invalid_argument(f"Expected {name} output batch size of {count}. Got: {len(values)}")
    return int(values.shape[1])


def _regressions(outputs: Mapping[str, Any], count: int) -> Any:
    values = outputs[_OUTPUTS]
    rank = np.ndim(values)
    if rank != 1 and not (rank == 2 and values.shape[1] == 1):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_dims(values)}"
        )
    if len(values) != count:
        raise invalid_argument(
            f"Input batch size did not match output batch size: {count} vs. {len(values)}"
        )
    if values.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_type(values.dtype)}")
    result = regression_pb2.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _dims(values: Any) -> str:
    return "[" + ",".join(map(str, np.shape(values))) + "]"


def _type(dtype: Any) -> str:
    number = tf.dtypes.as_dtype(dtype).as_datatype_enum
    return str(types_pb2.DataType.Name(number))


def _text(definition: Any) -> str:
    return str(text_format.MessageToString(definition, as_one_line=True))


_TASKS = {
    CLASSIFY_METHOD: (_check_classification, _classifications),
    REGRESS_METHOD: (_check_regression, _regressions),
}

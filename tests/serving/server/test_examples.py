"""Classify, Regress and MultiInference answer and refuse as TensorFlow Serving does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model like those of TensorFlow 1: all its signatures read one placeholder."""
    import tensorflow as tf

    from serving.server.predict import LoadedModel

    v1 = tf.compat.v1
    path = tmp_path_factory.mktemp("estimator") / "1"
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], "examples")
        features = tf.io.parse_example(
            serialized,
            {
                "x": tf.io.FixedLenFeature([1], tf.float32),
                "shift": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
            },
        )
        value = features["x"] * 2 + features["shift"]
        rows = tf.shape(value)[0]
        labels = tf.tile([["low", "high"]], [rows, 1])
        scores = tf.concat([1 - value, value], axis=1)

        def signature(method: str, name: str = "inputs", **outputs: Any) -> Any:
            info = v1.saved_model.utils.build_tensor_info
            return v1.saved_model.signature_def_utils.build_signature_def(
                {name: info(serialized)}, {key: info(t) for key, t in outputs.items()}, method
            )

        signatures = {
            "serving_default": signature(CLASSIFY, classes=labels, scores=scores),
            "labels": signature(CLASSIFY, classes=labels),
            "scores": signature(CLASSIFY, scores=scores),
            "regress": signature(REGRESS, outputs=value),
            "flat": signature(REGRESS, outputs=value[:, 0]),
            "predict": signature("tensorflow/serving/predict", y=value),
            "c_input": signature(CLASSIFY, "x", scores=scores),
            "c_outputs": signature(CLASSIFY, y=scores),
            "c_rank": signature(CLASSIFY, scores=value[:, 0]),
            "c_type": signature(CLASSIFY, scores=tf.cast(scores, tf.float64)),
            "c_labels": signature(CLASSIFY, classes=scores),
            "c_rows": signature(CLASSIFY, scores=scores[:1]),
            "c_width": signature(CLASSIFY, classes=labels, scores=value),
            "r_input": signature(REGRESS, "x", outputs=value),
            "r_outputs": signature(REGRESS, y=value),
            "r_two": signature(REGRESS, outputs=value, more=value),
            "r_rank": signature(REGRESS, outputs=scores),
            "r_rows": signature(REGRESS, outputs=value[:1]),
            "r_type": signature(REGRESS, outputs=tf.cast(value, tf.float64)),
        }
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return LoadedModel(path)


@pytest.fixture(scope="module")
def examples() -> Callable[..., Any]:
    def examples(*values: float, shift: float | None = None) -> Any:
        from tensorflow_serving.apis import input_pb2

        message = input_pb2.Input()
        rows = message.example_list.examples
        if shift is not None:
            shared = message.example_list_with_context
            shared.context.features.feature["shift"].float_list.value.append(shift)
            rows = shared.examples
        for value in values:
            rows.add().features.feature["x"].float_list.value.append(value)
        return message

    return examples


def classification(message: Any, signature: str = "") -> Any:
    from tensorflow_serving.apis import classification_pb2

    request = classification_pb2.ClassificationRequest(input=message)
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    return request


def regression(message: Any, signature: str = "regress") -> Any:
    from tensorflow_serving.apis import regression_pb2

    request = regression_pb2.RegressionRequest(input=message)
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    return request


def multi(message: Any, *tasks: tuple[str, str, str]) -> Any:
    from tensorflow_serving.apis import inference_pb2

    request = inference_pb2.MultiInferenceRequest(input=message)
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = name, signature
    return request


def refusal(call: Callable[[Any], Any], request: Any) -> tuple[grpc.StatusCode, str]:
    from serving.server.errors import StatusError

    with pytest.raises(StatusError) as raised:
        call(request)
    return raised.value.code, raised.value.message


def test_classify_gives_labels_and_scores_for_every_example(
    estimator: Any, examples: Callable[..., Any]
) -> None:
    signature, result = estimator.classify(classification(examples(0.25, 0.5)))
    assert signature == "serving_default"
    rows = [[(c.label, c.score) for c in row.classes] for row in result.classifications]
    assert rows == [[("low", 0.5), ("high", 0.5)], [("low", 0), ("high", 1)]]
    _, result = estimator.classify(classification(examples(0.25), "labels"))
    assert [(c.label, c.score) for c in result.classifications[0].classes] == [
        ("low", 0),
        ("high", 0),
    ]
    _, result = estimator.classify(classification(examples(0.5), "scores"))
    assert [(c.label, c.score) for c in result.classifications[0].classes] == [("", 0), ("", 1)]


@pytest.mark.parametrize("signature", ["regress", "flat"])
def test_regress_gives_a_value_for_every_example(
    estimator: Any, examples: Callable[..., Any], signature: str
) -> None:
    name, result = estimator.regress(regression(examples(1, 2, 3), signature))
    assert name == signature
    assert [entry.value for entry in result.regressions] == [2, 4, 6]


def test_a_shared_context_counts_for_every_example(
    estimator: Any, examples: Callable[..., Any]
) -> None:
    _, result = estimator.regress(regression(examples(1, 2, shift=10)))
    assert [entry.value for entry in result.regressions] == [12, 14]


def test_multi_inference_answers_every_task_in_order(
    estimator: Any, examples: Callable[..., Any]
) -> None:
    request = multi(examples(0.5), ("m", "regress", REGRESS), ("m", "", CLASSIFY))
    (first, value), (second, classes) = estimator.multi_inference(request)
    assert (first, second) == ("regress", "serving_default")
    assert value.regressions[0].value == 1
    assert [c.label for c in classes.classifications[0].classes] == ["low", "high"]


def test_an_empty_input_is_refused(estimator: Any, examples: Callable[..., Any]) -> None:
    from tensorflow_serving.apis import input_pb2

    invalid = (grpc.StatusCode.INVALID_ARGUMENT, "Input is empty.")
    for message in (input_pb2.Input(), examples(), examples(shift=1)):
        assert refusal(estimator.classify, classification(message)) == invalid
        assert refusal(estimator.regress, regression(message)) == invalid
        request = multi(message, ("m", "regress", REGRESS))
        assert refusal(estimator.multi_inference, request) == invalid


def test_an_example_that_does_not_parse_is_refused_in_one_line(estimator: Any) -> None:
    from tensorflow_serving.apis import input_pb2

    message = input_pb2.Input()
    message.example_list.examples.add().features.feature["x"].bytes_list.value.append(b"no number")
    code, text = refusal(estimator.regress, regression(message))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "x" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        ("nope", "INVALID_ARGUMENT", "No signature was found with the name: nope"),
        (
            "predict",
            "INVALID_ARGUMENT",
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/predict",
        ),
        ("c_input", "FAILED_PRECONDITION", "No classification inputs found in SignatureDef: "),
        (
            "c_outputs",
            "FAILED_PRECONDITION",
            "Expected classification signature outputs to contain at least one of "
            '"classes" or "scores". Signature was: ',
        ),
        (
            "c_rank",
            "INVALID_ARGUMENT",
            "Expected Tensor shape: [batch_size num_classes] but got [2]",
        ),
        (
            "c_type",
            "INVALID_ARGUMENT",
            "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
        ),
        (
            "c_labels",
            "INVALID_ARGUMENT",
            "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        ),
        ("c_rows", "INVALID_ARGUMENT", "Expected scores output batch size of 2. Got: 1"),
        (
            "c_width",
            "INVALID_ARGUMENT",
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
    ],
)
def test_classify_refuses_signatures_that_do_not_fit(
    estimator: Any, examples: Callable[..., Any], signature: str, code: str, message: str
) -> None:
    found, text = refusal(estimator.classify, classification(examples(1, 2), signature))
    assert found == grpc.StatusCode[code]
    assert text.startswith(message)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        ("nope", "INVALID_ARGUMENT", "No signature was found with the name: nope"),
        (
            "labels",
            "INVALID_ARGUMENT",
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/classify",
        ),
        ("r_input", "FAILED_PRECONDITION", "No regression inputs found in SignatureDef: "),
        ("r_outputs", "FAILED_PRECONDITION", "No regression outputs found in SignatureDef: "),
        ("r_two", "INVALID_ARGUMENT", "Expected one output Tensor."),
        (
            "r_rank",
            "INVALID_ARGUMENT",
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            "but got [2,2]",
        ),
        (
            "r_rows",
            "INVALID_ARGUMENT",
            "Input batch size did not match output batch size: 2 vs. 1",
        ),
        ("r_type", "INVALID_ARGUMENT", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    ],
)
def test_regress_refuses_signatures_that_do_not_fit(
    estimator: Any, examples: Callable[..., Any], signature: str, code: str, message: str
) -> None:
    found, text = refusal(estimator.regress, regression(examples(1, 2), signature))
    assert found == grpc.StatusCode[code]
    assert text.startswith(message)


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        (
            [("", "regress", REGRESS)],
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name.",
        ),
        (
            [("m", "regress", REGRESS), ("other", "", CLASSIFY)],
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [("m", "", CLASSIFY), ("m", "serving_default", CLASSIFY)],
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            [("m", "nope", CLASSIFY)],
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: nope",
        ),
        (
            [("m", "predict", "tensorflow/serving/predict")],
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            [("m", "regress", CLASSIFY)],
            "INVALID_ARGUMENT",
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/regress",
        ),
    ],
)
def test_multi_inference_refuses_tasks_that_do_not_fit(
    estimator: Any,
    examples: Callable[..., Any],
    tasks: list[tuple[str, str, str]],
    code: str,
    message: str,
) -> None:
    request = multi(examples(1), *tasks)
    assert refusal(estimator.multi_inference, request) == (grpc.StatusCode[code], message)


def test_predict_runs_the_same_signatures_on_serialized_examples(
    estimator: Any, examples: Callable[..., Any]
) -> None:
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "regress"
    request.inputs["inputs"].dtype = 7
    request.inputs["inputs"].tensor_shape.dim.add(size=1)
    (example,) = examples(4).example_list.examples
    request.inputs["inputs"].string_val.append(example.SerializeToString())
    _, outputs = estimator.predict(request)
    assert list(outputs["outputs"].float_val) == [8]


def test_tasks_must_read_the_same_tensor(
    tmp_path: Path, examples: Callable[..., Any], rewritten: Callable[..., Any]
) -> None:
    """Signatures that TensorFlow 2 exports have placeholders of their own."""
    model = rewritten(tmp_path / "1")
    _, result = model.regress(regression(examples(3), "a"))
    assert [entry.value for entry in result.regressions] == [3]
    request = multi(examples(1), ("m", "a", REGRESS), ("m", "b", REGRESS))
    assert refusal(model.multi_inference, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Input tensor must be the same for all Signatures.",
    )


@pytest.fixture(scope="module")
def rewritten() -> Callable[[Path], Any]:
    """Exports a model of TensorFlow 2 and marks its signatures for Regress."""

    def rewritten(path: Path) -> Any:
        import tensorflow as tf
        from tensorflow.core.protobuf import saved_model_pb2

        from serving.server.predict import LoadedModel

        module = tf.Module()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def regress(inputs: Any) -> Any:
            features = {"x": tf.io.FixedLenFeature([1], tf.float32)}
            return {"outputs": tf.io.parse_example(inputs, features)["x"]}

        module.regress = regress
        signatures = {"a": regress, "b": regress}
        tf.saved_model.save(module, str(path), signatures=signatures)
        file = path / "saved_model.pb"
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        for name in signatures:
            saved.meta_graphs[0].signature_def[name].method_name = REGRESS
        file.write_bytes(saved.SerializeToString())
        return LoadedModel(path)

    return rewritten

"""PredictionService's Classify, Regress and MultiInference: calls over tf.Examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def _fill(request: Any, examples: list[dict[str, float]]) -> Any:
    for features in examples:
        example = request.input.example_list.examples.add()
        for name, value in features.items():
            example.features.feature[name].float_list.value.append(value)
    return request


@pytest.fixture
def classify(calls) -> Callable[..., Any]:
    def classify(name: str, *examples: dict[str, float], **spec: Any) -> Any:
        from tensorflow_serving.apis import classification_pb2

        request = classification_pb2.ClassificationRequest(model_spec=calls.spec(name, **spec))
        return calls.predictions.Classify(_fill(request, list(examples)), timeout=60)

    return classify


@pytest.fixture
def regress(calls) -> Callable[..., Any]:
    def regress(name: str, *examples: dict[str, float], **spec: Any) -> Any:
        from tensorflow_serving.apis import regression_pb2

        request = regression_pb2.RegressionRequest(model_spec=calls.spec(name, **spec))
        return calls.predictions.Regress(_fill(request, list(examples)), timeout=60)

    return regress


@pytest.fixture
def multi(calls) -> Callable[..., Any]:
    def multi(*tasks: tuple[str, str, str], x: float = 2.0, **spec: Any) -> Any:
        from tensorflow_serving.apis import inference_pb2

        request = inference_pb2.MultiInferenceRequest()
        for name, signature, method in tasks:
            model_spec = calls.spec(name, signature, **spec)
            request.tasks.add(method_name=method, model_spec=model_spec)
        return calls.predictions.MultiInference(_fill(request, [{"x": x}]), timeout=60)

    return multi


def test_classify_pairs_labels_with_scores_for_each_example(classify, half):
    """apis/classification.proto: one Classifications per example, in the input's order."""
    reply = classify(half, {"x": 2.0}, {"x": 4.0}, signature="classify", version=1)
    pairs = [[(c.label, c.score) for c in one.classes] for one in reply.result.classifications]
    assert pairs == [[("low", -3.0), ("high", 3.0)], [("low", -4.0), ("high", 4.0)]]


def test_classify_without_classes_leaves_labels_empty(classify, half):
    """servables/tensorflow/classifier.cc: classes, scores or both may be in the signature."""
    reply = classify(half, {"x": 2.0}, signature="scores_only", version=1)
    classes = reply.result.classifications[0].classes
    assert [(one.label, one.score) for one in classes] == [("", 3.0)]


def test_classify_names_what_answered(classify, half):
    """servables/tensorflow/classifier.cc: RunClassify fills the reply's ModelSpec."""
    spec = classify(half, {"x": 2.0}, signature="classify", label="stable").model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == (half, "classify", 1)


def test_classify_takes_a_context_that_all_examples_share(calls, half):
    """apis/input.proto: ExampleListWithContext merges the context into each example."""
    from tensorflow_serving.apis import classification_pb2

    spec = calls.spec(half, "scores_only", 1)
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    shared = request.input.example_list_with_context
    shared.context.features.feature["x"].float_list.value.append(6.0)
    for word in (b"one", b"two"):
        shared.examples.add().features.feature["other"].bytes_list.value.append(word)
    reply = calls.predictions.Classify(request, timeout=60)
    assert [one.classes[0].score for one in reply.result.classifications] == [5.0, 5.0]


def test_classify_without_examples_is_refused(calls, classify, half):
    """servables/tensorflow/util.cc: InputToSerializedExampleTensor."""
    refusal = calls.refusal(classify, half, signature="classify")
    assert refusal == ("INVALID_ARGUMENT", "Input is empty.")


def test_classify_without_the_feature_is_refused(calls, classify, half):
    """servables/tensorflow/classifier.cc: the status of Session::Run, here of ParseExample."""
    code, text = calls.refusal(classify, half, {"z": 1.0}, signature="classify")
    assert code == "INVALID_ARGUMENT"
    assert "Feature: x (data type: float) is required but could not be found." in text


def test_classify_refuses_a_signature_of_another_method(calls, classify, half):
    """servables/tensorflow/classifier.cc: GetClassificationSignatureDef."""
    assert calls.refusal(classify, half, {"x": 2.0}) == (
        "INVALID_ARGUMENT",
        "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/predict",
    )


def test_an_unknown_signature_is_an_invalid_argument_of_classify(calls, classify, half):
    """servables/tensorflow/classifier.cc: not FAILED_PRECONDITION as Predict has it."""
    assert calls.refusal(classify, half, {"x": 2.0}, signature="nope") == (
        "INVALID_ARGUMENT",
        "No signature was found with the name: nope",
    )


def test_classify_without_a_model_spec_is_refused(calls):
    """servables/tensorflow/classification_service.cc: Classify."""
    from tensorflow_serving.apis import classification_pb2

    request = _fill(classification_pb2.ClassificationRequest(), [{"x": 2.0}])
    refusal = calls.refusal(calls.predictions.Classify, request, timeout=60)
    assert refusal == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_classify_of_an_unknown_model_is_not_found(calls, classify, half):
    """core/basic_manager.cc: GetUntypedServableHandle."""
    assert calls.refusal(classify, "nope", {"x": 2.0}) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(nope)",
    )


def test_classify_works_on_a_tensorflow_2_export(classify, kinds):
    """servables/tensorflow/classifier.cc: only the signature's method name and keys count."""
    reply = classify(kinds, {"x": 2.5}, signature="sorts")
    assert [one.score for one in reply.result.classifications[0].classes] == [2.5]


@pytest.mark.parametrize("signature", ["regress", "regress_flat"])
def test_regress_gives_a_value_for_each_example(regress, half, signature):
    """servables/tensorflow/regressor.cc: outputs may be [batch] or [batch, 1]."""
    reply = regress(half, {"x": 2.0}, {"x": 4.0}, signature=signature, version=1)
    assert [one.value for one in reply.result.regressions] == [3.0, 4.0]


def test_regress_names_what_answered(regress, half):
    """servables/tensorflow/regressor.cc: RunRegress fills the reply's ModelSpec."""
    spec = regress(half, {"x": 2.0}, signature="regress").model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == (half, "regress", 2)


def test_regress_refuses_a_signature_of_another_method(calls, regress, half):
    """servables/tensorflow/regressor.cc: GetRegressionSignatureDef."""
    assert calls.refusal(regress, half, {"x": 2.0}, signature="classify") == (
        "INVALID_ARGUMENT",
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    )


def test_an_unknown_signature_is_an_invalid_argument_of_regress(calls, regress, half):
    """servables/tensorflow/regressor.cc: GetRegressionSignatureDef."""
    assert calls.refusal(regress, half, {"x": 2.0}, signature="nope") == (
        "INVALID_ARGUMENT",
        "No signature was found with the name: nope",
    )


def test_regress_without_examples_is_refused(calls, regress, half):
    """servables/tensorflow/util.cc: InputToSerializedExampleTensor."""
    refusal = calls.refusal(regress, half, signature="regress")
    assert refusal == ("INVALID_ARGUMENT", "Input is empty.")


def test_multi_inference_answers_each_task_in_order(multi, half):
    """apis/inference.proto: 'results ... in the same order as the tasks'; one run for all."""
    results = multi((half, "regress", REGRESS), (half, "classify", CLASSIFY), version=1).results
    assert results[0].regression_result.regressions[0].value == 3.0
    classes = results[1].classification_result.classifications[0].classes
    assert [(one.label, one.score) for one in classes] == [("low", -3.0), ("high", 3.0)]


def test_multi_inference_names_what_answered_each_task(multi, half):
    """servables/tensorflow/multi_inference.cc: MakeModelSpec for each result."""
    results = multi((half, "regress", REGRESS), (half, "classify", CLASSIFY)).results
    specs = [one.model_spec for one in results]
    assert [(s.name, s.signature_name, s.version.value) for s in specs] == [
        (half, "regress", 2),
        (half, "classify", 2),
    ]


def test_multi_inference_without_tasks_has_no_model(calls, multi):
    """servables/tensorflow/multi_inference_helper.cc: the first task's ModelSpec, else none."""
    assert calls.refusal(multi) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")


def test_multi_inference_refuses_a_later_task_without_a_model(calls, multi, half):
    """servables/tensorflow/multi_inference.cc: Infer."""
    assert calls.refusal(multi, (half, "regress", REGRESS), ("", "classify", CLASSIFY)) == (
        "INVALID_ARGUMENT",
        "Found ModelSpec with an empty model name.",
    )


def test_multi_inference_refuses_two_models(calls, multi, half, kinds):
    """servables/tensorflow/multi_inference.cc: Infer."""
    assert calls.refusal(multi, (half, "regress", REGRESS), (kinds, "sorts", CLASSIFY)) == (
        "INVALID_ARGUMENT",
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    )


def test_multi_inference_refuses_a_signature_twice(calls, multi, half):
    """servables/tensorflow/multi_inference.cc: Infer."""
    assert calls.refusal(multi, (half, "regress", REGRESS), (half, "regress", REGRESS)) == (
        "INVALID_ARGUMENT",
        "Duplicate evaluation of signature: regress",
    )


def test_multi_inference_refuses_an_unknown_signature(calls, multi, half):
    """servables/tensorflow/multi_inference.cc: Infer."""
    assert calls.refusal(multi, (half, "nope", REGRESS)) == (
        "INVALID_ARGUMENT",
        "Requested signature not found in model graph: nope",
    )


def test_multi_inference_knows_no_predict(calls, multi, half):
    """servables/tensorflow/multi_inference.cc: Infer."""
    assert calls.refusal(multi, (half, "serving_default", "tensorflow/serving/predict")) == (
        "UNIMPLEMENTED",
        "Unsupported signature method_name: tensorflow/serving/predict",
    )


def test_multi_inference_refuses_a_method_that_the_signature_does_not_have(calls, multi, half):
    """servables/tensorflow/regressor.cc: PreProcessRegression."""
    assert calls.refusal(multi, (half, "classify", REGRESS)) == (
        "INVALID_ARGUMENT",
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    )


def test_multi_inference_wants_one_input_tensor_for_all_signatures(calls, multi, kinds):
    """servables/tensorflow/multi_inference.cc: Infer; each TensorFlow 2 signature has its own."""
    tasks = (kinds, "sorts", CLASSIFY), (kinds, "values", REGRESS)
    assert calls.refusal(multi, *tasks) == (
        "INVALID_ARGUMENT",
        "Input tensor must be the same for all Signatures.",
    )

"""PredictionService.Predict: tensors in and out, which version answers, and refusals."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

X = {"x": [[2.0]]}


def test_an_empty_signature_name_means_serving_default(calls, half):
    """servables/tensorflow/predict_util.cc: kDefaultServingSignatureDefKey, named in the reply."""
    reply = calls.predict(half, X, version=1)
    assert reply.outputs["y"].float_val == [3.0]
    assert reply.model_spec.signature_name == "serving_default"


def test_a_named_signature_answers_and_is_named_in_the_reply(calls, kinds):
    """servables/tensorflow/predict_util.cc: RunPredict fills the reply's ModelSpec."""
    reply = calls.predict(kinds, {"n": np.array([4], np.int64)}, signature="count")
    assert reply.outputs["m"].int64_val == [5]
    assert reply.model_spec.signature_name == "count"


def test_the_reply_names_the_model_and_the_version_that_answered(calls, half):
    """apis/predict.proto: 'Effective Model Specification used to process PredictRequest.'"""
    spec = calls.predict(half, X).model_spec
    assert (spec.name, spec.version.value) == (half, 2)


def test_without_a_version_the_latest_one_answers(calls, half):
    """apis/model.proto: 'If unspecified, will use the latest (numerical) version.'"""
    assert calls.half(half) == (4.0, 2)


def test_a_version_can_be_chosen_by_number(calls, half):
    """apis/model.proto: ModelSpec.version."""
    assert calls.half(half, version=1) == (3.0, 1)


def test_a_version_can_be_chosen_by_label_and_the_reply_has_its_number(calls, half):
    """g3doc/serving_config.md, 'Assigning String Labels to Model Versions'."""
    assert calls.half(half, label="stable") == (3.0, 1)
    assert calls.half(half, label="canary") == (4.0, 2)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("single", np.array([1.5, -2], np.float32), "float_val"),
        ("double", np.array([1e300, 0.1], np.float64), "double_val"),
        ("whole", np.array([-7, 2**31 - 1], np.int32), "int_val"),
        ("long", np.array([-(2**63), 5], np.int64), "int64_val"),
        ("flag", np.array([True, False]), "bool_val"),
        ("text", np.array([b"a", b"bc"]), "string_val"),
    ],
)
def test_replies_are_in_typed_fields(calls, kinds, name, value, field):
    """servables/tensorflow/predict_util.cc: kAsProtoField is what RunPredict uses."""
    inputs = {
        "single": np.zeros(2, np.float32),
        "double": np.zeros(2),
        "whole": np.zeros(2, np.int32),
        "long": np.zeros(2, np.int64),
        "flag": np.array([False, False]),
        "text": np.array([b"", b""]),
    }
    output = calls.predict(kinds, inputs | {name: value}, signature="echo").outputs[name]
    assert list(getattr(output, field)) == value.tolist()
    assert output.tensor_content == b""
    assert [dimension.size for dimension in output.tensor_shape.dim] == [2]


def test_inputs_may_come_as_raw_tensor_content(calls, kinds):
    """tensorflow/core/framework/tensor.proto: tensor_content, for any type but strings."""
    tensor = calls.tensor(np.array([1, 2, 3], np.float32))
    assert tensor.tensor_content
    assert calls.predict(kinds, {"x": tensor}).outputs["y"].float_val == [1.0, 2.0, 3.0]


def test_one_typed_value_fills_the_whole_shape(calls, kinds):
    """tensorflow/core/framework/tensor.cc: FromProtoField repeats the last value given."""
    tensor = calls.tensor([7.0])
    tensor.tensor_shape.dim[0].size = 3
    assert calls.predict(kinds, {"x": tensor}).outputs["y"].float_val == [7.0, 7.0, 7.0]


def test_strings_are_bytes_and_pass_unchanged(calls, kinds):
    """tensorflow/core/framework/tensor.proto: string_val is bytes, not text."""
    raw = [b"\x00\xff\xfe", "žluť".encode(), b""]
    reply = calls.predict(kinds, {"image_bytes": raw}, signature="picture")
    assert list(reply.outputs["picture_bytes"].string_val) == raw
    assert list(reply.outputs["length"].int_val) == [3, 6, 0]


def test_an_empty_batch_is_answered_with_an_empty_batch(calls, kinds):
    """tensorflow/core/framework/tensor.cc: a shape with a zero dimension is a valid tensor."""
    output = calls.predict(kinds, {"x": np.zeros([0], np.float32)}).outputs["y"]
    assert [dimension.size for dimension in output.tensor_shape.dim] == [0]
    assert list(output.float_val) == []


def test_a_scalar_output_has_an_empty_shape(calls, kinds):
    """servables/tensorflow/predict_util.cc: outputs are returned in the shape they have."""
    output = calls.predict(kinds, {"x": [1.0, 2.5]}, signature="total").outputs["total"]
    assert list(output.tensor_shape.dim) == []
    assert output.float_val == [3.5]


def test_all_outputs_come_where_no_filter_is_given(calls, kinds):
    """apis/predict.proto: output_filter, 'when none is specified, all tensors ... returned'."""
    reply = calls.predict(kinds, {"image_bytes": [b"ab"]}, signature="picture")
    assert sorted(reply.outputs) == ["length", "picture_bytes"]


def test_the_output_filter_picks_outputs(calls, kinds):
    """apis/predict.proto: output_filter."""
    inputs = {"image_bytes": [b"ab"]}
    reply = calls.predict(kinds, inputs, only=["length"], signature="picture")
    assert list(reply.outputs) == ["length"]


def test_an_unknown_output_is_refused_with_the_known_ones(calls, kinds):
    """servables/tensorflow/predict_util.cc: PreProcessPrediction."""
    inputs = {"image_bytes": [b"ab"]}
    code, text = calls.refusal(calls.predict, kinds, inputs, only=["nope"], signature="picture")
    assert code == "INVALID_ARGUMENT"
    assert text == (
        "output tensor alias not found in signature: nope "
        "Outputs expected to be in the set {length,picture_bytes}."
    )


def test_an_output_asked_for_twice_is_refused(calls, half):
    """servables/tensorflow/predict_util.cc: PreProcessPrediction."""
    code, text = calls.refusal(calls.predict, half, X, only=["y", "y"])
    assert (code, text) == ("INVALID_ARGUMENT", "duplicate output tensor alias: y")


def test_missing_inputs_are_named(calls, half):
    """servables/tensorflow/predict_util.cc: VerifyRequestInputsSize."""
    code, text = calls.refusal(calls.predict, half, {})
    assert code == "INVALID_ARGUMENT"
    assert text == (
        "input size does not match signature: 0!=1 len({}) != len({x}). "
        "Sent extra: {}. Missing but required: {x}."
    )


def test_extra_inputs_are_named(calls, half):
    """servables/tensorflow/predict_util.cc: VerifyRequestInputsSize."""
    code, text = calls.refusal(calls.predict, half, {**X, "more": [1.0]})
    assert code == "INVALID_ARGUMENT"
    assert text == (
        "input size does not match signature: 2!=1 len({more,x}) != len({x}). "
        "Sent extra: {more}. Missing but required: {}."
    )


def test_an_input_of_another_name_is_refused(calls, half):
    """tensorflow/cc/saved_model/util.cc: GetInputValues, as many inputs but not the right ones."""
    code, text = calls.refusal(calls.predict, half, {"z": [[2.0]]})
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("Signature input alias: x(feed name: x:0) not found in request and no ")
    assert "Inputs expected to be in the request {z}" in text


def test_a_wrongly_typed_input_is_refused_with_both_types(calls, half):
    """tensorflow/core/framework/function.cc: FunctionCallFrame::SetArgs, by Session::Run."""
    code, text = calls.refusal(calls.predict, half, {"x": [["two"]]})
    assert code == "INVALID_ARGUMENT"
    # On purpose the embedded server says the input's name after that.
    assert text.startswith("Expects arg[0] to be float but string is provided")


def test_a_tensor_whose_content_does_not_fit_its_shape_is_refused(calls, kinds):
    """tensorflow/cc/saved_model/util.cc: GetInputValues, where Tensor::FromProto fails."""
    tensor = calls.tensor(np.array([1, 2, 3], np.float32))
    tensor.tensor_content = tensor.tensor_content[:-1]
    code, text = calls.refusal(calls.predict, kinds, {"x": tensor})
    assert (code, text) == ("INVALID_ARGUMENT", "tensor parsing error: x")


def test_a_tensor_with_a_negative_dimension_is_refused(calls, kinds):
    """tensorflow/cc/saved_model/util.cc: GetInputValues, where Tensor::FromProto fails."""
    tensor = calls.tensor([1.0])
    tensor.tensor_shape.dim[0].size = -1
    code, text = calls.refusal(calls.predict, kinds, {"x": tensor})
    assert (code, text) == ("INVALID_ARGUMENT", "tensor parsing error: x")


def test_a_shape_that_the_graph_cannot_use_is_the_callers_mistake(calls, kinds):
    """servables/tensorflow/predict_util.cc: the status of Session::Run is returned."""
    three_columns = {"x": np.ones([1, 3], np.float32)}
    code, _ = calls.refusal(calls.predict, kinds, three_columns, signature="product")
    assert code == "INVALID_ARGUMENT"


def test_an_assertion_in_the_graph_comes_back_with_its_words(calls, kinds):
    """servables/tensorflow/predict_util.cc: the status of Session::Run is returned."""
    zero = {"n": np.zeros(1, np.int32)}
    code, text = calls.refusal(calls.predict, kinds, zero, signature="positive")
    assert code == "INVALID_ARGUMENT"
    assert "n must be positive. Received:" in text


def test_long_error_texts_are_cut(calls, kinds):
    """model_servers/grpc_status_util.cc: kErrorMessageLimit is 1024."""
    zero = {"n": np.zeros(1, np.int32)}
    code, text = calls.refusal(calls.predict, kinds, zero, signature="verbose")
    assert code == "INVALID_ARGUMENT"
    assert len(text) == 1024 + len("...TRUNCATED")
    assert text.endswith("...TRUNCATED")


def test_an_unknown_signature_is_a_failed_precondition(calls, half):
    """servables/tensorflow/predict_util.cc: RunPredict."""
    code, text = calls.refusal(calls.predict, half, X, signature="nope")
    assert (code, text) == ("FAILED_PRECONDITION", 'Serving signature key "nope" not found.')


def test_a_request_without_a_model_spec_is_refused(calls):
    """servables/tensorflow/predict_impl.cc: Predict."""
    from tensorflow_serving.apis import predict_pb2

    nothing = predict_pb2.PredictRequest()
    code, text = calls.refusal(calls.predictions.Predict, nothing, timeout=60)
    assert (code, text) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_a_model_spec_without_a_name_is_refused(calls, half):
    """model_servers/server_core.cc: ServableRequestFromModelSpec."""
    code, text = calls.refusal(calls.predict, "", X, signature="serving_default")
    assert (code, text) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")


def test_an_unknown_model_is_not_found(calls, half):
    """core/basic_manager.cc: GetUntypedServableHandle; core/manager.h: DebugString."""
    code, text = calls.refusal(calls.predict, "nope", X)
    assert (code, text) == ("NOT_FOUND", "Servable not found for request: Latest(nope)")


def test_an_unknown_version_is_not_found(calls, half):
    """core/basic_manager.cc: GetUntypedServableHandle; core/manager.h: DebugString."""
    code, text = calls.refusal(calls.predict, half, X, version=99)
    assert (code, text) == ("NOT_FOUND", f"Servable not found for request: Specific({half}, 99)")


def test_version_zero_is_a_version_and_not_the_latest(calls, half):
    """apis/model.proto: version is an Int64Value, so that 0 differs from nothing."""
    code, text = calls.refusal(calls.predict, half, X, version=0)
    assert (code, text) == ("NOT_FOUND", f"Servable not found for request: Specific({half}, 0)")


def test_an_unknown_label_is_an_invalid_argument(calls, half):
    """model_servers/server_core.cc: GetModelVersionForLabel."""
    code, text = calls.refusal(calls.predict, half, X, label="nope")
    assert (code, text) == ("INVALID_ARGUMENT", "Unrecognized servable version label: nope")


def test_a_classify_signature_answers_predict_too(calls, half):
    """servables/tensorflow/predict_util.cc: VerifySignature takes all three method names."""
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example()
    example.features.feature["x"].float_list.value.append(2.0)
    inputs = {"inputs": [example.SerializeToString()]}
    reply = calls.predict(half, inputs, signature="classify", version=1)
    assert list(reply.outputs["classes"].string_val) == [b"low", b"high"]


def test_messages_far_over_grpcs_default_limit_pass(calls, kinds):
    """model_servers/server.cc: SetMaxMessageSize(tensorflow::kint32max)."""
    large = np.arange(3_000_000, dtype=np.float32)
    output = calls.predict(kinds, {"x": large}).outputs["y"]
    assert len(output.float_val) == large.size
    assert output.float_val[-1] == large[-1]


def test_a_body_that_is_no_message_does_not_end_the_connection(calls, half):
    """grpc: a request that cannot be parsed is INTERNAL; the next one is answered."""
    method = "/tensorflow.serving.PredictionService/Predict"
    garbage = calls.channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as caught:
        garbage(b"\xff" * 64, timeout=60)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert calls.half(half, version=1) == (3.0, 1)


def test_an_unknown_method_is_unimplemented(calls):
    """grpc: a method that the service does not have is UNIMPLEMENTED."""
    method = calls.channel.unary_unary("/tensorflow.serving.PredictionService/Nope")
    with pytest.raises(grpc.RpcError) as caught:
        method(b"", timeout=60)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED

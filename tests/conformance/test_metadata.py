"""PredictionService.GetModelMetadata and ModelService.GetModelStatus."""

from __future__ import annotations

from typing import Any


def _signatures(reply: Any) -> Any:
    from tensorflow_serving.apis import get_model_metadata_pb2

    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(signatures)
    return signatures.signature_def


def test_metadata_is_a_signature_def_map_packed_in_any(calls, half):
    """apis/get_model_metadata.proto; servables/tensorflow/get_model_metadata_impl.cc."""
    reply = calls.metadata(half)
    assert list(reply.metadata) == ["signature_def"]
    type_url = reply.metadata["signature_def"].type_url
    assert type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"


def test_metadata_has_every_signature_with_its_method(calls, half):
    """servables/tensorflow/get_model_metadata_impl.cc: SavedModelGetSignatureDef."""
    methods = {name: one.method_name for name, one in _signatures(calls.metadata(half)).items()}
    assert methods == {
        "serving_default": "tensorflow/serving/predict",
        "classify": "tensorflow/serving/classify",
        "scores_only": "tensorflow/serving/classify",
        "regress": "tensorflow/serving/regress",
        "regress_flat": "tensorflow/serving/regress",
    }


def test_metadata_has_the_tensors_of_the_saved_model(calls, half):
    """servables/tensorflow/get_model_metadata_impl.cc: the SignatureDefs as they were saved."""
    from tensorflow.core.framework import types_pb2

    x = _signatures(calls.metadata(half))["serving_default"].inputs["x"]
    assert (x.name, x.dtype) == ("x:0", types_pb2.DT_FLOAT)
    assert [dimension.size for dimension in x.tensor_shape.dim] == [-1, 1]


def test_metadata_of_a_tensorflow_2_export_has_its_initialization_too(calls, kinds):
    """servables/tensorflow/get_model_metadata_impl.cc: all of the MetaGraphDef, nothing hidden."""
    assert "__saved_model_init_op" in _signatures(calls.metadata(kinds))


def test_metadata_names_the_version_described(calls, half):
    """servables/tensorflow/get_model_metadata_impl.cc: name and version, no signature."""
    spec = calls.metadata(half).model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (half, 2, "")
    assert calls.metadata(half, version=1).model_spec.version.value == 1
    assert calls.metadata(half, label="stable").model_spec.version.value == 1


def test_metadata_needs_a_field(calls, half):
    """servables/tensorflow/get_model_metadata_impl.cc: ValidateGetModelMetadataRequest."""
    assert calls.refusal(calls.metadata, half, []) == (
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    )


def test_metadata_knows_only_signatures(calls, half):
    """servables/tensorflow/get_model_metadata_impl.cc: ValidateGetModelMetadataRequest."""
    code, text = calls.refusal(calls.metadata, half, ["signature_def", "weights"])
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("Metadata field ")
    assert "weights" in text
    assert "is not supported" in text


def test_metadata_needs_a_model_spec(calls):
    """servables/tensorflow/get_model_metadata_impl.cc: GetModelMetadata."""
    from tensorflow_serving.apis import get_model_metadata_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    refusal = calls.refusal(calls.predictions.GetModelMetadata, request, timeout=60)
    assert refusal == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_metadata_of_an_unknown_model_is_not_found(calls, half):
    """core/basic_manager.cc: GetUntypedServableHandle."""
    refusal = calls.refusal(calls.metadata, "nope")
    assert refusal == ("NOT_FOUND", "Servable not found for request: Latest(nope)")


def test_status_lists_all_versions_newest_first(calls, half):
    """core/servable_state_monitor.h: VersionMap is ordered by std::greater."""
    statuses = calls.status(half).model_version_status
    assert [one.version for one in statuses] == [2, 1]


def test_status_of_a_loaded_version_is_available_and_ok(calls, half):
    """apis/get_model_status.proto: state, and the error status of the state."""
    from tensorflow_serving.apis import get_model_status_pb2

    status = calls.status(half, version=1).model_version_status[0]
    assert status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (status.status.error_code, status.status.error_message) == (0, "")


def test_status_of_one_version_lists_only_it(calls, half):
    """apis/model_service.proto: GetModelStatus with a version."""
    statuses = calls.status(half, version=1).model_version_status
    assert [one.version for one in statuses] == [1]


def test_status_of_an_unknown_model_is_not_found(calls, half):
    """model_servers/get_model_status_impl.cc: its own words, not those of Predict."""
    refusal = calls.refusal(calls.status, "nope")
    assert refusal == ("NOT_FOUND", "Could not find any versions of model nope")


def test_status_of_an_unknown_version_is_not_found(calls, half):
    """model_servers/get_model_status_impl.cc: GetModelStatusWithModelSpec."""
    refusal = calls.refusal(calls.status, half, version=99)
    assert refusal == ("NOT_FOUND", f"Could not find version 99 of model {half}")


def test_status_needs_a_model_spec(calls):
    """model_servers/get_model_status_impl.cc: GetModelStatus."""
    from tensorflow_serving.apis import get_model_status_pb2

    request = get_model_status_pb2.GetModelStatusRequest()
    refusal = calls.refusal(calls.models.GetModelStatus, request, timeout=60)
    assert refusal == ("INVALID_ARGUMENT", "Missing ModelSpec")

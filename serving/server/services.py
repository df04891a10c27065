"""The gRPC services: TensorFlow Serving's PredictionService and ModelService."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, NoReturn

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.server.errors import StatusError, invalid_argument
from serving.server.models import ModelManager

logger = logging.getLogger(__name__)

_SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict and GetModelMetadata; the Example-based calls are not offered here."""

    def __init__(self, models: ModelManager) -> None:
        self._models = models

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _statuses(context):
            with self._models.use(*_asked(request)) as (version, model):
                signature, outputs = model.predict(request)
            response = predict_pb2.PredictResponse(outputs=outputs)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
            response.model_spec.signature_name = signature
            return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _statuses(context):
            asked = _asked(request)
            if not request.metadata_field:
                raise invalid_argument(
                    "GetModelMetadataRequest must specify at least one metadata_field"
                )
            for field in request.metadata_field:
                if field != _SIGNATURE_DEF:
                    raise invalid_argument(f"Metadata field {field} is not supported")
            with self._models.use(*asked) as (version, model):
                definitions = model.signature_defs
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
            packed = get_model_metadata_pb2.SignatureDefMap(signature_def=definitions)
            response.metadata[_SIGNATURE_DEF].Pack(packed)
            return response

    def Classify(self, request: Any, context: grpc.ServicerContext) -> NoReturn:  # noqa: N802
        _unimplemented(context, "Classify")

    def Regress(self, request: Any, context: grpc.ServicerContext) -> NoReturn:  # noqa: N802
        _unimplemented(context, "Regress")

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> NoReturn:  # noqa: N802
        _unimplemented(context, "MultiInference")


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus."""

    def __init__(self, models: ModelManager) -> None:
        self._models = models

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with _statuses(context):
            name, version, _ = _asked(request)
            response = get_model_status_pb2.GetModelStatusResponse()
            for entry in self._models.states(name, version):
                status = response.model_version_status.add(version=entry.number, state=entry.state)
                status.status.SetInParent()
                if entry.error is not None:
                    status.status.error_code = entry.error.code.value[0]
                    status.status.error_message = entry.error.message
            return response

    def HandleReloadConfigRequest(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> NoReturn:
        _unimplemented(context, "HandleReloadConfigRequest")


def add_services(server: grpc.Server, models: ModelManager) -> None:
    """Lets a gRPC server, not started yet, answer with `models`."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)


def _asked(request: Any) -> tuple[str, int | None, str]:
    """Name, version and label of a request's model."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label


@contextlib.contextmanager
def _statuses(context: grpc.ServicerContext) -> Iterator[None]:
    """Ends a call with a clean status; a defect of ours is logged here and kept from callers."""
    try:
        yield
    except StatusError as error:
        context.abort(error.code, error.message)
    except Exception:
        logger.exception("a request failed")
        context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")


def _unimplemented(context: grpc.ServicerContext, call: str) -> NoReturn:
    context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{call} is not offered by the embedded server; use Predict",
    )

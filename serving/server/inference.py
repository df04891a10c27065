"""The prediction calls over messages alone: what gRPC and REST both answer with."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server.errors import (
    StatusError,
    deadline_exceeded,
    invalid_argument,
    unexpected,
)
from serving.server.predict import DEFAULT_SIGNATURE

if TYPE_CHECKING:
    from serving.server.batching import Batcher
    from serving.server.predict import LoadedModel

_SIGNATURE_DEF = "signature_def"

Response = TypeVar("Response")


class Models(Protocol):
    """Where the versions come from; `ModelManager` is one."""

    def use(
        self, name: str, version: int | None = None, label: str = ""
    ) -> AbstractContextManager[tuple[int, LoadedModel]]:
        """Holds a version for one request; raises StatusError."""


class RequestMetrics(Protocol):
    """What is told about every call; `ServerMetrics` is one."""

    def request(self, method: str, model: str, signature: str, code: str, seconds: float) -> None:
        """A call has ended: its gRPC code by name and how long it took."""


@dataclasses.dataclass(slots=True)
class _Call:
    """One call under way.

    Attributes:
        deadline: monotonic time after which the caller no longer waits.
        model: the model that answers, once it is found. Names that callers make up never become
            labels of metrics: each would cost memory for good.
        signature: likewise.
    """

    deadline: float | None
    model: str = ""
    signature: str = ""

    def found(self, spec: Any, model: LoadedModel) -> None:
        self.model = spec.name
        name = spec.signature_name or DEFAULT_SIGNATURE
        self.signature = name if name in model.signature_defs else ""


class Inference:
    """PredictionService's calls over messages. Every refusal is a StatusError."""

    def __init__(
        self,
        models: Models,
        *,
        metrics: RequestMetrics | None = None,
        batcher: Batcher | None = None,
    ) -> None:
        """Needs no start and no stop.

        Args:
            models: whose versions answer.
            metrics: is told of every call.
            batcher: joins Predict calls into batches, for the signatures that allow it.
        """
        self._models = models
        self._metrics = metrics
        self._batcher = batcher

    def predict(self, request: Any, deadline: float | None = None) -> Any:
        """Answers a PredictRequest with a PredictResponse.

        Args:
            request: a PredictRequest.
            deadline: monotonic time after which the caller no longer waits.

        Raises:
            StatusError: the request does not fit, or the model refused it.
        """
        return self._observed("Predict", request, deadline, self._predict)

    def classify(self, request: Any, deadline: float | None = None) -> Any:
        """Answers a ClassificationRequest with a ClassificationResponse; raises StatusError."""
        return self._observed("Classify", request, deadline, self._classify)

    def regress(self, request: Any, deadline: float | None = None) -> Any:
        """Answers a RegressionRequest with a RegressionResponse; raises StatusError."""
        return self._observed("Regress", request, deadline, self._regress)

    def multi_inference(self, request: Any, deadline: float | None = None) -> Any:
        """Answers a MultiInferenceRequest with a MultiInferenceResponse; raises StatusError.

        The version that the first task asks for answers all of them, as in TensorFlow Serving.
        """
        return self._observed("MultiInference", request, deadline, self._multi_inference)

    def metadata(self, request: Any, deadline: float | None = None) -> Any:
        """Answers a GetModelMetadataRequest: the SignatureDefMap packed in an Any.

        Raises:
            StatusError: no such model, or another field is asked for.
        """
        return self._observed("GetModelMetadata", request, deadline, self._get_metadata)

    def _observed(
        self,
        method: str,
        request: Any,
        deadline: float | None,
        answer: Callable[[Any, _Call], Response],
    ) -> Response:
        """Runs a call, tells the metrics, and turns a defect of ours into INTERNAL."""
        started = time.monotonic()
        call, code = _Call(deadline), "OK"
        try:
            if deadline is not None and started >= deadline:
                raise deadline_exceeded()
            return answer(request, call)
        except StatusError as error:
            code = error.code.name
            raise
        except Exception as error:
            failure = unexpected(error)
            code = failure.code.name
            raise failure from error
        finally:
            if self._metrics is not None:
                seconds = time.monotonic() - started
                self._metrics.request(method, call.model, call.signature, code, seconds)

    def _predict(self, request: Any, call: _Call) -> Any:
        spec = request.model_spec
        with self._models.use(*asked(request)) as (version, model):
            call.found(spec, model)
            signature, outputs = model.predict(request, self._batcher, call.deadline)
        response = predict_pb2.PredictResponse(outputs=outputs)
        _fill(response.model_spec, spec.name, version, signature)
        return response

    def _classify(self, request: Any, call: _Call) -> Any:
        spec = request.model_spec
        with self._models.use(*asked(request)) as (version, model):
            call.found(spec, model)
            signature, result = model.classify(request)
        response = classification_pb2.ClassificationResponse(result=result)
        _fill(response.model_spec, spec.name, version, signature)
        return response

    def _regress(self, request: Any, call: _Call) -> Any:
        spec = request.model_spec
        with self._models.use(*asked(request)) as (version, model):
            call.found(spec, model)
            signature, result = model.regress(request)
        response = regression_pb2.RegressionResponse(result=result)
        _fill(response.model_spec, spec.name, version, signature)
        return response

    def _multi_inference(self, request: Any, call: _Call) -> Any:
        tasks = request.tasks
        spec = tasks[0].model_spec if tasks else inference_pb2.InferenceTask().model_spec
        with self._models.use(*_asked_by(spec)) as (version, model):
            call.found(spec, model)
            answers = model.multi_inference(request)
        response = inference_pb2.MultiInferenceResponse()
        for task, (signature, result) in zip(tasks, answers, strict=True):
            entry = response.results.add()
            if isinstance(result, classification_pb2.ClassificationResult):
                entry.classification_result.CopyFrom(result)
            else:
                entry.regression_result.CopyFrom(result)
            _fill(entry.model_spec, task.model_spec.name, version, signature)
        return response

    def _get_metadata(self, request: Any, call: _Call) -> Any:
        spec = asked(request)
        if not request.metadata_field:
            raise invalid_argument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        with self._models.use(*spec) as (version, model):
            call.model = request.model_spec.name
            definitions = model.signature_defs
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        packed = get_model_metadata_pb2.SignatureDefMap(signature_def=definitions)
        response.metadata[_SIGNATURE_DEF].Pack(packed)
        return response


def asked(request: Any) -> tuple[str, int | None, str]:
    """Name, version and label of the model that a request asks for.

    Raises:
        StatusError: it has no model spec.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return _asked_by(request.model_spec)


def _asked_by(spec: Any) -> tuple[str, int | None, str]:
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label


def _fill(spec: Any, name: str, version: int, signature: str) -> None:
    spec.name = name
    spec.version.value = version
    spec.signature_name = signature

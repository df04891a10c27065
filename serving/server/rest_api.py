"""TensorFlow Serving's REST API over messages: a method, a path and a body to a code and JSON."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import time
import urllib.parse
from typing import Any, Protocol

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server import json_tensor, json_tensor_write
from serving.server.errors import StatusError, invalid_argument, unexpected
from serving.server.inference import Inference
from serving.server.json_tensor_examples import fill_examples
from serving.server.json_tensor_parse import parse
from serving.server.metrics import ServerMetrics
from serving.server.predict import DEFAULT_SIGNATURE

API_PATH = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(rf"{_MODEL}:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?",
    re.IGNORECASE | re.ASCII,
)
_SIGNATURE_DEF = "signature_def"
_LARGEST_VERSION = 2**63 - 1
_METHODS = {"classify": "Classify", "regress": "Regress", "predict": "Predict"}
_CODES = grpc.StatusCode
_HTTP = {
    _CODES.OK: 200,
    _CODES.CANCELLED: 499,
    _CODES.UNKNOWN: 500,
    _CODES.INVALID_ARGUMENT: 400,
    _CODES.DEADLINE_EXCEEDED: 504,
    _CODES.NOT_FOUND: 404,
    _CODES.ALREADY_EXISTS: 409,
    _CODES.PERMISSION_DENIED: 403,
    _CODES.RESOURCE_EXHAUSTED: 429,
    _CODES.FAILED_PRECONDITION: 400,
    _CODES.ABORTED: 409,
    _CODES.OUT_OF_RANGE: 400,
    _CODES.UNIMPLEMENTED: 501,
    _CODES.INTERNAL: 500,
    _CODES.UNAVAILABLE: 503,
    _CODES.DATA_LOSS: 500,
    _CODES.UNAUTHENTICATED: 401,
}


class StatusCalls(Protocol):
    """Who knows the state of models; `ModelCalls` is one."""

    def status(self, request: Any) -> Any:
        """Answers a GetModelStatusRequest; raises StatusError."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What goes back to the caller.

    Attributes:
        code: the HTTP status.
        body: JSON.
    """

    code: int
    body: bytes


@dataclasses.dataclass(frozen=True)
class _Target:
    """What a path names."""

    spec: Any
    method: str


def refusal(error: StatusError, code: int | None = None) -> Answer:
    """The answer to a request that is refused, by default with the code of its status."""
    body = json_tensor_write.error(error.message).encode("utf-8", "replace")
    return Answer(_HTTP[error.code] if code is None else code, body)


class RestApi:
    """Answers requests; any thread may ask."""

    def __init__(
        self,
        inference: Inference,
        calls: StatusCalls,
        metrics: ServerMetrics,
    ) -> None:
        """Needs no start and no stop.

        Args:
            inference: answers predictions.
            calls: answers questions about the state of models.
            metrics: is told of every prediction, those with wrong JSON among them.
        """
        self._inference = inference
        self._calls = calls
        self._metrics = metrics

    def answer(self, method: str, path: str, body: bytes, deadline: float | None = None) -> Answer:
        """Answers one request.

        Args:
            method: the HTTP method.
            path: the path as it was sent, percent-encoded, without the query.
            body: the whole body.
            deadline: monotonic time after which the caller no longer waits.
        """
        started = time.monotonic()
        target, code = None, grpc.StatusCode.OK
        try:
            target = _target(method, path)
            with self._metrics.counted_by_caller():
                text = self._answer(target, body, deadline)
            if deadline is not None and time.monotonic() >= deadline:
                raise timed_out()
            return Answer(200, text.encode("utf-8", "replace"))
        except StatusError as error:
            code = error.code
            return refusal(error)
        except RecursionError:
            code = grpc.StatusCode.INVALID_ARGUMENT
            return refusal(invalid_argument("JSON Parse error: The document is nested too deeply."))
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            return refusal(unexpected(error))
        finally:
            if target is not None and target.method in _METHODS:
                api, name = _METHODS[target.method], target.spec.name
                seconds = time.monotonic() - started
                self._metrics.request(api, name, "", code.name, seconds, "REST")

    def _answer(self, target: _Target, body: bytes, deadline: float | None) -> str:
        if target.method == "predict":
            return self._predict(target.spec, body, deadline)
        if target.method == "classify":
            return self._classify(target.spec, body, deadline)
        if target.method == "regress":
            return self._regress(target.spec, body, deadline)
        if not target.spec.name:
            raise invalid_argument("Missing model name in request.")
        if target.method == "metadata":
            return self._metadata(target.spec)
        return self._status(target.spec)

    def _predict(self, spec: Any, body: bytes, deadline: float | None) -> str:
        request = predict_pb2.PredictRequest(model_spec=spec)
        document = parse(body)
        json_tensor.fill_signature(document, request.model_spec)
        inputs = self._inputs(request.model_spec)
        form = json_tensor.fill_predict(document, request, inputs)
        outputs = self._inference.predict(request, deadline).outputs
        if form == json_tensor.ROW:
            return json_tensor_write.predictions(outputs)
        return json_tensor_write.columns(outputs)

    def _classify(self, spec: Any, body: bytes, deadline: float | None) -> str:
        request = classification_pb2.ClassificationRequest(model_spec=spec)
        count = _fill(request, body)
        response = self._inference.classify(request, deadline)
        self._metrics.examples(spec.name, count)
        return json_tensor_write.classifications(response.result)

    def _regress(self, spec: Any, body: bytes, deadline: float | None) -> str:
        request = regression_pb2.RegressionRequest(model_spec=spec)
        count = _fill(request, body)
        response = self._inference.regress(request, deadline)
        self._metrics.examples(spec.name, count)
        return json_tensor_write.regressions(response.result)

    def _status(self, spec: Any) -> str:
        # A label counts for nothing here, as in gRPC's GetModelStatus.
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        return _json(self._calls.status(request))

    def _metadata(self, spec: Any) -> str:
        response = self._described(spec)
        return (
            f'{{\n"model_spec":{_json(response.model_spec)},\n'
            f'"metadata": {{"signature_def": {_json(_definitions(_packed(response)))}}}\n}}\n'
        )

    def _inputs(self, spec: Any) -> Any:
        """TensorInfo of every input of a signature, by name."""
        name = spec.signature_name or DEFAULT_SIGNATURE
        definitions = _definitions(_packed(self._described(spec))).signature_def
        if name not in definitions:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        return definitions[name].inputs

    def _described(self, spec: Any) -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=[_SIGNATURE_DEF]
        )
        return self._inference.metadata(request)


def _packed(response: Any) -> bytes:
    return bytes(response.metadata[_SIGNATURE_DEF].value)


@functools.lru_cache(maxsize=16)
def _definitions(packed: bytes) -> Any:
    """The SignatureDefMap of a model, which nobody may change."""
    return get_model_metadata_pb2.SignatureDefMap.FromString(packed)


def timed_out() -> StatusError:
    """The answer takes longer than a request may take."""
    return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification")


def malformed(method: str, path: str) -> StatusError:
    """What TensorFlow Serving says to a path that is none of its own."""
    return invalid_argument(f"Malformed request: {method} {path}")


def _target(method: str, path: str) -> _Target:
    """Reads a path.

    Raises:
        StatusError: it is none of the API's, or its version is too large.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(path) if pattern is not None else None
    # Paths may be in capitals, the names of calls may not.
    if match is None or (method == "POST" and match[4] not in _METHODS):
        raise malformed(method, path)
    name, version, label, action = match.groups()
    # Names are keys of a dictionary, never of the file system: ".." is a name like any other.
    spec = model_pb2.ModelSpec(name=_decoded(name or ""))
    if version is not None:
        if len(version) > 19 or int(version) > _LARGEST_VERSION:
            raise invalid_argument(f"Failed to convert version: {version[:100]} to numeric.")
        spec.version.value = int(version)
    if label is not None:
        spec.version_label = _decoded(label)
    return _Target(spec, action if action in (*_METHODS, "metadata") else "status")


def _decoded(text: str) -> str:
    return urllib.parse.unquote(text, errors="replace")


def _fill(request: Any, body: bytes) -> int:
    document = parse(body)
    json_tensor.fill_signature(document, request.model_spec)
    return fill_examples(document, request.input)


def _json(message: Any) -> str:
    """A message as protobuf's own JSON, as TensorFlow Serving prints it."""
    fields = json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    return json.dumps(fields, indent=1, ensure_ascii=False)

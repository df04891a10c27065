"""One client of the soak: an endless mix of calls, each with the answer that it must get."""

from __future__ import annotations

import collections
import http.client
import json
import random
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

import grpc

from benchmarks import soak_server

FAILED = "failed"
_TIMEOUT = 60.0
_SERVICE = "/tensorflow.serving.PredictionService/"
_REST = f"/v1/models/{soak_server.MODEL}"


class Tally:
    """What was called how often, counted by several threads."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """One more of these."""
        with self._lock:
            self._counts[name] += 1

    def failed(self, name: str, error: Exception) -> None:
        """One that was not answered as it should be; says so, and the load goes on."""
        print(f"failed: {name}: {error}"[:300], flush=True)
        self.add(FAILED)

    def items(self) -> list[tuple[str, int]]:
        """Names and counts, without the failures."""
        return sorted((name, count) for name, count in self._counts.items() if name != FAILED)

    @property
    def failures(self) -> int:
        """How many were not answered as they should be."""
        return self._counts[FAILED]


class Client:
    """Calls without a pause until it is told to stop; counts what it called, and what failed."""

    def __init__(
        self,
        server: soak_server.Server,
        seed: int,
        tally: Tally,
        done: threading.Event,
    ) -> None:
        self._random = random.Random(seed)
        self._tally, self._done = tally, done
        host = urllib.parse.urlsplit(server.rest)
        self._http = http.client.HTTPConnection(host.hostname or "", host.port, timeout=_TIMEOUT)
        self._channel = grpc.insecure_channel(server.address)

    def run(self) -> None:
        """Calls until `done`."""
        kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "Predict over gRPC": (10, self._predict),
            "predict over REST": (6, self._rest_predict),
            "metadata and status": (2, self._metadata),
            "refused over gRPC": (3, self._refused),
            "refused over REST": (3, self._rest_refused),
            "Prometheus page": (1, self._page),
        }
        weights = [weight for weight, _ in kinds.values()]
        with self._channel:
            while not self._done.is_set():
                (name,) = self._random.choices(list(kinds), weights)
                self._count(name, kinds[name][1])
        self._http.close()

    def _count(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
            self._tally.add(name)
        except Exception as error:
            self._http.close()
            self._tally.failed(name, error)

    def _inputs(self) -> dict[str, list[Any]]:
        rows = self._random.choice([1, 1, 1, 2, 5])
        words = [
            f"prompt {self._random.random()} " * self._random.randint(0, 5) for _ in range(rows)
        ]
        tokens = self._random.randint(1, 24)
        return {
            "prompt": words,
            "max_new_tokens": [tokens] * rows,
            "seed": [self._random.getrandbits(40)] * rows,
        }

    def _request(self, inputs: dict[str, list[Any]], name: str = soak_server.MODEL) -> Any:
        from tensorflow.core.framework import types_pb2
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        if self._random.random() < 0.3:
            request.model_spec.version_label = "stable"
        fields = {
            "prompt": (types_pb2.DT_STRING, "string_val"),
            "max_new_tokens": (types_pb2.DT_INT32, "int_val"),
            "seed": (types_pb2.DT_INT64, "int64_val"),
        }
        for key, values in inputs.items():
            dtype, field = fields[key]
            tensor = request.inputs[key]
            tensor.dtype = dtype
            tensor.tensor_shape.dim.add(size=len(values))
            bytes_or_numbers = [v.encode() if isinstance(v, str) else v for v in values]
            getattr(tensor, field).extend(bytes_or_numbers)
        return request

    def _call(self, method: str, request: bytes) -> bytes:
        call = self._channel.unary_unary(
            _SERVICE + method, request_serializer=bytes, response_deserializer=bytes
        )
        return bytes(call(request, timeout=_TIMEOUT))

    def _predict(self) -> None:
        from tensorflow_serving.apis import predict_pb2

        inputs = self._inputs()
        request = self._request(inputs)
        reply = predict_pb2.PredictResponse.FromString(
            self._call("Predict", request.SerializeToString())
        )
        lengths = [len(text) for text in reply.outputs["text"].string_val]
        _expect(lengths, inputs["max_new_tokens"])

    def _refused(self) -> None:
        inputs = self._inputs()
        name = f"nope-{self._random.getrandbits(60)}"
        requests = {
            "NOT_FOUND": self._request(inputs, name).SerializeToString(),
            "INVALID_ARGUMENT": self._request({"prompt": ["a"]}).SerializeToString(),
            "INTERNAL": b"\xff" * 32,
        }
        code = self._random.choice(list(requests))
        try:
            self._call("Predict", requests[code])
        except grpc.RpcError as error:
            # An unknown model with a label is an unknown label.
            codes = {code, "INVALID_ARGUMENT"} if code == "NOT_FOUND" else {code}
            if error.code().name not in codes:
                raise
        else:
            raise AssertionError(f"expected {code}. Received: an answer")

    def _metadata(self) -> None:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = soak_server.MODEL
        self._call("GetModelMetadata", request.SerializeToString())
        self._get(f"{_REST}/metadata")
        states = json.loads(self._get(_REST))["model_version_status"]
        _expect("AVAILABLE" in {one["state"] for one in states}, True)

    def _page(self) -> None:
        page = self._get("/monitoring/prometheus/metrics")
        _expect(b":tensorflow:serving:request_count" in page, True)

    def _rest_predict(self) -> None:
        inputs = self._inputs()
        if self._random.random() < 0.5:
            outputs = json.loads(self._post({"inputs": inputs}))["outputs"]
            lengths = [len(text) for text in outputs["text"]]
        else:
            rows = [
                dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)
            ]
            predictions = json.loads(self._post({"instances": rows}))["predictions"]
            lengths = [len(row["text"]) for row in predictions]
        _expect(lengths, inputs["max_new_tokens"])

    def _rest_refused(self) -> None:
        number = self._random.getrandbits(60)
        kind = self._random.randrange(4)
        if kind == 0:
            self._get(f"/v1/models/nope-{number}", 404)
        elif kind == 1:
            self._post({"instances": [number]}, 400)
        elif kind == 2:
            self._post(f'{{"instances": [{number}', 400)
        else:
            self._get(f"/nothing/{number}", 404)

    def _get(self, path: str, status: int = 200) -> bytes:
        return self._http_call("GET", path, None, status)

    def _post(self, body: Any, status: int = 200) -> bytes:
        text = body if isinstance(body, str) else json.dumps(body)
        return self._http_call("POST", f"{_REST}:predict", text.encode(), status)

    def _http_call(self, method: str, path: str, body: bytes | None, status: int) -> bytes:
        self._http.request(method, path, body)
        reply = self._http.getresponse()
        read = reply.read()
        if reply.status != status:
            raise AssertionError(f"expected {status}. Received: {reply.status} {read[:200]!r}")
        return read


def _expect(value: object, wanted: object) -> None:
    if value != wanted:
        raise AssertionError(f"expected {wanted}. Received: {value}")

"""Wrong messages by the hundred: the server refuses them, lives, and stays as large as it was.

Every run sends the same bytes: a failure names the seed's round, which can be sent again.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

# A busy machine still sends the first rounds, and a fast one not many more.
SECONDS = 3.0
LEAST_ROUNDS, MOST_ROUNDS = 150, 4000
# Anything else blames the server: INTERNAL and UNKNOWN above all.
ALLOWED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
}
ALLOWED_HTTP = {200, 400, 404, 413, 501, 504}
# gRPC's own words for bytes that are no message; they never reach the server's code.
UNPARSED = "Exception deserializing request!"
GROWTH_BYTES = 300 * 2**20
PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"


def resident(process: Any) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@pytest.fixture
def steady(rest_server) -> Iterator[None]:
    """The server lives, has not grown much, and answers a good request over both protocols."""
    process = rest_server.server.process
    before = resident(process)
    yield
    assert process.poll() is None
    assert resident(process) - before < GROWTH_BYTES
    body = {"signature_name": "score", "instances": ["abc"]}
    url = f"http://{rest_server.address}/v1/models/text:predict"
    response = httpx.post(url, json=body, timeout=20)
    assert response.json() == {"predictions": [{"nll": 3.0, "num_tokens": 4}]}
    log = rest_server.server.log.read_text("utf-8")
    assert "a request failed" not in log, log[-4000:]


@pytest.fixture
def call(rest_server) -> Iterator[Callable[..., tuple[str, str]]]:
    """Sends raw bytes to a method; the status and its text."""
    with grpc.insecure_channel(rest_server.server.address) as channel:

        def call(method: str, data: bytes) -> tuple[str, str]:
            try:
                channel.unary_unary(method)(data, timeout=10)
            except grpc.RpcError as error:
                return error.code().name, error.details() or ""
            return "OK", ""

        yield call


def messages() -> list[tuple[str, Any]]:
    """A valid request of every method, a small one and one with several types."""
    import tensorflow as tf
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        predict_pb2,
        regression_pb2,
    )

    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = "text"
    for name, value in {
        "prompt": ["a", "b"],
        "max_new_tokens": tf.constant([3, 4], tf.int32),
        "temperature": [0.5, 1.0],
        "top_k": tf.constant([0], tf.int32),
        "top_p": [1.0],
        "seed": tf.constant([1], tf.int64),
    }.items():
        proto = tf.make_tensor_proto(value)
        predict.inputs[name].CopyFrom(proto)
    double = predict_pb2.PredictRequest(output_filter=["y"])
    double.model_spec.name, double.model_spec.signature_name = "text", "double"
    double.model_spec.version.value = 3
    double.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0], [3.0, 4.0]]))
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name = "estimator"
    example = classify.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(0.5)
    regress = regression_pb2.RegressionRequest(input=classify.input)
    regress.model_spec.name, regress.model_spec.signature_name = "estimator", "regress"
    multi = inference_pb2.MultiInferenceRequest(input=classify.input)
    for spec, kind in ((classify.model_spec, "classify"), (regress.model_spec, "regress")):
        multi.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{kind}")
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "text"
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "text"
    return [
        (f"{PREDICTION}Predict", predict),
        (f"{PREDICTION}Predict", double),
        (f"{PREDICTION}Classify", classify),
        (f"{PREDICTION}Regress", regress),
        (f"{PREDICTION}MultiInference", multi),
        (f"{PREDICTION}GetModelMetadata", metadata),
        (f"{MODEL}GetModelStatus", status),
    ]


def with_wrong_bytes(data: bytes, source: random.Random) -> bytes:
    """A copy with a few bytes flipped, removed, repeated or inserted."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        position = source.randrange(len(changed) + 1)
        kind = source.randrange(5)
        if kind == 0 and position < len(changed):
            changed[position] ^= 1 << source.randrange(8)
        elif kind == 1 and position < len(changed):
            changed[position] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del changed[position : position + source.randint(1, 8)]
        elif kind == 3:
            changed[position:position] = source.randbytes(source.randint(1, 8))
        else:
            end = min(len(changed), position + source.randint(1, 16))
            changed[position:position] = changed[position:end] * source.randint(1, 3)
    return bytes(changed)


def odd_values(kind: str, source: random.Random) -> Any:
    """A value for a field that nobody would send."""
    if kind == "string":
        return source.choice(("", "text", "..", "x" * 3000, "\0", "serving_default", "€"))
    if kind == "bytes":
        return source.choice((b"", b"\xff" * 7, b"\0" * 4096, source.randbytes(64)))
    if kind == "float":
        return source.choice((0.0, -1.5, float("nan"), float("inf"), 1e38))
    if kind == "bool":
        return source.random() < 0.5
    return source.choice((0, 1, 2, 3, 7, 127, 255, 2**31 - 1))


def with_wrong_structure(message: Any, source: random.Random) -> None:
    """Changes one field anywhere in a message: clears, doubles or replaces its value."""
    descriptor = message.DESCRIPTOR
    field = source.choice(list(descriptor.fields))
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    value = getattr(message, field.name)
    if is_map:
        keys = list(value)
        inner = field.message_type.fields_by_name["value"]
        if keys and source.random() < 0.2:
            del value[source.choice(keys)]
        elif inner.message_type is not None:
            name = source.choice([*keys, "x", ""]) if keys else "x"
            with_wrong_structure(value[name], source)
        return
    repeated = field.is_repeated
    if field.message_type is not None:
        if source.random() < 0.1:
            message.ClearField(field.name)
        elif not repeated:
            with_wrong_structure(value, source)
            value.SetInParent()
        else:
            part = value.add() if not value or source.random() < 0.2 else source.choice(list(value))
            with_wrong_structure(part, source)
        return
    odd = odd_values(_kind(field), source)
    if not repeated:
        if field.enum_type is not None or "int" not in _kind(field):
            setattr(message, field.name, odd)
        else:
            setattr(message, field.name, source.choice((odd, -1)) if _signed(field) else odd)
    elif value and source.random() < 0.4:
        del value[source.randrange(len(value))]
    else:
        value.extend([odd] * source.choice((1, 2, 100)))


def _kind(field: Any) -> str:
    kinds = {
        field.TYPE_STRING: "string",
        field.TYPE_BYTES: "bytes",
        field.TYPE_FLOAT: "float",
        field.TYPE_DOUBLE: "float",
        field.TYPE_BOOL: "bool",
    }
    return kinds.get(field.type, "int")


def _signed(field: Any) -> bool:
    return field.type in (field.TYPE_INT32, field.TYPE_INT64)


def run(rounds: Callable[[int], tuple[str, str]]) -> Counter[str]:
    """Rounds until the budget is used up; how often each status came back."""
    end = time.monotonic() + SECONDS
    statuses: Counter[str] = Counter()
    for number in range(MOST_ROUNDS):
        statuses[rounds(number)[0]] += 1
        if number + 1 >= LEAST_ROUNDS and time.monotonic() > end:
            break
    return statuses


def test_messages_with_wrong_bytes_are_refused(call, steady):
    originals = [(method, message.SerializeToString()) for method, message in messages()]
    for method, data in originals:
        assert call(method, data)[0] == "OK", method

    def attempt(number: int) -> tuple[str, str]:
        source = random.Random(number)
        method, data = source.choice(originals)
        wrong = with_wrong_bytes(data, source)
        status, text = call(method, wrong)
        if status == "INTERNAL" and UNPARSED in text:
            status = "unparsed"
        assert status in {*ALLOWED, "unparsed"}, (number, method, wrong.hex(), status, text)
        return status, text

    statuses = run(attempt)
    assert statuses["INVALID_ARGUMENT"] > 0
    assert statuses["unparsed"] > 0


def test_messages_with_wrong_fields_are_refused(call, steady):
    originals = messages()

    def attempt(number: int) -> tuple[str, str]:
        source = random.Random(number)
        method, original = source.choice(originals)
        message = type(original).FromString(original.SerializeToString())
        for _ in range(source.randint(1, 3)):
            with_wrong_structure(message, source)
        status, text = call(method, message.SerializeToString())
        assert status in ALLOWED, (number, method, str(message)[:2000], status, text)
        return status, text

    statuses = run(attempt)
    assert len(statuses) >= 3


def documents() -> list[tuple[str, Any]]:
    row = {"prompt": "a", "max_new_tokens": 3, "temperature": 0.5, "top_k": 0, "top_p": 1.0}
    row["seed"] = 1
    b64 = {"b64": "YWJj"}
    return [
        ("text:predict", {"instances": [row, row]}),
        ("text:predict", {"signature_name": "double", "inputs": {"x": [[1, 2.5], [3, 4]]}}),
        ("text/versions/3:predict", {"signature_name": "score", "instances": ["a", b64]}),
        ("estimator:classify", {"context": {"x": 1.0}, "examples": [{"x": 0.5}, {"x": [0.1]}]}),
        ("estimator:regress", {"signature_name": "regress", "examples": [{"x": 0.5}]}),
    ]


ODD: list[Any] = [
    *(None, True, [], {}, [[]], "", "\ud800", "\0", "x" * 5000, -1, 0, 2**31, 2**63, 2**64),
    *(10**400, 1.5, 1e39, 1e308, float("nan"), float("inf"), {"b64": "!"}, {"b64": 1}, [[[1]]]),
]


def with_wrong_values(value: Any, source: random.Random) -> Any:
    """A copy with one value anywhere replaced, removed or doubled."""
    if source.random() < 0.2 or not isinstance(value, dict | list) or not value:
        return source.choice(ODD)
    if isinstance(value, dict):
        key = source.choice(list(value))
        changed = dict(value)
        if source.random() < 0.2:
            changed[source.choice(("x", "inputs", "", "\ud800", "€"))] = changed.pop(key)
        else:
            changed[key] = with_wrong_values(value[key], source)
        return changed
    position = source.randrange(len(value))
    replacement = with_wrong_values(value[position], source)
    repeated = [replacement] * source.choice((0, 1, 1, 1, 2, 50))
    return [*value[:position], *repeated, *value[position + 1 :]]


def test_wrong_json_is_refused(rest_server, steady):
    originals = documents()
    base = f"http://{rest_server.address}/v1/models/"
    with httpx.Client(timeout=20) as client:
        for path, document in originals:
            assert client.post(base + path, json=document).status_code == 200, path

        def attempt(number: int) -> tuple[str, str]:
            source = random.Random(number)
            path, document = source.choice(originals)
            if number % 2:
                for _ in range(source.randint(1, 3)):
                    document = with_wrong_values(document, source)
            body = json.dumps(document).encode()
            if number % 3 == 0:
                body = with_wrong_bytes(body, source)
            response = client.post(base + path, content=body)
            text = response.text
            assert response.status_code in ALLOWED_HTTP, (number, path, body[:2000], text)
            # Whatever was sent, the answer is JSON with a reason or a result.
            assert set(response.json()) <= {"predictions", "outputs", "results", "error"}
            return str(response.status_code), text

        statuses = run(attempt)
    assert statuses["400"] > 0


def test_wrong_paths_are_refused(rest_server, steady):
    paths = ["/v1/models/text", "/v1/models/text/versions/3/metadata", "/v1/models/text:predict"]
    # Not by httpx, which refuses to send most of them.
    connection = http.client.HTTPConnection(rest_server.address, timeout=20)

    def attempt(number: int) -> tuple[str, str]:
        source = random.Random(number)
        wrong = with_wrong_bytes(source.choice(paths).encode(), source)
        path = "".join(chr(byte) for byte in wrong if 0x20 < byte < 0x7F)
        connection.request(source.choice(("GET", "POST", "PUT", "OPTIONS")), f"/{path.lstrip('/')}")
        response = connection.getresponse()
        response.read()
        assert response.status in ALLOWED_HTTP, (number, path)
        return str(response.status), ""

    statuses = run(attempt)
    connection.close()
    assert {"400", "404"} <= set(statuses)

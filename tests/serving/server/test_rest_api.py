"""The REST API of a real server: TensorFlow Serving's paths, codes, texts and metrics."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

GENERATE = {
    "prompt": "hello",
    "max_new_tokens": 4,
    "temperature": 0.5,
    "top_k": 2,
    "top_p": 0.5,
    "seed": 7,
}


@pytest.fixture(scope="module")
def http(rest_server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{rest_server.address}", timeout=30) as client:
        yield client


def predict(http: httpx.Client, body: Any, path: str = "/v1/models/text:predict") -> httpx.Response:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return http.post(path, content=content)


def error(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/json"
    (message,) = response.json().values()
    assert list(response.json()) == ["error"]
    return str(message)


# What TensorFlow Serving's documentation promises.


@pytest.mark.parametrize(
    "path", ["/v1/models/text", "/v1/models/text/versions/3", "/V1/Models/text"]
)
def test_status_tells_every_version(http, path):
    response = http.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    status = {"error_code": "OK", "error_message": ""}
    assert response.json() == {
        "model_version_status": [{"version": "3", "state": "AVAILABLE", "status": status}]
    }


def test_metadata_describes_signatures_by_protobufs_names(http):
    answer = http.get("/v1/models/text/metadata").json()
    assert answer["model_spec"] == {"name": "text", "signature_name": "", "version": "3"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["double"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    sizes = [dim["size"] for dim in signature["inputs"]["x"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "2"]


def test_rows_are_answered_by_rows(http):
    response = predict(http, {"signature_name": "double", "instances": [[1, 2.5], [0.1, 3]]})
    assert response.status_code == 200
    assert response.json() == {
        "predictions": [{"y": [2, 5], "z": [2, 3.5]}, {"y": [0.2, 6], "z": [1.1, 4]}]
    }


def test_columns_are_answered_by_columns(http):
    body = {"signature_name": "double", "inputs": {"x": [[1, 2]]}}
    assert predict(http, body).json() == {"outputs": {"y": [[2, 4]], "z": [[2, 3]]}}
    body = {
        "signature_name": "score",
        "inputs": ["abc", {"b64": base64.b64encode(b"\xff").decode()}],
    }
    assert predict(http, body).json() == {"outputs": {"nll": [3.0, 1.0], "num_tokens": [4, 2]}}


@pytest.mark.parametrize("part", ["", "/versions/3"])
def test_the_default_signature_generates(http, part):
    response = predict(http, {"instances": [GENERATE]}, f"/v1/models/text{part}:predict")
    assert response.json() == {
        "predictions": [{"logprob": 3.0, "num_tokens": 4, "text": "first|7|hello"}]
    }


def test_examples_are_classified_and_regressed(http):
    examples = [{"x": 0.25}, {"x": [1.0]}]
    response = predict(http, {"examples": examples}, "/v1/models/estimator:classify")
    assert response.json() == {
        "results": [[["low", 0.75], ["high", 0.25]], [["low", 0.0], ["high", 1.0]]]
    }
    body = {"signature_name": "regress", "context": {"x": 3.5}, "examples": [{}, {"x": 1.0}]}
    response = predict(http, body, "/v1/models/estimator/versions/1:regress")
    assert response.json() == {"results": [7.0, 2.0]}


def test_the_content_type_counts_for_nothing_and_gzip_is_understood(http):
    body = json.dumps({"signature_name": "score", "instances": ["abc"]}).encode()
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "multipart/form-data"}):
        response = http.post("/v1/models/text:predict", content=body, headers=headers)
        assert response.status_code == 200
    response = http.post(
        "/v1/models/text:predict",
        content=gzip.compress(body),
        headers={"content-encoding": "gzip"},
    )
    assert response.json()["predictions"] == [{"nll": 3.0, "num_tokens": 4}]
    for broken in (body, gzip.compress(body)[:-9]):
        response = http.post(
            "/v1/models/text:predict", content=broken, headers={"content-encoding": "gzip"}
        )
        assert response.status_code == 400
        assert "gzip" in error(response)


def test_metrics_count_every_prediction_under_tensorflow_servings_names(http, rest_server):
    def count(status: str) -> float:
        page = http.get(rest_server.monitoring_path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/plain")
        start = f':tensorflow:serving:request_count{{model_name="text",status="{status}"}} '
        return sum(
            float(line.removeprefix(start))
            for line in page.text.splitlines()
            if line.startswith(start)
        )

    before = count("OK"), count("INVALID_ARGUMENT")
    assert predict(http, {"signature_name": "score", "instances": ["a"]}).status_code == 200
    assert predict(http, "{").status_code == 400
    assert (count("OK"), count("INVALID_ARGUMENT")) == (before[0] + 1, before[1] + 1)
    text = http.get(rest_server.monitoring_path).text
    assert 'request_latency_count{model_name="text",API="predict",entrypoint="REST"}' in text
    assert 'saved_model:load_attempt_count{model_path="' in text
    assert predict(http, "{}", "/v1/models/made-up:predict").status_code == 404
    assert "made-up" not in http.get(rest_server.monitoring_path).text


# Refusals.


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        (
            "/v1/models/nope:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Latest(nope)",
        ),
        (
            "/v1/models/text/versions/9:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(text, 9)",
        ),
        (
            "/v1/models/text/labels/nope:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: nope",
        ),
        (
            "/v1/models/text:predict",
            {"signature_name": "nope", "instances": [1]},
            400,
            'Serving signature name: "nope" not found in signature def',
        ),
        (
            "/v1/models/text/versions/99999999999999999999:predict",
            {"instances": [1]},
            400,
            "Failed to convert version: 99999999999999999999 to numeric.",
        ),
        ("/v1/models/text:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_a_code_and_a_reason(
    http, path, body, code, words
):
    response = predict(http, body, path)
    assert (response.status_code, error(response)) == (code, words)


def test_what_the_model_refuses_is_the_callers_fault(http):
    response = predict(http, {"instances": [GENERATE | {"max_new_tokens": 0}]})
    assert response.status_code == 400
    assert error(response) == "expected max_new_tokens of at least 1. Received: 0"


def test_classify_and_regress_need_signatures_made_for_them(http):
    for call, kind in (("classify", "classification"), ("regress", "regression")):
        response = predict(http, {"examples": [{"x": 1.0}]}, f"/v1/models/text:{call}")
        assert response.status_code == 400
        assert error(response).startswith(f"Expected {kind} signature method_name to be")


def test_an_unknown_model_or_version_has_no_status(http):
    response = http.get("/v1/models/nope")
    assert (response.status_code, error(response)) == (
        404,
        "Could not find any versions of model nope",
    )
    response = http.get("/v1/models/text/versions/9")
    assert (response.status_code, error(response)) == (
        404,
        "Could not find version 9 of model text",
    )
    response = http.get("/v1/models")
    assert (response.status_code, error(response)) == (400, "Missing model name in request.")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/"),
        ("GET", "/v1/models/text:predict"),
        ("GET", "/v1/models/text/versions/x"),
        ("GET", "/v1/models/text/extra/path"),
        ("POST", "/v1/models/text"),
        ("POST", "/v1/models/text:generate"),
        ("POST", "/v1/models/text:PREDICT"),
        ("PUT", "/v1/models/text:predict"),
        ("DELETE", "/v1/models/text"),
    ],
)
def test_a_path_or_a_method_that_is_not_served_is_malformed(http, method, path):
    response = http.request(method, path)
    assert (response.status_code, error(response)) == (400, f"Malformed request: {method} {path}")


def test_outside_the_api_nothing_is_found(http):
    for path in ("/", "/v2/models", "/docs", "/monitoring/prometheus/metrics"):
        assert http.get(path).status_code == 404

"""The REST API's status, metadata, classify and regress, its paths, and the Prometheus page."""

from __future__ import annotations

import re

import pytest

PAGE = "/monitoring/prometheus/metrics"


def test_status_has_the_documented_form(rest, kinds):
    """g3doc/api_rest.md: int64 as text, states and codes by name, empty fields too."""
    reply = rest(f"/v1/models/{kinds}")
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.json == {
        "model_version_status": [
            {
                "version": "123",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_status_lists_all_versions_or_the_one_asked_for(rest, half):
    """g3doc/api_rest.md, 'Model status API'."""
    every = rest(f"/v1/models/{half}").json["model_version_status"]
    one = rest(f"/v1/models/{half}/versions/1").json["model_version_status"]
    assert [status["version"] for status in every] == ["2", "1"]
    assert [status["version"] for status in one] == ["1"]


def test_status_of_an_unknown_model_is_404(rest, half):
    """model_servers/get_model_status_impl.cc, as an error object."""
    reply = rest("/v1/models/nope")
    assert reply.status == 404
    assert reply.json == {"error": "Could not find any versions of model nope"}


def test_status_of_an_unknown_version_is_404(rest, half):
    """model_servers/get_model_status_impl.cc, as an error object."""
    reply = rest(f"/v1/models/{half}/versions/99")
    assert reply.status == 404
    assert reply.error == f"Could not find version 99 of model {half}"


def test_status_of_no_model_is_400(rest):
    """model_servers/http_rest_api_handler.cc: ProcessModelStatusRequest."""
    reply = rest("/v1/models")
    assert (reply.status, reply.error) == (400, "Missing model name in request.")


def test_metadata_has_the_documented_form(rest, half):
    """g3doc/api_rest.md, 'Model Metadata API'; http_rest_api_util.cc: ToJsonString."""
    reply = rest(f"/v1/models/{half}/metadata")
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.json["model_spec"] == {"name": half, "signature_name": "", "version": "2"}
    signatures = reply.json["metadata"]["signature_def"]["signature_def"]
    x = signatures["serving_default"]["inputs"]["x"]
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"
    assert (x["name"], x["dtype"]) == ("x:0", "DT_FLOAT")
    assert x["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}],
        "unknown_rank": False,
    }


@pytest.mark.parametrize("part", ["versions/1", "labels/stable"])
def test_metadata_of_a_version_or_label(rest, half, part):
    """g3doc/api_rest.md: [/versions/VERSION|/labels/LABEL]/metadata."""
    reply = rest(f"/v1/models/{half}/{part}/metadata")
    assert reply.json["model_spec"]["version"] == "1"


def test_metadata_of_an_unknown_model_is_404(rest, half):
    """core/basic_manager.cc: GetUntypedServableHandle."""
    reply = rest("/v1/models/nope/metadata")
    assert (reply.status, reply.error) == (404, "Servable not found for request: Latest(nope)")


def test_classify_gives_pairs_of_label_and_score(rest, half):
    """g3doc/api_rest.md, 'Classify and Regress API'; the key is `results`, as in json_tensor.cc."""
    body = {"signature_name": "classify", "examples": [{"x": 2.0}, {"x": [4.0]}]}
    reply = rest(f"/v1/models/{half}/versions/1:classify", body)
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.json == {
        "results": [[["low", -3.0], ["high", 3.0]], [["low", -4.0], ["high", 4.0]]]
    }


def test_classify_takes_a_common_context(rest, half):
    """g3doc/api_rest.md: context is 'shared by all examples'."""
    body = {"signature_name": "scores_only", "context": {"x": 6.0}, "examples": [{}, {"z": "w"}]}
    reply = rest(f"/v1/models/{half}/versions/1:classify", body)
    assert reply.json == {"results": [[["", 5.0]], [["", 5.0]]]}


def test_regress_gives_a_number_for_each_example(rest, half):
    """g3doc/api_rest.md, its example with half_plus_three."""
    body = {"signature_name": "regress", "examples": [{"x": 1.0}, {"x": 2.0}]}
    reply = rest(f"/v1/models/{half}/labels/stable:regress", body)
    assert (reply.status, reply.json) == (200, {"results": [2.5, 3.0]})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [1.0, "a"]}]}, "Unexpected element type in feature: x"),
    ],
)
def test_wrong_examples_are_400_and_named(rest, half, body, words):
    """util/json_tensor.cc: FillClassifyRegressRequestFromJson and what it calls."""
    reply = rest(f"/v1/models/{half}:classify", {"signature_name": "classify", **body})
    assert reply.status == 400
    assert words in reply.error


def test_classify_by_a_predict_signature_is_400(rest, half):
    """servables/tensorflow/classifier.cc: GetClassificationSignatureDef."""
    reply = rest(f"/v1/models/{half}:classify", {"examples": [{"x": 1.0}]})
    assert reply.status == 400
    assert reply.error.startswith("Expected classification signature method_name to be ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/foo"),
        ("POST", "/v1/models"),
        ("GET", "/v1/models/foo:predict"),
        ("POST", "/v1/models/foo/version/50:regress"),
        ("POST", "/v1/models/foo/versions/HELLO:regress"),
        ("POST", "/v1/models/foo:generate"),
    ],
)
def test_a_path_that_means_nothing_is_400(rest, calls, method, path):
    """model_servers/http_rest_api_handler_test.cc: UnsupportedApiCalls."""
    reply = rest(path, "{}" if method == "POST" else None, method)
    assert (reply.status, reply.error) == (400, f"Malformed request: {method} {path}")


def test_a_version_beyond_64_bits_is_400(rest, half):
    """model_servers/http_rest_api_util.cc: ParseModelInfo."""
    reply = rest(f"/v1/models/{half}/versions/{2**64 - 1}:predict", {"inputs": [[1.0]]})
    assert reply.status == 400


def test_paths_ignore_case_but_names_do_not(rest, half):
    """model_servers/http_rest_api_util.cc: the regular expressions begin with (?i)."""
    assert rest(f"/V1/MODELS/{half}").status == 200
    assert rest(f"/v1/models/{half.upper()}").status == 404


def test_names_in_paths_may_be_percent_encoded(rest, half):
    """model_servers/http_rest_api_util.cc: DecodeArg."""
    encoded = "".join(f"%{ord(character):02X}" for character in half)
    assert rest(f"/v1/models/{encoded}").status == 200


def test_a_path_outside_the_api_is_404(rest, calls):
    """model_servers/http_server.cc: Dispatch takes (?i)/v1/.* and nothing else."""
    assert rest("/").status == 404
    assert rest("/v2/models/foo").status == 404


def test_the_prometheus_page_is_text_where_the_config_says(rest, calls):
    """g3doc/serving_config.md, 'Monitoring Configuration'; http_server.cc: text/plain."""
    reply = rest(PAGE)
    assert reply.status == 200
    assert reply.content_type.startswith("text/plain")


def test_requests_are_counted_by_model_and_status(calls, rest, half):
    """servables/tensorflow/util.cc: /tensorflow/serving/request_count; prometheus_exporter.cc."""
    ok = rf':tensorflow:serving:request_count{{model_name="{half}",status="OK"}} (\d+)'
    bad = ok.replace("OK", "INVALID_ARGUMENT")

    def counts() -> list[int]:
        page = rest(PAGE).body
        return [int(found[1]) if (found := re.search(one, page)) else 0 for one in (ok, bad)]

    before = counts()
    calls.half(half)
    calls.refusal(calls.predict, half, {})
    assert counts() == [before[0] + 1, before[1] + 1]
    assert "# TYPE :tensorflow:serving:request_count counter" in rest(PAGE).body


def test_request_latency_is_a_histogram_by_model_call_and_entrance(calls, rest, half):
    """servables/tensorflow/util.cc: /tensorflow/serving/request_latency, in microseconds."""
    calls.half(half)
    rest(f"/v1/models/{half}:predict", {"inputs": [[1.0]]})
    page = rest(PAGE).body
    name = ":tensorflow:serving:request_latency"
    assert f"# TYPE {name} histogram" in page
    for entrance in ("GRPC", "REST"):
        labels = rf'model_name="{half}",API="[Pp]redict",entrypoint="{entrance}"'
        assert re.search(rf"{name}_bucket{{{labels}[^}}]*le=\"10\"}} \d+", page)
        assert re.search(rf"{name}_bucket{{{labels}[^}}]*le=\"\+Inf\"}} [1-9]", page)
        assert re.search(rf"{name}_sum{{{labels}[^}}]*}} [1-9]", page)
        assert re.search(rf"{name}_count{{{labels}[^}}]*}} [1-9]", page)

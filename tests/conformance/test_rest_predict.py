"""POST /v1/models/NAME:predict: tensors as JSON, by rows and by columns."""

from __future__ import annotations

import base64
import math

import pytest


def test_rows_of_the_only_input_need_no_name(rest, half):
    """g3doc/api_rest.md, 'Specifying input tensors in row format'."""
    reply = rest(f"/v1/models/{half}/versions/1:predict", {"instances": [[2.0], [4.0]]})
    assert (reply.status, reply.json) == (200, {"predictions": [[3.0], [4.0]]})


def test_the_reply_is_json(rest, half):
    """model_servers/http_rest_api_util.cc: AddHeaders."""
    reply = rest(f"/v1/models/{half}:predict", {"instances": [[2.0]]})
    assert reply.content_type == "application/json"


def test_scalars_make_rows_too(rest, kinds):
    """g3doc/api_rest.md: 'List of 3 scalar tensors.'"""
    reply = rest(f"/v1/models/{kinds}:predict", {"instances": [1.5, 2.5, -3.0]})
    assert reply.json == {"predictions": [1.5, 2.5, -3.0]}


def test_rows_may_be_objects_by_input_name(rest, half):
    """g3doc/api_rest.md: each item is an object of input name/tensor value pairs."""
    rows = {"instances": [{"x": [2.0]}, {"x": [4.0]}]}
    reply = rest(f"/v1/models/{half}/versions/1:predict", rows)
    assert reply.json == {"predictions": [[3.0], [4.0]]}


def test_rows_of_several_outputs_are_objects(rest, kinds):
    """g3doc/api_rest.md: 'If the model outputs multiple named tensors, ... a list of objects'."""
    row = {"single": 0.5, "double": 0.25, "whole": 1, "long": 2**40, "flag": True, "text": "žluť"}
    reply = rest(f"/v1/models/{kinds}:predict", {"signature_name": "echo", "instances": [row, row]})
    assert reply.json == {"predictions": [row, row]}


def test_columns_of_the_only_input_need_no_name(rest, half):
    """g3doc/api_rest.md, 'Specifying input tensors in column format'."""
    reply = rest(f"/v1/models/{half}/versions/1:predict", {"inputs": [[2.0], [4.0]]})
    assert (reply.status, reply.json) == (200, {"outputs": [[3.0], [4.0]]})


def test_columns_may_be_an_object_by_input_name(rest, kinds):
    """g3doc/api_rest.md: 'a map of input name to tensors'; several outputs make an object."""
    columns = {
        "single": [0.5, -1.0],
        "double": [0.25, 1e300],
        "whole": [1, -7],
        "long": [2**40, 0],
        "flag": [True, False],
        "text": ["a", "b"],
    }
    reply = rest(f"/v1/models/{kinds}:predict", {"signature_name": "echo", "inputs": columns})
    assert reply.json == {"outputs": columns}


def test_columns_may_have_outputs_without_a_batch(rest, kinds):
    """util/json_tensor.cc: MakeColumnarFormatJsonFromTensors takes any shape."""
    reply = rest(f"/v1/models/{kinds}:predict", {"signature_name": "total", "inputs": [1.0, 2.5]})
    assert reply.json == {"outputs": 3.5}


def test_rows_need_outputs_with_a_batch(rest, kinds):
    """util/json_tensor.cc: MakeRowFormatJsonFromTensors."""
    body = {"signature_name": "total", "instances": [1.0, 2.5]}
    reply = rest(f"/v1/models/{kinds}:predict", body)
    assert reply.status == 400
    assert reply.error == "Tensor name: total has no shape information "


def test_the_latest_version_answers_by_default(rest, half):
    """g3doc/api_rest.md: 'If omitted the latest version is used.'"""
    assert rest(f"/v1/models/{half}:predict", {"inputs": [[2.0]]}).json == {"outputs": [[4.0]]}


def test_a_label_in_the_path_chooses_the_version(rest, half):
    """model_servers/http_rest_api_util.cc: /labels/ in the path of predict."""
    reply = rest(f"/v1/models/{half}/labels/stable:predict", {"inputs": [[2.0]]})
    assert reply.json == {"outputs": [[3.0]]}


def test_binary_inputs_come_as_base64_objects(rest, kinds):
    """g3doc/api_rest.md, 'Encoding binary values'."""
    raw = bytes(range(256))
    body = {"signature_name": "picture", "instances": [{"b64": base64.b64encode(raw).decode()}]}
    (row,) = rest(f"/v1/models/{kinds}:predict", body).json["predictions"]
    assert base64.b64decode(row["picture_bytes"]["b64"]) == raw
    assert row["length"] == 256


def test_only_outputs_named_bytes_are_encoded(rest, kinds):
    """g3doc/api_rest.md: named tensors with the suffix _bytes are binary, others are strings."""
    reply = rest(f"/v1/models/{kinds}:predict", {"signature_name": "word", "instances": ["hi"]})
    assert reply.json == {"predictions": ["hi!"]}


def test_numbers_that_are_not_finite_pass_as_tokens(rest, kinds):
    """g3doc/api_rest.md, 'JSON conformance': NaN, Infinity and -Infinity, both ways."""
    reply = rest(f"/v1/models/{kinds}:predict", '{"instances": [NaN, Infinity, -Infinity]}')
    first, *others = reply.json["predictions"]
    assert math.isnan(first)
    assert others == [math.inf, -math.inf]


def test_whole_floats_keep_their_point_and_integers_have_none(rest, kinds):
    """util/json_tensor.cc: WriteDecimal adds '.0' so that consumers see the type."""
    assert "3.0" in rest(f"/v1/models/{kinds}:predict", {"instances": [3]}).body
    reply = rest(f"/v1/models/{kinds}:predict", {"signature_name": "count", "instances": [3]})
    assert "4" in reply.body
    assert "4.0" not in reply.body


def test_floats_are_written_as_short_as_they_read_back(rest, kinds):
    """util/json_tensor.cc: WriteDecimal, no noise digits of a float made a double."""
    reply = rest(f"/v1/models/{kinds}:predict", {"instances": [0.2]})
    assert reply.json == {"predictions": [0.2]}


def test_the_content_type_of_the_request_does_not_matter(rest, kinds):
    """model_servers/http_server.cc: only the method, the path and the body are looked at."""
    reply = rest(f"/v1/models/{kinds}:predict", '{"inputs": [1.0]}')  # urllib calls it a form
    assert reply.json == {"outputs": [1.0]}


def test_an_unknown_model_is_404(rest, half):
    """g3doc/api_rest.md, its last example."""
    reply = rest("/v1/models/nope:predict", {"instances": [1.0, 5.0]})
    assert (reply.status, reply.content_type) == (404, "application/json")
    assert reply.json == {"error": "Servable not found for request: Latest(nope)"}


def test_an_unknown_version_is_404(rest, half):
    """model_servers/http_server.cc: NOT_FOUND is 404."""
    reply = rest(f"/v1/models/{half}/versions/99:predict", {"instances": [[1.0]]})
    assert reply.status == 404
    assert reply.error == f"Servable not found for request: Specific({half}, 99)"


def test_an_unknown_label_is_400(rest, half):
    """model_servers/server_core.cc: GetModelVersionForLabel."""
    reply = rest(f"/v1/models/{half}/labels/nope:predict", {"instances": [[1.0]]})
    assert (reply.status, reply.error) == (400, "Unrecognized servable version label: nope")


def test_an_unknown_signature_is_400_in_other_words_than_grpcs(rest, half):
    """model_servers/http_rest_api_handler.cc: GetInfoMap."""
    body = {"signature_name": "nope", "instances": [[1.0]]}
    reply = rest(f"/v1/models/{half}:predict", body)
    assert reply.status == 400
    assert reply.error == 'Serving signature name: "nope" not found in signature def'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("instances = [1]", "JSON Parse error: Invalid value"),
        ('{"instances": [1.0', "JSON Parse error: "),
        ("[1.0]", "Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": [1.0], "inputs": [1.0]}', "Not formatted correctly expecting only"),
        ('{"instances": 1.0}', "Excepting 'instances' to be an list/array"),
        ('{"instances": []}', "No values in 'instances' array"),
        ('{"signature_name": 7, "inputs": [1.0]}', "'signature_name' key must be a string value"),
        ('{"instances": ["one"]}', "is not of expected type: float"),
        ('{"instances": [[1.0], [2.0, 3.0]]}', "Expecting tensor size: 1 but got: 2"),
        ('{"instances": [{"z": 1.0}]}', "JSON object: does not have named input: z"),
        ('{"instances": [{"x": 1.0}, 2.0]}', "Expecting object but got list at item 1"),
        ('{"instances": [2.0, {"x": 1.0}]}', "Expecting value/list but got object at item 1"),
        ('{"inputs": [[1.0], 2.0]}', "found at incorrect level: 2 in the JSON DOM. Expected at"),
        ('{"inputs": [[1.0], [2.0, 3.0]]}', "Encountered list at unexpected size: 2 at level: 1"),
        ('{"inputs": {"z": [1.0]}}', "Missing named input: x in 'inputs' object."),
    ],
)
def test_a_wrong_body_is_400_and_says_what_is_wrong(rest, kinds, body, words):
    """util/json_tensor.cc: FillPredictRequestFromJson and what it calls."""
    reply = rest(f"/v1/models/{kinds}:predict", body)
    assert reply.status == 400
    assert words in reply.error


def test_several_inputs_cannot_come_as_a_plain_list(rest, kinds):
    """util/json_tensor.cc: FillTensorMapFromInstancesList."""
    body = {"signature_name": "echo", "instances": [1.0]}
    reply = rest(f"/v1/models/{kinds}:predict", body)
    assert reply.status == 400
    assert reply.error.startswith("instances is a plain list, but expecting list of objects")


def test_a_row_must_have_every_input(rest, kinds):
    """util/json_tensor.cc: FillTensorMapFromInstancesList."""
    body = {"signature_name": "echo", "instances": [{"whole": 1}]}
    reply = rest(f"/v1/models/{kinds}:predict", body)
    assert reply.status == 400
    assert reply.error.startswith("Failed to process element: 0 of 'instances' list. JSON object: ")
    assert reply.error.endswith(" keys must be equal to: double,flag,long,single,text,whole")


def test_a_fraction_is_no_integer(rest, kinds):
    """util/json_tensor.cc: AddValueToTensor takes no double for an integer type."""
    reply = rest(f"/v1/models/{kinds}:predict", {"signature_name": "count", "inputs": [1.5]})
    assert reply.status == 400
    assert reply.error == "JSON Value: 1.5 Type: Number is not of expected type: int64"


def test_an_integer_too_large_for_a_float_is_refused(rest, kinds):
    """util/json_tensor.cc: IsLosslessDecimal."""
    reply = rest(f"/v1/models/{kinds}:predict", {"inputs": [2**24]})
    assert reply.status == 400
    assert reply.error == (
        "Cannot convert JSON value: 16777216 to float without loss of precision."
    )


def test_wrong_base64_is_refused(rest, kinds):
    """util/json_tensor.cc: JsonDecodeBase64Object."""
    body = {"signature_name": "picture", "instances": [{"b64": "***"}]}
    reply = rest(f"/v1/models/{kinds}:predict", body)
    assert reply.status == 400
    assert "Unable to base64 decode" in reply.error


def test_an_assertion_in_the_graph_is_400_with_its_words(rest, kinds):
    """model_servers/http_server.cc: INVALID_ARGUMENT is 400."""
    reply = rest(f"/v1/models/{kinds}:predict", {"signature_name": "positive", "inputs": [0]})
    assert reply.status == 400
    assert "n must be positive. Received:" in reply.error

"""The JSON of REST requests and answers, by TensorFlow Serving's rules and in its words."""

from __future__ import annotations

import base64
import json
import math
import time
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, predict_pb2, regression_pb2

from serving.server import json_tensor, json_tensor_write
from serving.server.errors import StatusError
from serving.server.json_tensor_examples import fill_examples
from serving.server.json_tensor_parse import parse


def read(body: str | bytes | dict[str, Any], **dtypes: tf.DType) -> dict[str, Any]:
    """The tensors of a request, for a signature of these inputs."""
    if isinstance(body, dict):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    infos = {
        name: meta_graph_pb2.TensorInfo(dtype=dtype.as_datatype_enum)
        for name, dtype in dtypes.items()
    }
    # A protobuf map, as the server has it.
    infos = meta_graph_pb2.SignatureDef(inputs=infos).inputs
    request = predict_pb2.PredictRequest()
    json_tensor.fill_predict(parse(data), request, infos)
    return {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}


def refusal(body: str | bytes | dict[str, Any], **dtypes: tf.DType) -> str:
    """What is said to a request that does not fit; it is always the caller's fault."""
    with pytest.raises(StatusError) as caught:
        read(body, **dtypes)
    assert caught.value.code.name == "INVALID_ARGUMENT"
    return caught.value.message


def written(**outputs: Any) -> dict[str, Any]:
    return {name: tf.make_tensor_proto(value) for name, value in outputs.items()}


# Reading values.


def test_rows_of_one_input_are_a_plain_list():
    tensors = read({"instances": [[1, 2.5], [3, 4]]}, x=tf.float32)
    np.testing.assert_array_equal(tensors["x"], np.array([[1, 2.5], [3, 4]], np.float32))
    assert tensors["x"].dtype == np.float32


def test_rows_of_several_inputs_are_objects():
    rows = [{"a": [1, 2], "b": "x"}, {"b": "y", "a": [3, 4]}]
    tensors = read({"instances": rows}, a=tf.int64, b=tf.string)
    np.testing.assert_array_equal(tensors["a"], [[1, 2], [3, 4]])
    assert tensors["b"].tolist() == [b"x", b"y"]


def test_columns_are_given_by_name_or_alone():
    named = read({"inputs": {"a": [[1], [2]], "b": True}}, a=tf.int32, b=tf.bool)
    np.testing.assert_array_equal(named["a"], [[1], [2]])
    assert named["b"].shape == ()
    alone = read({"inputs": [1.5, 2]}, x=tf.float64)
    np.testing.assert_array_equal(alone["x"], [1.5, 2])


def test_bytes_come_as_base64_wherever_a_string_may_stand():
    raw = bytes(range(256))
    b64 = {"b64": base64.b64encode(raw).decode()}
    assert read({"instances": [b64, "text"]}, x=tf.string)["x"].tolist() == [raw, b"text"]
    assert read({"inputs": b64}, x=tf.string)["x"].item() == raw
    rows = [{"image_bytes": b64, "n": 1}]
    assert read({"instances": rows}, image_bytes=tf.string, n=tf.int32)["image_bytes"][0] == raw
    unpadded = {"b64": base64.b64encode(b"four").decode().rstrip("=")}
    assert read({"inputs": unpadded}, x=tf.string)["x"].item() == b"four"


def test_not_a_number_and_infinity_are_numbers():
    body = '{"instances": [NaN, Infinity, -Infinity, Inf, -Inf]}'
    values = read(body, x=tf.float32)["x"]
    assert math.isnan(values[0])
    assert values[1:].tolist() == [math.inf, -math.inf, math.inf, -math.inf]


def test_strings_are_kept_byte_for_byte():
    body = b'{"instances": ["\xc3\xa4", "\xff\xfe", "\\u00e4 \\ud83d\\ude00 \\u0000"]}'
    values = read(body, x=tf.string)["x"].tolist()
    assert values == [b"\xc3\xa4", b"\xff\xfe", "ä 😀 \0".encode()]


def test_every_type_holds_its_limits():
    for dtype in (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint32, tf.uint64):
        info = np.iinfo(dtype.as_numpy_dtype)
        limits = [int(info.min), int(info.max)]
        assert read({"instances": limits}, x=dtype)["x"].tolist() == limits
        for outside in (limits[0] - 1, limits[1] + 1):
            assert refusal({"instances": [0, outside]}, x=dtype) == (
                "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON Value: {outside} Type: Number is not of expected type: {dtype.name}"
            )


@pytest.mark.parametrize(
    ("value", "dtype", "kind", "expected"),
    [
        ("1.0", tf.int32, "Number", "int32"),
        ("1e2", tf.int64, "Number", "int64"),
        ('"1"', tf.int32, "String", "int32"),
        ("true", tf.int32, "True", "int32"),
        ("1", tf.bool, "Number", "bool"),
        ("false", tf.float32, "False", "float"),
        ('"x"', tf.float64, "String", "double"),
        ("1", tf.string, "Number", "string"),
        ("null", tf.string, "Null", "string"),
    ],
)
def test_a_value_of_another_type_is_refused(value, dtype, kind, expected):
    message = refusal(f'{{"inputs": [{value}]}}', x=dtype)
    assert message.startswith("JSON Value: ")
    assert message.endswith(f" Type: {kind} is not of expected type: {expected}")


def test_an_integer_with_more_digits_than_the_type_holds_is_refused():
    assert read({"inputs": [2**24 - 1, -(2**24) + 1]}, x=tf.float32)["x"].tolist() == [
        2**24 - 1,
        -(2**24) + 1,
    ]
    assert refusal({"inputs": [2**24]}, x=tf.float32) == (
        "Cannot convert JSON value: 16777216 to float without loss of precision."
    )
    assert refusal({"inputs": [-(2**53)]}, x=tf.float64) == (
        "Cannot convert JSON value: -9007199254740992 to double without loss of precision."
    )
    assert refusal({"inputs": [1e39]}, x=tf.float32) == (
        "Cannot convert JSON value: 1e+39 to float without loss of precision."
    )


@pytest.mark.parametrize("number", ["1e999", "-1e400", "1" + "0" * 400, "9" * 5000])
def test_a_number_too_large_for_a_double_is_no_infinity(number):
    message = refusal(f'{{"inputs": [1.5, {number}]}}', x=tf.float64)
    assert message == "JSON Parse error: Number too big to be stored in double. at offset: 17"


def test_a_type_that_json_has_no_values_for_is_unimplemented():
    with pytest.raises(StatusError) as caught:
        read({"inputs": [1]}, x=tf.complex64)
    assert caught.value.code.name == "UNIMPLEMENTED"


# Shapes and forms.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"inputs": [[1, 2], [3]]},
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        (
            {"inputs": [[1], 2]},
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ({"inputs": [1, [2]]}, "Encountered list at unexpected level: 1 expected < 1"),
        (
            {"instances": [[1, 2], [1]]},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
            "tensor size: 2 but got: 1",
        ),
        (
            {"instances": [[[1, 2]], [[1], [2]]]},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
            "shape [1,2] but got: [2,1]",
        ),
        (
            {"instances": [1, {"x": 1}]},
            "Expecting value/list but got object at item 1 of input list",
        ),
        ({"instances": [{"x": 1}, 1]}, "Expecting object but got list at item 1 of input list"),
        (
            {"instances": [{"y": 1}]},
            "Failed to process element: 0 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: y",
        ),
        ({"inputs": {"y": 1}}, "Missing named input: x in 'inputs' object."),
        ({}, "Missing 'inputs' or 'instances' key"),
    ],
)
def test_values_that_do_not_fit_are_named(body, words):
    assert refusal(body, x=tf.int32) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"instances": 1}, "Excepting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        (
            {"instances": [1], "inputs": [1]},
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
    ],
)
def test_the_whole_request_is_shown_when_its_form_is_wrong(body, words):
    shown = json.dumps(body, indent=4)
    assert refusal(body, x=tf.int32) == f"JSON Value: {shown} {words}"


def test_several_inputs_need_names():
    dtypes = {"a": tf.int32, "b": tf.int32}
    ending = " as multiple input tensors required as per tensorinfo_map"
    rows = refusal({"instances": [1]}, **dtypes)
    assert rows == f"instances is a plain list, but expecting list of objects{ending}"
    columns = refusal({"inputs": [1]}, **dtypes)
    assert columns == f"inputs is a plain value/list, but expecting an object{ending}"
    assert refusal({"instances": [{"a": 1}]}, **dtypes).endswith(" keys must be equal to: a,b")


def test_a_name_that_is_no_utf8_is_unknown_like_any_other():
    message = refusal(b'{"instances": [{"x": 1}, {"\xff": 1}]}', x=tf.int32)
    assert message.endswith("JSON object: does not have named input: ?")


def test_a_wrong_request_is_not_sent_back_whole():
    message = refusal({"instances": 1, "padding": "x" * 1_000_000}, x=tf.int32)
    assert len(message) < 2000


# Text that is no JSON.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "The document is empty"),
        (" \n", "The document is empty. at offset: 2"),
        ("{", "Missing a name for object member. at offset: 1"),
        ('{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        ('{"a": }', "Invalid value. at offset: 6"),
        ('{"a": [1 2]}', "Missing a comma or ] after an array element. at offset: 9"),
        ('{"a": 1 "b"}', "Missing a comma or } after an object member. at offset: 8"),
        ('{"ä]": [{"b": 1}, 2 3]}', "Missing a comma or ] after an array element. at offset: 21"),
        ('{"a": "b}', "Missing a closing quotation mark in string. at offset: 6"),
        ('{"a": "\\x"}', "Invalid escape character in string. at offset: 7"),
        ("{} {}", "The document root must not be followed by other values. at offset: 3"),
        (b"\xff\xfe\x00", "Invalid value. at offset: 0"),
        ('{"inputs": ["\\ud800"]}', "The surrogate pair in string is invalid."),
    ],
)
def test_a_mistake_is_told_in_the_words_of_tensorflow_serving(body, words):
    assert refusal(body, x=tf.string) == f"JSON Parse error: {words}"


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"inputs":['])
def test_deep_nesting_is_refused_and_not_a_crash(opening):
    assert "nested too deeply" in refusal(opening * 200_000, x=tf.int32)


def test_lists_deeper_than_any_tensor_are_refused():
    body = '{"inputs": ' + "[" * 100 + "1" + "]" * 100 + "}"
    assert "nested at most 32 deep" in refusal(body, x=tf.int32)


@pytest.mark.parametrize("text", ["[1]", "1", '"text"', "null"])
def test_a_document_that_is_no_object_is_refused(text):
    assert refusal(text, x=tf.int32).endswith(" Is not object")


def test_a_byte_order_mark_is_skipped():
    assert read(b'\xef\xbb\xbf{"inputs": [1]}', x=tf.int32)["x"].tolist() == [1]


def test_half_a_million_numbers_take_seconds_not_minutes():
    body = json.dumps({"inputs": np.random.default_rng(0).random((500, 1000)).tolist()})
    started = time.process_time()
    assert read(body, x=tf.float32)["x"].shape == (500, 1000)
    assert time.process_time() - started < 10


# Examples.


def examples(body: dict[str, Any] | str) -> input_pb2.Input:
    text = body if isinstance(body, str) else json.dumps(body)
    message = input_pb2.Input()
    fill_examples(parse(text.encode()), message)
    return message


def test_examples_take_their_types_from_json():
    b64 = {"b64": base64.b64encode(b"\xff").decode()}
    example = {"s": "x", "f": [1.5, 2.0], "i": [1, 2], "t": True, "b": [b64, "y"]}
    (found,) = examples({"examples": [example]}).example_list.examples
    feature = found.features.feature
    assert feature["s"].bytes_list.value == [b"x"]
    assert feature["f"].float_list.value == [1.5, 2.0]
    assert feature["i"].int64_list.value == [1, 2]
    assert feature["t"].int64_list.value == [1]
    assert feature["b"].bytes_list.value == [b"\xff", b"y"]


def test_a_context_is_shared_by_all_examples():
    message = examples({"context": {"c": 1}, "examples": [{"a": 1}, {}]})
    shared = message.example_list_with_context
    assert shared.context.features.feature["c"].int64_list.value == [1]
    assert len(shared.examples) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        (
            {"examples": [{"a": [1, 2.5]}]},
            "Unexpected element type in feature: a expecting type: int64",
        ),
        (
            {"examples": [{"a": [[1]]}]},
            "Feature: a has element with unexpected JSON type: Array",
        ),
        (
            {"examples": [{"a": 2**63}]},
            "Feature: a has uint64 element. Only int64 is supported.",
        ),
    ],
)
def test_examples_that_do_not_fit_are_refused(body, words):
    with pytest.raises(StatusError) as caught:
        examples(body)
    assert caught.value.message.endswith(words)


# Writing.


def test_one_output_is_a_plain_list_laid_out_as_tensorflow_serving_does():
    text = json_tensor_write.predictions(written(y=np.array([2.5, 3, 4.5], np.float32)))
    assert text == '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'


def test_several_outputs_are_objects():
    outputs = written(b=np.array([[1, 2]], np.int64), a=np.array([True]))
    text = json_tensor_write.predictions(outputs)
    assert text == (
        '{\n    "predictions": [\n        {\n            "a": true,\n'
        '            "b": [1, 2]\n        }\n    ]\n}'
    )
    columns = json_tensor_write.columns(outputs)
    assert json.loads(columns) == {"outputs": {"a": [True], "b": [[1, 2]]}}


def test_a_column_alone_has_no_name_and_a_scalar_no_list():
    assert json_tensor_write.columns(written(y=np.float32(1))) == '{\n    "outputs": 1.0\n}'
    nested = np.arange(8, dtype=np.int32).reshape(2, 2, 2)
    assert json.loads(json_tensor_write.columns(written(y=nested)))["outputs"] == nested.tolist()
    empty = np.zeros((2, 0, 3), np.float32)
    assert json.loads(json_tensor_write.columns(written(y=empty)))["outputs"] == [[], []]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_every_float_comes_back(kind):
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 256, 8 * 4000, np.uint8).view(np.dtype(kind))
    values = np.concatenate([raw[np.isfinite(raw)], np.array([0, -0.0, 1e-7, 0.1, 65504], kind)])
    text = json_tensor_write.predictions(written(y=values))
    back = np.array(json.loads(text)["predictions"], np.float64).astype(kind)
    np.testing.assert_array_equal(back, values)
    assert all(isinstance(value, float) for value in json.loads(text)["predictions"])


def test_floats_are_as_short_as_they_can_be():
    values = np.array([0.2, 1 / 3, 9e6, 16777216, 1e-5, np.nan, np.inf, -np.inf], np.float32)
    text = json_tensor_write.predictions(written(y=values))
    assert "[0.2, 0.333333343, 9e+06, 16777216.0, 1e-05, NaN, Infinity, -Infinity\n" in text


def test_strings_are_text_and_bytes_by_their_name():
    raw = np.array([b"\xff\x00", b"ok"], object)
    text = json_tensor_write.predictions(written(image_bytes=raw))
    expected = [{"b64": base64.b64encode(value).decode()} for value in raw]
    assert json.loads(text) == {"predictions": expected}
    words = np.array(['quote " line \n end', "ä", "</script>\x1f"], object)
    encoded = np.array([word.encode() for word in words], object)
    text = json_tensor_write.predictions(written(y=encoded))
    assert json.loads(text)["predictions"] == words.tolist()


def test_text_that_is_not_utf8_still_makes_valid_json():
    text = json_tensor_write.predictions(written(y=np.array([b"a\xffb"], object)))
    assert json.loads(text.encode("utf-8"))["predictions"] == ["a\ufffdb"]


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (written(y=np.float32(1)), "Tensor name: y has no shape information "),
        (
            written(a=np.zeros(2), b=np.zeros(3)),
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",
        ),
        ({}, "Cannot convert empty tensor map to JSON"),
        (
            written(y=np.zeros(1, np.complex64)),
            "Failed to write JSON value for tensor type: complex64",
        ),
    ],
)
def test_outputs_that_make_no_rows_are_refused(outputs, words):
    with pytest.raises(StatusError) as caught:
        json_tensor_write.predictions(outputs)
    assert caught.value.message == words


def test_classes_and_values_are_lists():
    result = classification_pb2.ClassificationResult()
    entry = result.classifications.add()
    entry.classes.add(label="yes", score=0.75)
    entry.classes.add(label="no", score=0.25)
    text = json_tensor_write.classifications(result)
    assert text == '{\n    "results": [[["yes", 0.75], ["no", 0.25]]\n    ]\n}'
    numbers = regression_pb2.RegressionResult()
    numbers.regressions.add(value=1.5)
    assert json_tensor_write.regressions(numbers) == '{\n    "results": [1.5]\n}'

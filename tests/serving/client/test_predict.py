"""`predict`: any signature, with values of the types that it declares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from serving.client import (
    AsyncClient,
    Client,
    DeadlineError,
    InvalidRequestError,
    Prediction,
    ResponseError,
    Tensor,
)

METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"


class Echo:
    """Answers what it is asked, by TensorFlow's own messages, for one signature."""

    def __init__(self, inputs: Mapping[str, tuple[int, Sequence[int] | None]]) -> None:
        self.inputs = inputs
        self.arrays: dict[str, Any] = {}
        self.version = 6
        self.delay = 0.0

    def __call__(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        time.sleep(self.delay)
        return self.metadata() if method == METADATA else self.predict(request)

    def metadata(self) -> bytes:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        signature = signatures.signature_def["echo"]
        for name, (dtype, shape) in self.inputs.items():
            info = signature.inputs[name]
            info.dtype = dtype
            info.tensor_shape.unknown_rank = shape is None
            for size in shape or ():
                info.tensor_shape.dim.add(size=size)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        response.model_spec.version.value = self.version
        return bytes(response.SerializeToString())

    def predict(self, request: bytes) -> bytes:
        asked = predict_pb2.PredictRequest.FromString(request)
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = self.version
        self.arrays = {name: tf.make_ndarray(proto) for name, proto in asked.inputs.items()}
        for name, array in self.arrays.items():
            dtype = asked.inputs[name].dtype
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array, dtype, array.shape))
        return bytes(response.SerializeToString())


@pytest.fixture
def echo(serve: Callable[..., Any]) -> Callable[..., Any]:
    """Echoes values of one type and shape: the tensor that came back, and the array in between."""

    def echo(dtype: int, shape: Sequence[int] | None, values: Any) -> tuple[Tensor, Any]:
        answer = Echo({"x": (dtype, shape)})
        with Client(serve(answer).address, timeout=20) as client:
            found = client.predict("echo", {"x": values})
        assert found.version == 6
        return found.outputs["x"], answer.arrays["x"]

    return echo


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [1.5, -2.0, 3]),
        ("float64", [1e300, 0.1]),
        ("int8", [-128, 127]),
        ("int16", [-(2**15), 2**15 - 1]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 255]),
        ("uint16", [0, 2**16 - 1]),
        ("uint32", [0, 2**32 - 1]),
        ("uint64", [0, 2**64 - 1]),
        ("bool", [True, False]),
    ],
)
def test_numbers_of_every_type_there_and_back(
    echo: Callable[..., Any], dtype: str, values: list[Any]
) -> None:
    back, between = echo(tf.as_dtype(dtype).as_datatype_enum, [-1], values)
    assert between.dtype == np.dtype(dtype)
    assert between.tolist() == values
    assert back == Tensor(dtype, (len(values),), values)


def test_bytes_go_in_and_come_out_as_they_are(echo: Callable[..., Any]) -> None:
    values = [b"\x89PNG\x00\xff", "é", bytearray(b"\x00"), memoryview(b"view")]
    back, between = echo(types_pb2.DT_STRING, [-1], values)
    assert back.values == [b"\x89PNG\x00\xff", "é".encode(), b"\x00", b"view"]
    assert between.tolist() == back.values


@pytest.mark.parametrize(
    ("shape", "values", "sent", "back"),
    [
        ([], 7, (), 7),
        ([-1], 7, (1,), [7]),
        ([-1], [], (0,), []),
        ([-1, -1], [], (0, 0), []),
        ([-1, 2], [[1, 2], [3, 4], [5, 6]], (3, 2), [[1, 2], [3, 4], [5, 6]]),
        ([-1, -1], [[], []], (2, 0), [[], []]),
        ([1, 2, 2], [[[1, 2], [3, 4]]], (1, 2, 2), [[[1, 2], [3, 4]]]),
        (None, [[1], [2]], (2, 1), [[1], [2]]),
        (None, 7, (), 7),
        ([-1], (1, 2), (2,), [1, 2]),
        ([-1], range(3), (3,), [0, 1, 2]),
        ([-1, 2], np.array([[1, 2]]), (1, 2), [[1, 2]]),
        ([-1], Tensor("int64", (2,), [1, 2]), (2,), [1, 2]),
    ],
)
def test_ranks_and_scalars(
    echo: Callable[..., Any],
    shape: list[int] | None,
    values: Any,
    sent: tuple[int, ...],
    back: Any,
) -> None:
    tensor, between = echo(types_pb2.DT_INT64, shape, values)
    assert between.shape == tensor.shape == sent
    assert tensor.tolist() == back


@pytest.mark.parametrize(
    ("dtype", "values", "reason"),
    [
        (types_pb2.DT_INT32, [2**31], "DT_INT32"),
        (types_pb2.DT_INT32, [1.5], "DT_INT32"),
        (types_pb2.DT_INT64, ["1"], "DT_INT64"),
        (types_pb2.DT_FLOAT, [None], "DT_FLOAT"),
        (types_pb2.DT_STRING, [5], "DT_STRING"),
        (types_pb2.DT_STRING, ["\ud800"], "DT_STRING"),
        (types_pb2.DT_FLOAT, [[1], [2, 3]], "lists of one level differ in length"),
        (types_pb2.DT_FLOAT, [1, [2]], "lists and values stand side by side"),
        (types_pb2.DT_COMPLEX64, [1], "expected a tensor of float32"),
        (99, [1], "Received: type 99"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_name(
    serve: Callable[..., Any], dtype: int, values: list[Any], reason: str
) -> None:
    stub = serve(Echo({"x": (dtype, [-1])}))
    with Client(stub.address, timeout=20) as client:
        with pytest.raises(InvalidRequestError, match="expected x as") as raised:
            client.predict("echo", {"x": values})
        assert reason in str(raised.value)
        assert "\n" not in str(raised.value)
    assert stub.calls == [METADATA]


def test_a_huge_value_is_not_repeated_in_its_refusal(serve: Callable[..., Any]) -> None:
    stub = serve(Echo({"x": (types_pb2.DT_INT32, [-1])}))
    with Client(stub.address, timeout=20) as client:
        with pytest.raises(InvalidRequestError) as raised:
            client.predict("echo", {"x": ["y" * 100_000]})
        with pytest.raises(InvalidRequestError) as other:
            client.generate("x", seed="y" * 100_000)  # type: ignore[arg-type]
    assert max(len(str(raised.value)), len(str(other.value))) < 500


def test_the_signatures_of_a_real_model(server: Any) -> None:
    with Client(server.address, timeout=20) as client:
        found = client.predict("double", {"x": [[1, 2], [3, 4.5]]})
        assert found == Prediction(
            3,
            {
                "y": Tensor("float32", (2, 2), [2.0, 4.0, 6.0, 9.0]),
                "z": Tensor("float32", (2, 2), [2.0, 3.0, 4.0, 5.5]),
            },
        )
        assert client.predict("slow", {"seconds": 0}).outputs["done"].dtype == "bool"
        assert client.predict("score", {"text": ["é", b"\xff"]}).outputs["nll"].values == [2.0, 1.0]
        with pytest.raises(InvalidRequestError) as raised:
            client.predict("double", {})
        assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_unknown_signatures_and_inputs_name_those_that_are(server: Any) -> None:
    with Client(server.address, timeout=20) as client:
        with pytest.raises(InvalidRequestError) as raised:
            client.predict("nope", {})
        assert raised.value.message == (
            "expected a signature of: compiled, double, generate, generate_chunk, score, "
            "serving_default, slow. Received: nope"
        )
        with pytest.raises(InvalidRequestError) as raised:
            client.predict("double", {"x": [[1, 2]], "w": 1})
        assert raised.value.message == "expected inputs of double: x. Received: w"


def test_signatures_are_asked_for_once_and_again_after_a_refusal(
    serve: Callable[..., Any],
) -> None:
    answer = Echo({"x": (types_pb2.DT_INT32, [-1])})
    stub = serve(answer)
    with Client(stub.address, timeout=20) as client:
        for _ in range(3):
            assert client.predict("echo", {"x": [1]}).outputs["x"].dtype == "int32"
        assert stub.calls.count(METADATA) == 1
        client.predict("echo", {"x": [1]}, version=6)
        assert stub.calls.count(METADATA) == 2
        # A newer version has another input: the first call that needs it is refused.
        answer.inputs = {"y": (types_pb2.DT_STRING, [-1])}
        with pytest.raises(InvalidRequestError, match="expected inputs of echo: x"):
            client.predict("echo", {"y": ["a"]})
        assert client.predict("echo", {"y": ["a"]}).outputs["y"].values == [b"a"]
        assert stub.calls.count(METADATA) == 3


def test_metadata_pairs_go_with_both_calls(serve: Callable[..., Any]) -> None:
    stub = serve(Echo({"x": (types_pb2.DT_INT32, [-1])}))
    pairs = [("authorization", "Bearer t")]
    with Client(stub.address, timeout=20) as client:
        client.predict("echo", {"x": [1]}, metadata=pairs)
        client.metadata(metadata=pairs)
    assert [sent["authorization"] for sent in stub.metadata] == ["Bearer t"] * 3


def test_one_deadline_holds_for_both_calls(serve: Callable[..., Any]) -> None:
    answer = Echo({"x": (types_pb2.DT_INT32, [-1])})
    answer.delay = 0.4
    stub = serve(answer)

    async def work() -> None:
        async with AsyncClient(stub.address) as client:
            await client.predict("echo", {"x": [1]}, timeout=0.6)

    for ask in (
        lambda: Client(stub.address).predict("echo", {"x": [1]}, timeout=0.6),
        lambda: asyncio.run(work()),
    ):
        stub.calls.clear()
        with pytest.raises(DeadlineError):
            ask()
        assert len(stub.calls) == 2


def test_outputs_that_cannot_be_read_are_named(serve: Callable[..., Any]) -> None:
    class Half(Echo):
        def predict(self, request: bytes) -> bytes:
            response = predict_pb2.PredictResponse()
            response.outputs["h"].CopyFrom(tf.make_tensor_proto(np.ones(2, np.float16)))
            return bytes(response.SerializeToString())

    stub = serve(Half({"x": (types_pb2.DT_INT32, [-1])}))
    with Client(stub.address, timeout=20) as client:
        with pytest.raises(ResponseError, match="h: expected a tensor of float32"):
            client.predict("echo", {})
        with pytest.raises(ResponseError, match=r"expected an output text\. Received: h"):
            client.generate("x")


def test_metadata_that_cannot_be_read_is_an_error_of_the_answer(
    serve: Callable[..., Any],
) -> None:
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].value = b"\xff\xff"
    stub = serve(lambda *_: bytes(response.SerializeToString()))
    with Client(stub.address, timeout=20) as client, pytest.raises(ResponseError, match="metadata"):
        client.metadata()


def test_a_text_model_that_answers_numbers_is_an_error_of_the_answer(
    serve: Callable[..., Any],
) -> None:
    response = predict_pb2.PredictResponse()
    for name in ("text", "num_tokens", "logprob"):
        response.outputs[name].CopyFrom(tf.make_tensor_proto([1], tf.int32))
    stub = serve(lambda *_: bytes(response.SerializeToString()))
    with Client(stub.address, timeout=20) as client:
        with pytest.raises(ResponseError, match=r"expected text to hold strings\. Received: int32"):
            client.generate("x")
        with pytest.raises(ResponseError, match=r"expected an output nll"):
            client.score("x")

"""Requests that arrive together run together, with TensorFlow Serving's limits and refusals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.server.batching_parameters import BatchingParameters


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Signatures that tell how many rows ran together."""
    import tensorflow as tf

    from serving.server.predict import LoadedModel

    path = tmp_path_factory.mktemp("batched") / "1"
    module = tf.Module()
    module.calls = tf.Variable(0, dtype=tf.int32)

    def signature(*inputs: Any) -> Callable[..., Any]:
        return tf.function(input_signature=list(inputs))

    @signature(tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([None], tf.string, "name"))
    def rows(x: Any, name: Any) -> Any:
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x >= 0), ["negative"])]):
            count = tf.fill(tf.shape(x), tf.size(x))
        return {"double": 2 * x, "name": tf.strings.join([name, "!"]), "rows": count}

    @signature(tf.TensorSpec([None, None], tf.int32, "x"))
    def wide(x: Any) -> Any:
        return {"sum": tf.reduce_sum(x, axis=1), "width": tf.fill(tf.shape(x)[:1], tf.shape(x)[1])}

    @signature(tf.TensorSpec([None], tf.float32, "x"))
    def total(x: Any) -> Any:
        return {"total": tf.reduce_sum(x)}

    @signature(tf.TensorSpec([None], tf.float32, "x"))
    def first(x: Any) -> Any:
        return {"first": x[:1]}

    @signature(tf.TensorSpec([None], tf.float64, "seconds"))
    def slow(seconds: Any) -> Any:
        end = tf.timestamp() + tf.reduce_max(seconds)
        rounds = tf.while_loop(lambda n: tf.timestamp() < end, lambda n: [n + 1], [0])[0]
        return {"rows": tf.fill(tf.shape(seconds), tf.size(seconds) + 0 * rounds)}

    signatures = {"rows": rows, "wide": wide, "total": total, "first": first, "slow": slow}
    for name, function in signatures.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(path), signatures=signatures)
    return LoadedModel(path)


def request(signature: str, **inputs: Any) -> Any:
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = "m", signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(np.asarray(value)))
    return message


def rows(*values: float) -> Any:
    import numpy as np

    names = np.array([b"n%g" % value for value in values], object)
    return request("rows", x=np.array(values, np.float32), name=names)


class Metrics:
    def __init__(self) -> None:
        self.sizes: list[tuple[str, int]] = []

    def batch(self, model: str, size: int) -> None:
        self.sizes.append((model, size))


@pytest.fixture
def together(model: Any) -> Iterator[Callable[..., list[Any]]]:
    """Predicts with several requests at the same time; outputs or errors in their order."""
    from serving.server.batching import Batcher
    from serving.server.errors import StatusError

    with futures.ThreadPoolExecutor(16) as pool:

        def together(
            parameters: BatchingParameters,
            *requests: Any,
            metrics: Metrics | None = None,
        ) -> list[Any]:
            batcher = Batcher(parameters, metrics=metrics)
            gate = threading.Barrier(len(requests))

            def predict(message: Any) -> Any:
                gate.wait()
                try:
                    return model.predict(message, batcher)[1]
                except StatusError as error:
                    return error.code.name, error.message

            return list(pool.map(predict, requests))

        yield together


def a_full_batch_of(size: int, **parameters: Any) -> BatchingParameters:
    """Runs when so many rows have come; the timeout is far beyond the tests' patience."""
    return BatchingParameters(
        max_batch_size=size, batch_timeout_micros=20_000_000, num_batch_threads=1, **parameters
    )


def test_requests_run_together_and_each_gets_its_own_rows(
    together: Callable[..., list[Any]],
) -> None:
    metrics = Metrics()
    answers = together(a_full_batch_of(4), rows(1), rows(2, 3), rows(4), metrics=metrics)
    assert [list(a["double"].float_val) for a in answers] == [[2], [4, 6], [8]]
    assert [list(a["name"].string_val) for a in answers] == [[b"n1!"], [b"n2!", b"n3!"], [b"n4!"]]
    assert [set(a["rows"].int_val) for a in answers] == [{4}, {4}, {4}]
    assert metrics.sizes == [("m", 4)]


def test_a_batch_that_does_not_fill_runs_after_the_timeout(
    together: Callable[..., list[Any]],
) -> None:
    parameters = BatchingParameters(max_batch_size=100, batch_timeout_micros=300_000)
    started = time.monotonic()
    answers = together(parameters, rows(1), rows(2))
    assert 0.25 < time.monotonic() - started < 10
    assert [list(a["rows"].int_val) for a in answers] == [[2], [2]]


def test_batches_are_padded_to_an_allowed_size_that_no_caller_sees(
    together: Callable[..., list[Any]],
) -> None:
    parameters = BatchingParameters(
        max_batch_size=8, batch_timeout_micros=200_000, allowed_batch_sizes=(1, 4, 8)
    )
    answers = together(parameters, rows(1), rows(2))
    assert [list(a["double"].float_val) for a in answers] == [[2], [4]]
    assert [list(a["rows"].int_val) for a in answers] == [[4], [4]]


def test_a_large_batch_runs_in_pieces_where_splitting_is_on(
    together: Callable[..., list[Any]],
) -> None:
    parameters = a_full_batch_of(5, max_execution_batch_size=2)
    answers = together(parameters, rows(1, 2, 3), rows(4, 5))
    assert [list(a["double"].float_val) for a in answers] == [[2, 4, 6], [8, 10]]
    assert {size for a in answers for size in a["rows"].int_val} == {2, 1}


def test_a_request_larger_than_a_batch_is_refused(together: Callable[..., list[Any]]) -> None:
    assert together(a_full_batch_of(2), rows(1, 2, 3)) == [
        ("INVALID_ARGUMENT", "Task size 3 is larger than maximum input batch size 2")
    ]


def test_inputs_of_unequal_length_are_refused(together: Callable[..., list[Any]]) -> None:
    import numpy as np

    uneven = request("rows", x=np.zeros(2, np.float32), name=np.array([b"one"], object))
    assert together(a_full_batch_of(2), uneven) == [
        (
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        )
    ]


def test_a_full_queue_is_unavailable(model: Any) -> None:
    from serving.server.batching import Batcher
    from serving.server.errors import StatusError

    parameters = BatchingParameters(max_batch_size=1, max_enqueued_batches=2, num_batch_threads=1)
    batcher = Batcher(parameters)
    with futures.ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(model.predict, request("slow", seconds=[1.0]), batcher) for _ in range(8)
        ]
        refused = [error for error in (one.exception() for one in sent) if error is not None]
    assert 4 <= len(refused) <= 6
    for error in refused:
        assert isinstance(error, StatusError)
        assert error.code == grpc.StatusCode.UNAVAILABLE
        assert error.message == (
            "The batch scheduling queue to which this task was submitted is full; currently 2 "
            "batches enqueued and max_enqueued_batches is 2"
        )


def test_a_refused_request_takes_its_batch_down_and_no_other(
    together: Callable[..., list[Any]],
) -> None:
    answers = together(a_full_batch_of(2), rows(-1), rows(2))
    assert answers == [("INVALID_ARGUMENT", "negative")] * 2
    assert list(together(a_full_batch_of(1), rows(2))[0]["double"].float_val) == [4]


def test_requests_of_different_widths_run_apart_and_fail_no_other(
    together: Callable[..., list[Any]],
) -> None:
    import numpy as np

    metrics = Metrics()
    narrow = request("wide", x=np.array([[1, 2]], np.int32))
    wide = request("wide", x=np.array([[5, 6, 7]], np.int32))
    # Both batches fill up, though their requests come in turns; one of each may wait.
    parameters = a_full_batch_of(2, max_enqueued_batches=1)
    answers = together(parameters, narrow, wide, narrow, wide, metrics=metrics)
    assert [list(a["sum"].int_val) for a in answers] == [[3], [18], [3], [18]]
    assert [list(a["width"].int_val) for a in answers] == [[2], [3], [2], [3]]
    assert metrics.sizes == [("m", 2)] * 2


def test_a_lone_width_waits_no_longer_than_the_timeout(
    together: Callable[..., list[Any]],
) -> None:
    import numpy as np

    widths = range(8)
    alone = [request("wide", x=np.ones((1, width), np.int32)) for width in widths]
    parameters = BatchingParameters(max_batch_size=100, batch_timeout_micros=200_000)
    started = time.monotonic()
    answers = together(parameters, *alone)
    assert time.monotonic() - started < 10
    assert [list(a["sum"].int_val) for a in answers] == [[width] for width in widths]


def test_padding_joins_requests_of_different_widths(together: Callable[..., list[Any]]) -> None:
    import numpy as np

    narrow = request("wide", x=np.array([[1, 2]], np.int32))
    wide = request("wide", x=np.array([[5, 6, 7]], np.int32))
    padded = a_full_batch_of(2, pad_variable_length_inputs=True)
    first, second = together(padded, narrow, wide)
    assert [list(first["sum"].int_val), list(second["sum"].int_val)] == [[1 + 2 + 1], [18]]
    assert list(first["width"].int_val) == [3]
    empty = request("wide", x=np.zeros((1, 0), np.int32))
    for code, message in together(padded, empty, wide):
        assert (code, message) == (
            "INVALID_ARGUMENT",
            "Got empty tensor in batch of non-empty tensors.",
        )


def test_what_has_no_rows_to_join_runs_alone(together: Callable[..., list[Any]]) -> None:
    """A scalar output has none, an output filter asks for other tensors, no rows need no batch."""
    import numpy as np

    alone = a_full_batch_of(100)
    (answer,) = together(alone, request("total", x=np.ones(3, np.float32)))
    assert list(answer["total"].float_val) == [3]
    filtered = rows(3)
    filtered.output_filter.append("double")
    (answer,) = together(alone, filtered)
    assert set(answer) == {"double"}
    (answer,) = together(alone, rows())
    assert list(answer["rows"].int_val) == []


def test_an_output_that_does_not_follow_the_rows_is_refused(
    together: Callable[..., list[Any]],
) -> None:
    import numpy as np

    one = request("first", x=np.ones(1, np.float32))
    message = (
        "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes "
        "of the input tensors"
    )
    assert together(a_full_batch_of(2), one, one) == [("FAILED_PRECONDITION", message)] * 2


def test_a_deadline_ends_the_wait_and_keeps_the_work_from_starting(model: Any) -> None:
    from serving.server.batching import Batcher
    from serving.server.errors import StatusError

    metrics = Metrics()
    batcher = Batcher(BatchingParameters(batch_timeout_micros=2_000_000), metrics=metrics)
    started = time.monotonic()
    with pytest.raises(StatusError, match="DEADLINE_EXCEEDED"):
        model.predict(rows(1), batcher, started + 0.1)
    assert time.monotonic() - started < 1.5
    # It still lies in the open batch; the one that follows runs without it.
    _, answer = model.predict(rows(2), batcher)
    assert list(answer["rows"].int_val) == [1]
    assert metrics.sizes == [("m", 1)]


def test_a_server_batches_when_it_is_told_to(
    tmp_path: Path,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
    predict: Callable[..., Any],
) -> None:
    from serving.client import Client

    file = tmp_path / "batching.txt"
    file.write_text("max_batch_size { value: 2 }\nbatch_timeout_micros { value: 30000000 }\n")
    base_path = tmp_path / "text"
    publish(saved_models["first"], base_path, 1)
    running = start_server(base_path, "--enable_batching", f"--batching_parameters_file={file}")
    with Client(running.address, model="text") as client:
        client.wait_until_available(60)

    def score(text: bytes) -> Any:
        tensor = {"dtype": 7, "tensor_shape": {"dim": [{"size": 1}]}, "string_val": [text]}
        return predict(running.address, "score", text=tensor)

    def score_without_deadline(text: bytes) -> Any:
        from serving.client import messages

        tensor = {"dtype": 7, "tensor_shape": {"dim": [{"size": 1}]}, "string_val": [text]}
        spec = messages.ModelSpec(name="text", signature_name="score")
        with grpc.insecure_channel(running.address) as channel:
            call = channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=messages.PredictResponse.FromString,
            )
            return call(messages.PredictRequest(model_spec=spec, inputs={"text": tensor}))

    # Neither is answered before the other has come, since the timeout is half a minute.
    started = time.monotonic()
    with futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(score, b"four"), pool.submit(score_without_deadline, b"seven")
    assert list(first.result().outputs["num_tokens"].int_val) == [5]
    assert list(second.result().outputs["num_tokens"].int_val) == [6]
    assert time.monotonic() - started < 20
    assert running.stop() == 0

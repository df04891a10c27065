"""Replays the requests that a model brings along, before it is announced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.errors import StatusError, invalid_argument
from serving.server.predict import LoadedModel

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
# TensorFlow Serving's kMaxNumRecords.
LIMIT = 1000


def warm_up(model: LoadedModel, path: Path, *, iterations: int = 1) -> int:
    """Runs every recorded request, so that the first caller meets a ready model.

    Args:
        model: the loaded model.
        path: its folder; without a file of requests nothing happens.
        iterations: how often each request is run.

    Returns:
        How many records were read.

    Raises:
        StatusError: the model refused a request, or the file is not one of at most 1000 requests.
    """
    file = path / WARMUP_FILE
    if not file.is_file():
        return 0
    count = 0
    for record in _records(file):
        run = _call(model, record, file)
        for _ in range(iterations):
            _run(run)
        count += 1
        if count > LIMIT:
            raise invalid_argument(
                f"Number of warmup records exceeds the maximum ({LIMIT}) at {file}"
            )
    return count


def _run(call: Callable[[], Any]) -> None:
    try:
        call()
    except StatusError as error:
        raise StatusError(error.code, f"warmup request failed: {error.message}") from error


def _records(file: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise StatusError(
            grpc.StatusCode.DATA_LOSS,
            f"{error.message}. Please verify your warmup data is in TFRecord format.",
        ) from None


def _call(model: LoadedModel, record: bytes, file: Path) -> Callable[[], Any]:
    """What a record asks of the model."""
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise invalid_argument(f"Failed to parse warmup record from {file}") from None
    kind = log.WhichOneof("log_type")
    if kind is None:
        return lambda: None
    calls: dict[str, Callable[[Any], Any]] = {
        "predict_log": model.predict,
        "classify_log": model.classify,
        "regress_log": model.regress,
        "multi_inference_log": model.multi_inference,
    }
    if kind not in calls:
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    return lambda: calls[kind](getattr(log, kind).request)

"""Replays the requests that a model brings along, before it is announced."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.predict import LoadedModel

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"


def warm_up(model: LoadedModel, path: Path) -> int:
    """Runs every recorded Predict request, so that the first caller meets a ready model.

    Args:
        model: the loaded model.
        path: its folder; without a file of requests nothing happens.

    Returns:
        How many requests were run.

    Raises:
        StatusError: the model refused one.
        tf.errors.OpError: the file cannot be read.
    """
    file = path / WARMUP_FILE
    if not file.is_file():
        return 0
    count = 0
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.HasField("predict_log"):
            model.predict(log.predict_log.request)
            count += 1
    return count

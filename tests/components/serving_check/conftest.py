"""A small model with its warmup requests, and copies of it that are planted to go wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Save = Callable[..., Path]


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Saves a model that turns a prompt and a seed into a text and a number.

    With `compiled`, XLA makes the number; `noise` is added to it.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    from components.artifacts import WARMUP_FILE

    class Toy(tf.Module):
        def __init__(self, compiled: bool, noise: float) -> None:
            super().__init__()
            self.noise = noise
            self.scale = tf.Variable(2.0)
            self.number = tf.function(self._number, autograph=False, jit_compile=compiled)

        def _number(self, seed: tf.Tensor) -> tf.Tensor:
            number = tf.math.sin(tf.cast(seed, tf.float32)) * self.scale
            if not self.noise:
                return number
            # Not `tf.random.normal`: that one follows the process's own seed, once one is set.
            return number + self.noise * tf.raw_ops.RandomStandardNormal(
                shape=tf.shape(seed), dtype=tf.float32
            )

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "prompt"),
                tf.TensorSpec([None], tf.int64, "seed"),
            ],
            autograph=False,
        )
        def answer(self, prompt: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
            checked = tf.debugging.Assert(tf.reduce_all(seed >= 0), ["seed must be 0 or more"])
            with tf.control_dependencies([checked]):
                number = self.number(seed)
            return {"text": tf.strings.join([prompt, tf.strings.as_string(seed)]), "score": number}

    def write(compiled: bool = False, noise: float = 0.0, warmup: bool = True) -> Path:
        module = Toy(compiled, noise)
        path = tmp_path_factory.mktemp("toy") / "saved_model"
        signatures = {"answer": module.answer, "serving_default": module.answer}
        tf.saved_model.save(module, str(path), signatures=signatures)
        if not warmup:
            return path
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = "answer"
        inputs: dict[str, Any] = {"prompt": np.array(["a", "b"], object)}
        inputs["seed"] = np.array([3, 4], np.int64)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        log = prediction_log_pb2.PredictLog(request=request)
        record = prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString()
        (path / WARMUP_FILE).parent.mkdir()
        with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
            writer.write(record)
        return path

    return write


@pytest.fixture(scope="session")
def toy(save: Save) -> Path:
    """One that works everywhere."""
    return save()

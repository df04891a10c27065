"""Warmup requests: what a model server sends itself before it announces a model as ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.artifacts import WARMUP_FILE

# Batch sizes for which the compiled export compiles; the others are padded to the next.
COMPILED_BATCHES = (1, 2, 4, 8, 16, 32)

Inputs = Mapping[str, npt.NDArray[np.generic]]


def write_warmup(saved_model: Path, compiled: bool) -> None:
    """Writes requests for every signature into a SavedModel.

    Args:
        saved_model: the folder.
        compiled: whether `generate` compiles once for each batch size, which is then done here.
    """
    write_requests(saved_model, _requests(compiled))


def write_requests(saved_model: Path, requests: Sequence[tuple[str, Inputs]]) -> None:
    """Writes requests, each a signature and its inputs, into a SavedModel."""
    path = saved_model / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            writer.write(_log(saved_model.name, signature, inputs).SerializeToString())


def _requests(compiled: bool) -> list[tuple[str, Inputs]]:
    texts = np.array(["", "The state of the Union"], object)
    requests: list[tuple[str, Inputs]] = [("score", {"text": texts}), ("tokenize", {"text": texts})]
    for batch in COMPILED_BATCHES if compiled else (1, 8):
        prompts = np.resize(texts[::-1], batch)
        for top_k in (50, 0):
            requests.append(("generate", generate_inputs(prompts, top_k)))
    # The first chunk and a later one; compiled, they share the loops of `generate`.
    for batch, generated in ((1, 0), (1, 2), (2, 2)):
        requests.append(("generate_chunk", _chunk_inputs(np.resize(texts[::-1], batch), generated)))
    return requests


def generate_inputs(prompts: npt.NDArray[np.object_], top_k: int) -> Inputs:
    """A short `generate` request with parameters that hold for every row."""
    return {
        "prompt": prompts,
        "max_new_tokens": np.array([4], np.int32),
        "temperature": np.array([0.8], np.float32),
        "top_k": np.array([top_k], np.int32),
        "top_p": np.array([0.95], np.float32),
        "seed": np.array([0], np.int64),
    }


def _chunk_inputs(prompts: npt.NDArray[np.object_], generated: int) -> Inputs:
    """A short `generate_chunk` request after so many tokens, which every vocabulary has."""
    return {
        **generate_inputs(prompts, top_k=50),
        "max_new_tokens": np.full(prompts.size, 8, np.int32),
        "generated": np.ones([prompts.size, generated], np.int32),
        "chunk_tokens": np.array([2], np.int32),
    }


def _log(model: str, signature: str, inputs: Inputs) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    log = prediction_log_pb2.PredictLog(request=request)
    return prediction_log_pb2.PredictionLog(predict_log=log)

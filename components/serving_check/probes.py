"""The requests that a model is checked with: its own warmup requests, and fixed ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.artifacts import WARMUP_FILE
from components.errors import ModelError
from components.serving_check.worker import encode

SEEDS = (1, 2, 3)
_PROMPTS = ["", "The state of the Union", "We ", "caf\u00e9 \u2603", "a"]
_SAMPLING: tuple[dict[str, Any], ...] = (
    {"temperature": 0.0, "top_k": 0, "top_p": 1.0},
    {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
    {"temperature": 1.3, "top_k": 0, "top_p": 0.9},
    # Refused, which every version must do.
    {"temperature": -1.0, "top_k": 0, "top_p": 1.0},
)
_KINDS = {
    "max_new_tokens": np.int32,
    "temperature": np.float32,
    "top_k": np.int32,
    "top_p": np.float32,
    "seed": np.int64,
    "chunk_tokens": np.int32,
}

Request = dict[str, Any]


def probes(model: Path) -> list[Request]:
    """All requests for a SavedModel, at least one for each signature.

    Each is `{"signature": name, "inputs": {name: tensor}}`, tensors as the worker encodes them.

    Raises:
        ModelError: it cannot be read, or no request is known for a signature.
    """
    signatures = _signatures(model)
    warmup = [request for request in _warmup(model) if request["signature"] in signatures]
    found = [*warmup, *_reseeded(warmup), *_varied(warmup)]
    for name, inputs in signatures.items():
        found += [{"signature": name, "inputs": values} for values in _text_inputs(inputs)]
    found += _of_aliases(signatures, found)
    asked = {request["signature"] for request in found}
    missing = sorted(set(signatures) - asked)
    if missing or not signatures:
        raise ModelError(
            f"expected warmup requests for every signature in {model / WARMUP_FILE}. Received: "
            f"none for {', '.join(missing) or 'any, there is no signature'}"
        )
    return found


def _signatures(model: Path) -> dict[str, frozenset[str]]:
    """The names of each signature's inputs."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        saved = SavedModel.FromString((model / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"expected a readable SavedModel at {model}. Received: {error}") from None
    graphs = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    return {
        name: frozenset(definition.inputs)
        for graph in graphs[:1]
        for name, definition in sorted(graph.signature_def.items())
        if not name.startswith("__")
    }


def _warmup(model: Path) -> Iterator[Request]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = model / WARMUP_FILE
    if not path.is_file():
        return
    try:
        for record in tf.data.TFRecordDataset(str(path)):
            request = PredictionLog.FromString(record.numpy()).predict_log.request
            inputs = {
                name: encode(tf.make_ndarray(request.inputs[name])) for name in request.inputs
            }
            yield {"signature": request.model_spec.signature_name, "inputs": inputs}
    except (tf.errors.OpError, DecodeError, TypeError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise ModelError(f"expected warmup requests in {path}. Received: {line}") from None


def _reseeded(requests: list[Request]) -> Iterator[Request]:
    """The first request of each signature that takes a seed, with others."""
    seen = set()
    for request in requests:
        seed = request["inputs"].get("seed")
        if seed is None or request["signature"] in seen:
            continue
        seen.add(request["signature"])
        for value in SEEDS:
            other = {**seed, "values": [value] * len(seed["values"])}
            yield {**request, "inputs": {**request["inputs"], "seed": other}}


def _varied(requests: list[Request]) -> Iterator[Request]:
    """The first request of each signature of images or tables, with other inputs.

    Some are refused, which every version must do.
    """
    seen = set()
    for request in requests:
        inputs, name = request["inputs"], request["signature"]
        if name in seen:
            continue
        seen.add(name)
        for changes in (*_image_changes(inputs), *_table_changes(inputs)):
            yield {**request, "inputs": {**inputs, **changes}}


def _image_changes(inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Other inputs for the signatures of image models; nothing for others."""
    if {"label", "seed"} <= set(inputs):
        rows = len(inputs["label"]["values"])
        yield {"label": _strings([""] * rows)}
        yield {"label": _strings(["no class has this name"] * rows)}
        for name in sorted(set(inputs) - {"label", "seed"}):
            # Of the family's choice, and out of any range.
            yield {name: encode(np.array([np.nan], np.float32))}
            yield {name: encode(np.array([-1e9], np.float32))}
    if "image" in inputs:
        yield {"image": _strings(["no image"] * len(inputs["image"]["values"]))}


def _table_changes(inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Other inputs for the signatures of table models; nothing for others."""
    if not {"num_rows", "conditions"} <= set(inputs):
        return
    yield {"num_rows": encode(np.array([7], np.int32))}
    yield {"num_rows": encode(np.array([-1], np.int32))}
    yield {"conditions": _strings(["no column has this name=1"])}
    if "temperature" in inputs:
        for temperature in (0.5, -1.0):
            yield {"temperature": encode(np.array([temperature], np.float32))}


def _text_inputs(names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Fixed inputs for the signatures of text models; nothing for others."""
    if names == {"text"}:
        for texts in (["The state of the Union is strong."], _PROMPTS, [" ".join(_PROMPTS * 20)]):
            yield {"text": _strings(texts)}
    sampled = {"max_new_tokens", "temperature", "top_k", "top_p", "seed"}
    if names not in ({"prompt", *sampled}, {"prompt", "generated", "chunk_tokens", *sampled}):
        return
    for prompts in (_PROMPTS[1:2], _PROMPTS):
        for seed, settings in enumerate(_SAMPLING):
            values = {"max_new_tokens": 24, "seed": seed, "chunk_tokens": 5, **settings}
            inputs = {
                name: encode(np.array([value], _KINDS[name]))
                for name, value in values.items()
                if name in names
            }
            inputs["prompt"] = _strings(prompts)
            if "generated" in names:
                inputs["generated"] = encode(_generated(len(prompts)))
            yield inputs


def _generated(rows: int) -> np.ndarray[Any, Any]:
    """Tokens so far, int32 [rows, 4]: from none to all four; every vocabulary has them."""
    tokens = np.tile(np.array([102, 117, 33, 98], np.int32), [rows, 1])
    tokens[np.arange(4) >= (np.arange(rows)[:, np.newaxis] + 2) % 5] = -1
    return tokens


def _strings(texts: list[str]) -> dict[str, Any]:
    return encode(np.array([text.encode() for text in texts], object))


def _of_aliases(
    signatures: dict[str, frozenset[str]], requests: list[Request]
) -> Iterator[Request]:
    """Requests of a signature with the same inputs, for those that have none."""
    asked = {request["signature"] for request in requests}
    for name in sorted(set(signatures) - asked):
        twins = [other for other in asked if signatures[other] == signatures[name]]
        for request in requests:
            if twins and request["signature"] == min(twins):
                yield {**request, "signature": name}

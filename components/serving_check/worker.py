"""Runs requests through a SavedModel's signatures and writes down the answers.

    python -I worker.py MODEL REQUESTS RESULTS [--without-xla]

It stands alone, because it runs in environments that have TensorFlow and little else. Requests and
results are JSON; a tensor is `{"dtype": ..., "shape": [...], "values": [...]}`, strings in base64.
"""

from __future__ import annotations

import base64
import ctypes
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 8
_DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"


def encode(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array as JSON; float32 survives the way exactly."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        texts = [item.encode() if isinstance(item, str) else bytes(item) for item in array.flat]
        values: list[Any] = [base64.b64encode(text).decode() for text in texts]
        return {"dtype": "string", "shape": list(array.shape), "values": values}
    values = array.reshape(-1).tolist()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": values}


def decode(tensor: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The inverse of `encode`; strings are bytes in an array of objects."""
    if tensor["dtype"] == "string":
        array = np.empty(len(tensor["values"]), object)
        array[:] = [base64.b64decode(value) for value in tensor["values"]]
    else:
        array = np.array(tensor["values"], tensor["dtype"])
    return array.reshape(tensor["shape"])


def disable_xla(tensorflow_folder: Path) -> None:
    """Turns XLA off for this process by the function that TensorFlow Serving's main calls."""
    found = sorted(tensorflow_folder.glob("libtensorflow_cc.so*"))
    getattr(ctypes.CDLL(str(found[0])), _DISABLE_XLA)()


def answer(tf: Any, signatures: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Outputs of one request, or how it was refused."""
    inputs = {}
    for name, tensor in request["inputs"].items():
        dtype = tf.dtypes.as_dtype(tensor["dtype"])
        inputs[name] = tf.constant(decode(tensor), dtype, shape=tensor["shape"])
    try:
        outputs = signatures[request["signature"]](**inputs)
    except tf.errors.OpError as error:
        return {"error": type(error).__name__, "message": _line(error)}
    return {"outputs": {name: encode(outputs[name].numpy()) for name in sorted(outputs)}}


def run(model: str, requests: list[dict[str, Any]], without_xla: bool) -> dict[str, Any]:
    """Loads the model and answers the requests, one by one and then from several threads.

    Returns:
        `tensorflow`, its version; `problem` where the model cannot be loaded; otherwise `answers`,
        as many as requests, each with `seconds` and `concurrent`: what other threads got instead.
    """
    import tensorflow as tf

    result: dict[str, Any] = {"tensorflow": tf.__version__}
    try:
        if without_xla:
            disable_xla(Path(tf.__file__).parent)
        signatures = tf.saved_model.load(model).signatures
    # Whatever stops the model from loading is the result.
    except Exception as error:
        return {**result, "problem": _line(error)}
    answers = []
    for place, request in enumerate(requests):
        started = time.monotonic()
        found = answer(tf, signatures, request)
        answers.append({**found, "seconds": time.monotonic() - started, "concurrent": []})
        if place % 10 == 9:
            print(f"progress: TensorFlow {tf.__version__}: {place + 1} requests", flush=True)
    order = [place for place in range(len(requests)) for _ in range(2)]
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(THREADS) as pool:
        others = list(pool.map(lambda place: answer(tf, signatures, requests[place]), order))
    for place, other in zip(order, others, strict=True):
        alone = {name: answers[place][name] for name in other if name in answers[place]}
        if other != alone and other not in answers[place]["concurrent"]:
            answers[place]["concurrent"].append(other)
    return {**result, "answers": answers}


def _line(error: Exception) -> str:
    """The first lines of a message, as one, without the graph's own trace."""
    return " ".join(str(error).split())[:400]


def main(arguments: list[str]) -> None:
    """Reads the requests, writes the results beside their place and then to it."""
    model, requests, results = arguments[:3]
    found = run(model, json.loads(Path(requests).read_text()), "--without-xla" in arguments)
    partial = Path(results + ".part")
    partial.write_text(json.dumps(found))
    partial.replace(results)


if __name__ == "__main__":
    main(sys.argv[1:])

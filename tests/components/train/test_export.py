"""The SavedModel is portable, self-contained, warm, and clear about bad requests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from components.errors import ModelError
from components.train.decoding_weights import fold
from components.train.warmup import WARMUP_FILE

ALONE = """
import ctypes, glob, json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

if sys.argv[2] == "without-xla":
    folder = os.path.dirname(tf.__file__)
    library = ctypes.CDLL(glob.glob(os.path.join(folder, "libtensorflow_cc.so*"))[0])
    library._ZN10tensorflow21DisableXlaCompilationEv()
assert not any(name.split(".")[0] in ("components", "loomline") for name in sys.modules)
model = tf.saved_model.load(sys.argv[1])
result = model.signatures["generate"](
    prompt=tf.constant(["the state", ""]),
    max_new_tokens=tf.constant([8]),
    temperature=tf.constant([0.0]),
    top_k=tf.constant([0]),
    top_p=tf.constant([1.0]),
    seed=tf.constant([0], tf.int64),
)
nll = model.signatures["score"](text=tf.constant(["the state"]))["nll"]
print(json.dumps([[text.hex() for text in result["text"].numpy()], float(nll[0])]))
"""


def run_alone(path: Path, mode: str) -> subprocess.CompletedProcess[str]:
    """Loads and runs a model in a process that cannot see this repository."""
    hidden = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ALONE, str(path), mode]
    return subprocess.run(
        command, cwd=path, env=hidden, capture_output=True, text=True, timeout=120, check=False
    )


def nodes(path: Path) -> Iterator[NodeDef]:
    """Every node of every function of a SavedModel."""
    saved = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for graph in saved.meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def


def test_the_portable_export_holds_no_xla(portable_path: Path) -> None:
    found = list(nodes(portable_path))
    assert len(found) > 500
    assert not {node.op for node in found if node.op.startswith("Xla")}
    assert not [node.name for node in found if node.attr["_XlaMustCompile"].b]


def test_the_portable_export_runs_alone_where_xla_is_disabled(
    portable_path: Path, tmp_path: Path, generate: Any
) -> None:
    moved = shutil.copytree(portable_path, tmp_path / "elsewhere")
    result = run_alone(moved, "without-xla")
    assert result.returncode == 0, result.stderr
    texts, nll = json.loads(result.stdout.splitlines()[-1])
    assert [bytes.fromhex(text) for text in texts] == list(generate(["the state", ""])["text"])
    assert nll > 0


def test_the_compiled_export_fails_where_xla_is_disabled(compiled_path: Path) -> None:
    """So the symbol does what the test above takes it for."""
    result = run_alone(compiled_path, "without-xla")
    assert result.returncode != 0
    assert "XLA" in result.stderr


@pytest.mark.parametrize("compiled", [False, True])
def test_warmup_requests_are_answered(
    compiled: bool, portable_path: Path, compiled_path: Path
) -> None:
    path = compiled_path if compiled else portable_path
    model = tf.saved_model.load(str(portable_path))
    seen = set()
    for record in tf.data.TFRecordDataset(str(path / WARMUP_FILE)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        name = request.model_spec.signature_name
        seen.add(name)
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        model.signatures[name](**inputs)
    assert seen == {"generate", "score", "tokenize"}


BAD_REQUESTS = [
    ({"max_new_tokens": 0}, "max_new_tokens must be 1 or more. Received: 0"),
    ({"max_new_tokens": -1}, "max_new_tokens must be 1 or more. Received: -1"),
    ({"temperature": float("nan")}, "temperature must be finite, 0 or more. Received: nan"),
    ({"temperature": float("inf")}, "temperature must be finite, 0 or more. Received: inf"),
    ({"temperature": -0.5}, "temperature must be finite, 0 or more. Received: -0.5"),
    ({"top_k": -1}, "top_k must be 0 for no limit, or more. Received: -1"),
    ({"top_p": 0.0}, "top_p must be above 0, at most 1. Received: 0"),
    ({"top_p": float("nan")}, "top_p must be above 0, at most 1. Received: nan"),
    ({"seed": [1, 2, 3]}, "seed has 3 values for 2 prompts; send 1 or as many"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_REQUESTS)
def test_a_bad_parameter_is_named(generate: Any, parameters: Any, message: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="assertion failed") as error:
        generate(["the state", "a"], **parameters)
    assert message in error.value.message


def test_a_bad_value_in_one_row_is_found(generate: Any) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"top_p must be .* Received: 2"):
        generate(["the state", "a"], top_p=[0.5, 2.0])


def test_a_prompt_beyond_the_context_is_refused(generate: Any) -> None:
    generate(["q" * 15])
    message = "prompt has 21 tokens, at most 15 fit the context of 16; shorten it"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        generate(["q" * 15, "q" * 21])


def test_weights_of_another_model_are_refused(decoder_weights: dict[str, Any]) -> None:
    missing = {name: value for name, value in decoder_weights.items() if name != "final_norm"}
    with pytest.raises(ModelError, match="final_norm"):
        fold(missing, 2)
    with pytest.raises(ModelError, match="heads that divide the width 12"):
        fold(decoder_weights, 5)
    wrong = {**decoder_weights, "blocks.1.qkv": decoder_weights["blocks.1.qkv"][:, :-1]}
    with pytest.raises(ModelError, match=r"expected blocks.1.qkv of shape \(12, 36\)"):
        fold(wrong, 2)

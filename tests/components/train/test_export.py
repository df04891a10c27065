"""The SavedModel is portable, self-contained, warm, and clear about bad requests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from components.artifacts import WARMUP_FILE, Examples, TransformedExamples
from components.errors import ModelError
from components.ingest.ingest import run as ingest
from components.ingest.options import IngestOptions
from components.train.decoding_weights import fold
from components.train.export import export_text
from components.transform.load import load_transform
from components.transform.options import TransformOptions
from components.transform.transform import run as transform

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


def test_many_threads_get_what_one_thread_gets(portable_path: Path) -> None:
    """The cache is written in place, so a buffer shared between calls would show here."""
    generate = tf.saved_model.load(str(portable_path)).signatures["generate"]

    def answer(prompts: list[str], tokens: int, temperature: float) -> list[Any]:
        found = generate(
            prompt=tf.constant(prompts),
            max_new_tokens=tf.constant([tokens]),
            temperature=tf.constant([temperature]),
            top_k=tf.constant([0]),
            top_p=tf.constant([1.0]),
            seed=tf.constant([3], tf.int64),
        )
        return [found["text"].numpy().tolist(), found["logprob"].numpy().round(4).tolist()]

    requests = [
        (prompts, tokens, temperature)
        for prompts in ([""], ["the"], ["", "the state", "a"])
        for tokens in (1, 2, 9)
        for temperature in (0.0, 1.0)
    ]
    alone = [answer(*request) for request in requests]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda request: answer(*request), requests * 8))
    assert together == alone * 8


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
    assert seen == {"generate", "generate_chunk", "score", "tokenize"}


SERVE = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
texts = tf.constant(json.load(sys.stdin))
one = lambda value, kind: tf.constant([value], kind)
calls = {
    "generate": dict(
        prompt=tf.constant(["we meet"]), max_new_tokens=one(8, tf.int32),
        temperature=one(0.0, tf.float32), top_k=one(0, tf.int32), top_p=one(1.0, tf.float32),
        seed=one(0, tf.int64),
    ),
    "score": dict(text=texts),
    "tokenize": dict(text=texts),
}
found = {}
for name, inputs in calls.items():
    outputs = model.signatures[name](**inputs)
    found |= {f"{name}.{key}": outputs[key].numpy() for key in outputs}
text = found.pop("generate.text")[0].decode()
print(json.dumps({"text": text, **{name: value.tolist() for name, value in found.items()}}))
"""


@pytest.mark.slow
def test_the_transform_steps_own_graph_is_served_after_it_is_gone(
    decoder_weights: dict[str, Any], reference: Any, tmp_path: Path
) -> None:
    """Tokens as they were trained on, row by row, and what the model makes of them."""
    texts = {"1.txt": "we meet again and again\n", "2.txt": "again we met, and the union stands\n"}
    (tmp_path / "source").mkdir()
    for name, text in texts.items():
        (tmp_path / "source" / name).write_text(text * 3, "utf-8")
    examples, graph = Examples(tmp_path / "examples"), tmp_path / "graph"
    ingest(IngestOptions(source=str(tmp_path / "source"), eval_percent=50), examples.path)
    transformed = TransformedExamples(tmp_path / "transformed")
    size = transform(examples.path, TransformOptions(vocabulary_size=280), graph, transformed.path)
    learned = size["vocabulary_size"]
    assert learned > 257
    random = np.random.default_rng(1)
    weights = {
        **decoder_weights,
        "token_embedding": random.normal(0, 0.3, (learned, 12)).astype(np.float32),
    }
    export_text(weights, heads=2, graph=graph, destination=tmp_path / "model")
    trained_on = dict(trained_tokens(transformed))
    rows = {
        row["example_id"]: row["text"]
        for split in ("train", "eval")
        for batch in examples.batches(split)
        for row in batch.to_pylist()
    }
    tokenizer = load_transform(graph)
    prompt = tokenizer.tokenize(tf.constant(["we meet"])).to_list()[0]
    for folder in ("graph", "transformed", "examples", "source"):
        (tmp_path / folder).rename(tmp_path / f"gone-{folder}")
    served = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model")],
        input=json.dumps(list(rows.values())),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(served.stdout.splitlines()[-1])
    tokens = [[token for token in row if token >= 0] for row in found["tokenize.tokens"]]
    assert tokens == [trained_on[example_id] for example_id in rows]
    plain = type(reference)(weights, 2)
    assert found["score.nll"] == pytest.approx([plain.nll(row) for row in tokens], rel=2e-5)
    greedy, logprob = plain.greedy(prompt, 8)
    kept = [token for token in greedy if token]
    text = tokenizer.detokenize(tf.ragged.constant([kept], tf.int32)).numpy()[0]
    assert found["text"] == text.decode()
    assert found["generate.logprob"] == pytest.approx([logprob], abs=2e-4)


def trained_tokens(transformed: TransformedExamples) -> Iterator[tuple[str, list[int]]]:
    """The tokens that training reads, by example_id."""
    for split in ("train", "eval"):
        for record in tf.data.TFRecordDataset(list(map(str, transformed.shards(split)))):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            name = features["example_id"].bytes_list.value[0].decode()
            yield name, list(features["tokens"].int64_list.value)


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

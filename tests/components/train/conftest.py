"""A small decoder with random weights, exported, and the same decoder in plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HEADS = 2
CONTEXT = 16
SUBWORDS = [b"the", b" of", b" state", b"union", b"peo", b"ple", b" con"]

Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


def _random_weights() -> Weights:
    width, vocabulary, layers = 12, 257 + len(SUBWORDS), 2
    random = np.random.default_rng(7)

    def matrix(*shape: int) -> Any:
        return random.normal(0, 0.3, shape).astype(np.float32)

    def scale() -> Any:
        return random.uniform(0.5, 1.5, width).astype(np.float32)

    weights = {
        "token_embedding": matrix(vocabulary, width),
        "position_embedding": matrix(CONTEXT, width),
        "final_norm": scale(),
    }
    for index in range(layers):
        weights[f"blocks.{index}.attention_norm"] = scale()
        weights[f"blocks.{index}.qkv"] = matrix(width, 3 * width)
        weights[f"blocks.{index}.project"] = matrix(width, width)
        weights[f"blocks.{index}.mlp_norm"] = scale()
        weights[f"blocks.{index}.expand"] = matrix(width, 4 * width)
        weights[f"blocks.{index}.contract"] = matrix(4 * width, width)
    return weights


class Reference:
    """The architecture spelled out, in float64 and without a cache."""

    def __init__(self, weights: Weights, heads: int) -> None:
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self.heads = heads
        self.context = weights["position_embedding"].shape[0]

    def log_probabilities(self, tokens: list[int]) -> Any:
        """Of the token after each of `tokens`: [len(tokens), V]."""
        w = self.weights
        x = w["token_embedding"][tokens] + w["position_embedding"][: len(tokens)]
        for index in range(sum(name.endswith(".qkv") for name in w)):
            block = {name: w[f"blocks.{index}.{name}"] for name in self._names()}
            x = (
                x
                + self._attend(_norm(x, block["attention_norm"]) @ block["qkv"]) @ block["project"]
            )
            hidden = _norm(x, block["mlp_norm"]) @ block["expand"]
            gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
            x = x + gelu @ block["contract"]
        logits = _norm(x, w["final_norm"]) @ w["token_embedding"].T
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    @staticmethod
    def _names() -> list[str]:
        return ["attention_norm", "qkv", "project", "mlp_norm", "expand", "contract"]

    def _attend(self, qkv: Any) -> Any:
        length, width = qkv.shape[0], qkv.shape[1] // 3
        heads = []
        size = width // self.heads
        for start in range(0, width, size):
            query, key, value = (
                qkv[:, part * width + start : part * width + start + size] for part in range(3)
            )
            scores = query @ key.T / math.sqrt(size)
            scores[np.triu_indices(length, 1)] = -np.inf
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(shares / shares.sum(-1, keepdims=True) @ value)
        return np.concatenate(heads, axis=1)

    def greedy(self, prompt: list[int], most: int) -> tuple[list[int], float]:
        """New tokens, a final end-of-text among them if it came, and their log-probability."""
        tokens, total, new = [0, *prompt], 0.0, []
        while len(new) < most and len(tokens) <= self.context:
            last = self.log_probabilities(tokens)[-1]
            new.append(int(last.argmax()))
            total += last[new[-1]]
            tokens.append(new[-1])
            if new[-1] == 0:
                break
        return new, total

    def nll(self, tokens: list[int]) -> float:
        """Of the tokens and the end-of-text, read in half-overlapping windows."""
        inputs, targets = [0, *tokens], [*tokens, 0]
        total = 0.0
        counted = 0
        start = 0
        while counted < len(targets):
            window = slice(start, start + self.context)
            log_probabilities = self.log_probabilities(inputs[window])
            for offset, target in enumerate(targets[window]):
                if start + offset >= counted:
                    total -= log_probabilities[offset, target]
                    counted += 1
            start += self.context // 2
        return total


def _norm(x: Any, scale: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale


@pytest.fixture(scope="session")
def decoder_weights() -> Weights:
    """A decoder of 2 blocks, width 12, context 16; heads: 2."""
    return _random_weights()


@pytest.fixture(scope="session")
def reference(decoder_weights: Weights) -> Reference:
    return Reference(decoder_weights, HEADS)


@pytest.fixture(scope="session")
def subwords_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary file."""
    path = tmp_path_factory.mktemp("vocabulary") / "subwords"
    path.write_bytes(b"".join(subword + b"\n" for subword in SUBWORDS))
    return path


def _export(weights: Weights, vocabulary: Path, destination: Path, compiled: bool) -> Path:
    from components.train.decoding import TextDecoder
    from components.train.decoding_weights import fold
    from components.train.export import TextModel, save_model
    from components.transform.tokenizer import Tokenizer

    decoder = TextDecoder(fold(weights, HEADS))
    save_model(TextModel(decoder, Tokenizer(vocabulary), compiled=compiled), destination)
    return destination


@pytest.fixture(scope="session")
def portable_path(
    decoder_weights: Weights, subwords_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The decoder as a portable SavedModel."""
    destination = tmp_path_factory.mktemp("portable") / "1"
    return _export(decoder_weights, subwords_file, destination, compiled=False)


@pytest.fixture(scope="session")
def compiled_path(
    decoder_weights: Weights, subwords_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The decoder as a SavedModel whose decoding loop XLA compiles."""
    destination = tmp_path_factory.mktemp("compiled") / "1"
    return _export(decoder_weights, subwords_file, destination, compiled=True)


Generate = Callable[..., dict[str, Any]]
DEFAULTS = {"max_new_tokens": 8, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}
KINDS = {
    "max_new_tokens": np.int32,
    "temperature": np.float32,
    "top_k": np.int32,
    "top_p": np.float32,
    "seed": np.int64,
    "chunk_tokens": np.int32,
}


def _call_with(path: Path, name: str, defaults: dict[str, Any]) -> Generate:
    import tensorflow as tf

    signature = tf.saved_model.load(str(path)).signatures[name]

    def call(prompts: list[str], generated: Any = None, **parameters: Any) -> dict[str, Any]:
        inputs = {"prompt": tf.constant(prompts, tf.string)}
        if generated is not None:
            inputs["generated"] = tf.constant(np.asarray(generated, np.int32))
        for parameter, default in defaults.items():
            values = np.atleast_1d(parameters.get(parameter, default))
            inputs[parameter] = tf.constant(values.astype(KINDS[parameter]))
        return {output: value.numpy() for output, value in signature(**inputs).items()}

    return call


@pytest.fixture(scope="session")
def generate(portable_path: Path) -> Generate:
    """Calls `generate` of the portable model: prompts, and parameters that differ from greedy."""
    return _call_with(portable_path, "generate", DEFAULTS)


@pytest.fixture(scope="session")
def generate_compiled(compiled_path: Path) -> Generate:
    """Calls `generate` of the compiled model."""
    return _call_with(compiled_path, "generate", DEFAULTS)


@pytest.fixture(scope="session")
def chunk(portable_path: Path) -> Generate:
    """Calls `generate_chunk` of the portable model: prompts, tokens so far, and parameters."""
    return _call_with(portable_path, "generate_chunk", {**DEFAULTS, "chunk_tokens": 3})


@pytest.fixture(scope="session")
def chunk_compiled(compiled_path: Path) -> Generate:
    """Calls `generate_chunk` of the compiled model."""
    return _call_with(compiled_path, "generate_chunk", {**DEFAULTS, "chunk_tokens": 3})


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `transformed` and `graph`, as the transform step writes them; 272 tokens."""
    from components.ingest.ingest import run as ingest
    from components.ingest.options import IngestOptions
    from components.transform.options import TransformOptions
    from components.transform.transform import run as transform

    folder = tmp_path_factory.mktemp("data")
    (folder / "source").mkdir()
    random = np.random.default_rng(0)
    words = ["we", "meet", "again", "and", "the", "union", "stands", "strong"]
    for index in range(12):
        text = " ".join(random.choice(words, 60))
        (folder / "source" / f"{index}.txt").write_text(text, "utf-8")
    ingest(IngestOptions(source=str(folder / "source"), eval_percent=40), folder / "examples")
    options = TransformOptions(vocabulary_size=272)
    transform(folder / "examples", options, folder / "graph", folder / "transformed")
    return folder

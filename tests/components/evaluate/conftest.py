"""A tiny real model with the served signatures, and tiny real examples."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import EVAL, TRAIN, Examples, ExamplesManifest, Model, SplitInfo

_SUBJECTS = ("the Congress", "the Treasury", "the Navy", "our commerce", "the public debt")
_VERBS = ("has reduced", "must consider", "will extend", "has approved", "should protect")
_OBJECTS = ("the appropriations", "a treaty with Spain", "the tariff", "new railways", "the ports")


def sentences(count: int, seed: int) -> list[str]:
    """Paragraphs of two or three sentences that share set phrases, as addresses do."""
    draw = np.random.default_rng(seed)

    def sentence() -> str:
        words = [draw.choice(part) for part in (_SUBJECTS, _VERBS, _OBJECTS)]
        text = f"{words[0]} {words[1]} {words[2]} in {draw.integers(1900, 1960)}."
        return text[0].upper() + text[1:]

    return [" ".join(sentence() for _ in range(draw.integers(2, 4))) for _ in range(count)]


def write_examples(path: Path, splits: dict[str, list[tuple[str, str]]]) -> Path:
    """Writes examples from (document_id, text) pairs."""
    examples = Examples(path)
    infos = {}
    for split, rows in splits.items():
        (path / split).mkdir(parents=True)
        table = pa.table(
            {
                "example_id": [f"{split}-{place}" for place in range(len(rows))],
                "document_id": [document for document, _ in rows],
                "text": [text for _, text in rows],
            },
            schema=pa.schema(
                [(name, pa.string()) for name in ("example_id", "document_id", "text")]
            ),
        )
        pq.write_table(table, examples.shard_path(split, 0))
        size = sum(len(text.encode()) for _, text in rows)
        infos[split] = SplitInfo(len(rows), size, None, None)
    examples.write_manifest(ExamplesManifest("test", "digest", infos, {"text": "string"}))
    return path


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = sentences(260, seed=1)
    rows = [(f"document-{place // 20}", text) for place, text in enumerate(texts)]
    rows[-1] = (rows[-1][0], "<script>alert('x')</script> & Señor Łukasz said: " + rows[-1][1])
    return write_examples(
        tmp_path_factory.mktemp("examples") / "examples", {TRAIN: rows[:200], EVAL: rows[200:]}
    )


@pytest.fixture(scope="session")
def train_texts(examples: Path) -> list[str]:
    return [
        text
        for batch in Examples(examples).batches(TRAIN, ["text"])
        for text in batch.column("text").to_pylist()
    ]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, train_texts: list[str]) -> Path:
    """A byte bigram model learned from the training texts."""
    path = tmp_path_factory.mktemp("model") / "model"
    export_bigram(bigram(train_texts, smoothing=0.05), path)
    history = [
        {"step": 10 * step, "seconds": 2.0 * step, "loss": 2.0, "eval_loss": 3.0 * step**-0.3}
        for step in range(1, 9)
    ]
    Model(path).write_card(
        {"options": {"context": 256, "layers": 1, "width": 1}, "history": history}
    )
    return path


@pytest.fixture(scope="session")
def weaker(tmp_path_factory: pytest.TempPathFactory, train_texts: list[str]) -> Path:
    """A bigram that learned from a few texts only."""
    path = tmp_path_factory.mktemp("weaker") / "model"
    export_bigram(bigram(train_texts[:5], smoothing=0.5), path)
    return path


@pytest.fixture(scope="session")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose weights are not numbers."""
    path = tmp_path_factory.mktemp("diverged") / "model"
    export_bigram(np.full((257, 257), np.nan, np.float32), path)
    return path


@pytest.fixture(scope="session")
def one_split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples without held-out rows."""
    path = tmp_path_factory.mktemp("one") / "examples"
    return write_examples(path, {TRAIN: [("d", "one text")], EVAL: []})


@pytest.fixture(scope="session")
def spent_bits(examples: Path, train_texts: list[str]) -> float:
    """Bits of all held-out texts under `model`, added up plainly."""
    table = bigram(train_texts, smoothing=0.05)
    return sum(
        bits(table, text)
        for batch in Examples(examples).batches(EVAL, ["text"])
        for text in batch.column("text").to_pylist()
    )


def bigram(texts: list[str], smoothing: float) -> np.ndarray:
    """Log-probabilities [257, 257] of a token after another; 0 is the end, byte b is b + 1."""
    counts = np.full((257, 257), smoothing)
    for text in texts:
        tokens = [0, *(byte + 1 for byte in text.encode()), 0]
        np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)


def bits(table: np.ndarray, text: str) -> float:
    """What a text and its end cost under the bigram, in bits."""
    tokens = [0, *(byte + 1 for byte in text.encode()), 0]
    return float(-table[tokens[:-1], tokens[1:]].astype(np.float64).sum() / math.log(2))


def export_bigram(table: np.ndarray, path: Path) -> None:
    """Writes it with the signatures of a served text model."""
    import tensorflow as tf

    class Bigram(tf.Module):
        def __init__(self) -> None:
            self.table = tf.Variable(table)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
        def tokenize(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            lengths = tf.strings.length(text)
            width = tf.reduce_max(tf.concat([lengths, [1]], 0))
            raw = tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=width), tf.int32) + 1
            inside = tf.sequence_mask(lengths, width)
            return {"tokens": tf.where(inside, raw, -1), "num_tokens": lengths}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
        def score(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            found = self.tokenize(text)
            tokens = tf.maximum(found["tokens"], 0)
            edge = tf.zeros_like(tokens[:, :1])
            before = tf.concat([edge, tokens], 1)
            after = tf.concat([tokens, edge], 1)
            steps = tf.gather_nd(self.table, tf.stack([before, after], -1))
            counts = found["num_tokens"] + 1
            inside = tf.sequence_mask(counts, tf.shape(steps)[1])
            return {
                "nll": -tf.reduce_sum(tf.where(inside, steps, 0.0), 1),
                "num_tokens": counts,
            }

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "prompt"),
                tf.TensorSpec([None], tf.int32, "max_new_tokens"),
                tf.TensorSpec([None], tf.float32, "temperature"),
                tf.TensorSpec([None], tf.int32, "top_k"),
                tf.TensorSpec([None], tf.float32, "top_p"),
                tf.TensorSpec([None], tf.int64, "seed"),
            ]
        )
        def generate(self, prompt, max_new_tokens, temperature, top_k, top_p, seed):  # type: ignore[no-untyped-def]
            ends = tf.strings.length(prompt)
            last = tf.strings.substr(tf.strings.join([b"?", prompt]), ends, tf.ones_like(ends))
            token = tf.cast(tf.io.decode_raw(last, tf.uint8, fixed_length=1)[:, 0], tf.int32) + 1
            token = tf.where(prompt == "", 0, token)
            letters = tf.constant([bytes([byte]) for byte in range(256)])
            text = tf.zeros_like(prompt)
            count = tf.zeros_like(token)
            logprob = tf.zeros_like(token, tf.float32)
            live = tf.ones_like(token, tf.bool)
            scale = tf.maximum(temperature, 0.01)[:, None]
            for step in tf.range(tf.reduce_max(max_new_tokens)):
                rows = tf.gather(self.table, token)
                noise = tf.map_fn(
                    lambda one: tf.random.stateless_uniform([257], [one, tf.cast(step, tf.int64)]),  # noqa: B023
                    tf.broadcast_to(seed, tf.shape(token)[:1]),
                    fn_output_signature=tf.float32,
                )
                drawn = tf.argmax(rows / scale - tf.math.log(-tf.math.log(noise)), 1, tf.int32)
                live = tf.logical_and(live, step < max_new_tokens)
                logprob += tf.where(live, tf.gather(rows, drawn, batch_dims=1), 0.0)
                live = tf.logical_and(live, drawn > 0)
                more = tf.where(live, tf.gather(letters, tf.maximum(drawn - 1, 0)), "")
                text = tf.strings.join([text, more])
                count += tf.cast(live, tf.int32)
                token = drawn
            return {"text": text, "num_tokens": count, "logprob": logprob}

    module = Bigram()
    signatures = {
        "generate": module.generate,
        "score": module.score,
        "tokenize": module.tokenize,
        "serving_default": module.generate,
    }
    tf.saved_model.save(module, str(Model(path).saved_model), signatures=signatures)

"""Decoding speed of the exported text model against a PyTorch peer with a KV cache.

Both decode 100 tokens with the same sizes (d=128, 4 layers, vocabulary 2048, context 128), top-k 50
and temperature 0.8, at batch 1 and 8, in alternating pairs. The figures are tokens per CPU second
over the peer's. Ours has two threads; the peer is measured with one thread and with two, and the
figure is against the better of them, since two threads cost PyTorch CPU time here. Wall time with
two threads each is in the table. End-of-text never occurs, so that every row decodes 100 tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common

BATCHES = (1, 8)
GOAL = {"portable_b1": 1.0, "portable_b8": 1.0, "xla_b1": 2.0, "xla_b8": 1.5}
SIZES = {"vocabulary": 2048, "context": 128, "layers": 4, "width": 128, "heads": 4}
PROMPT = "the state of"
PROMPT_TOKENS = 13
TOKENS = 100
WARM_CALLS = 4

Measured = dict[str, float]


def main() -> None:
    """Measures, prints the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--worker", type=Path, help="a SavedModel to serve; for the benchmark")
    options = parser.parse_args()
    if options.worker:
        _serve(options.worker)
        return
    figures: dict[str, float] = {}
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in ("portable", "xla"):
            _measure(variant, Path(folder) / variant, options.pairs, figures, rows)
    title = "Tokens a second (medians); ratios are medians over the pairs"
    columns = ["export, batch", "CPU s", "peer, 1 thread", "peer, 2", "wall s", "peer, 2", "ratio"]
    common.print_table(title, columns, rows)
    common.conclude("decode_text", figures, GOAL)


def _measure(
    variant: str, path: Path, pairs: int, figures: dict[str, float], rows: list[list[object]]
) -> None:
    export(path, xla=variant == "xla")
    sizes = [part for name, value in SIZES.items() for part in (f"--{name}", value)]
    sizes += ["--prompt", PROMPT_TOKENS]
    with (
        common.ours("decode_text.py", "--worker", path) as model,
        common.peer("nanogpt_decode.py", *sizes, "--threads", 1) as one,
        common.peer("nanogpt_decode.py", *sizes, "--threads", common.THREADS) as two,
    ):
        for batch in BATCHES:
            request = {"batch": batch, "tokens": TOKENS}
            for worker in (model, one, two):
                for _ in range(WARM_CALLS):
                    worker.ask(request)
            measured = common.alternate(
                pairs,
                lambda request=request: [model.ask(request)],  # type: ignore[misc]
                lambda request=request: [one.ask(request), two.ask(request)],  # type: ignore[misc]
            )
            speeds = [
                [
                    *(_rate(answer, "cpu") for answer in (mine, first, second)),
                    *(_rate(answer, "wall") for answer in (mine, second)),
                ]
                for (mine,), (first, second) in measured
            ]
            ratio = common.median_ratio([(speed[0], max(speed[1:3])) for speed in speeds])
            figures[f"{variant}_b{batch}"] = ratio
            medians = [statistics.median(column) for column in zip(*speeds, strict=True)]
            rows.append([f"{variant}, {batch}", *medians, ratio])


def _rate(measured: Measured, clock: str) -> float:
    return measured["tokens"] / measured[clock]


def export(path: Path, xla: bool) -> None:
    """Writes a model with random weights, like the peer's, whose subwords miss the prompt."""
    from components.train.decoding import TextDecoder
    from components.train.decoding_weights import fold
    from components.train.export import TextModel, save_model
    from components.transform.tokenizer import Tokenizer

    vocabulary = path.with_suffix(".subwords")
    count = SIZES["vocabulary"] - 257
    vocabulary.write_text("".join(f"<{index}>\n" for index in range(count)))
    decoder = TextDecoder(fold(_weights(), SIZES["heads"]))
    save_model(TextModel(decoder, Tokenizer(vocabulary), compiled=xla), path)


def _weights() -> dict[str, Any]:
    random = np.random.default_rng(0)
    width = SIZES["width"]

    def matrix(*shape: int) -> Any:
        return random.normal(0, 0.05, shape).astype(np.float32)

    weights = {
        "token_embedding": matrix(SIZES["vocabulary"], width),
        "position_embedding": matrix(SIZES["context"], width),
        "final_norm": np.ones(width, np.float32),
    }
    # Its logit is 0 then, far below the 50 highest.
    weights["token_embedding"][0] = 0
    for index in range(SIZES["layers"]):
        weights[f"blocks.{index}.attention_norm"] = np.ones(width, np.float32)
        weights[f"blocks.{index}.qkv"] = matrix(width, 3 * width)
        weights[f"blocks.{index}.project"] = matrix(width, width)
        weights[f"blocks.{index}.mlp_norm"] = np.ones(width, np.float32)
        weights[f"blocks.{index}.expand"] = matrix(width, 4 * width)
        weights[f"blocks.{index}.contract"] = matrix(4 * width, width)
    return weights


def _serve(path: Path) -> None:
    """Answers requests of the benchmark from a SavedModel, as a model server would."""
    import tensorflow as tf

    generate = tf.saved_model.load(str(path)).signatures["generate"]
    for line in sys.stdin:
        request = json.loads(line)
        inputs = {
            "prompt": tf.constant([PROMPT] * request["batch"]),
            "max_new_tokens": tf.constant([request["tokens"]]),
            "temperature": tf.constant([0.8]),
            "top_k": tf.constant([50]),
            "top_p": tf.constant([1.0]),
            "seed": tf.range(request["batch"], dtype=tf.int64),
        }
        wall, cpu = time.perf_counter(), time.process_time()
        tokens = int(generate(**inputs)["num_tokens"].numpy().sum())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall, "cpu": cpu, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()

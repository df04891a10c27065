"""Training throughput of the decoder against a nanoGPT-style PyTorch peer, in alternating pairs.

Run by `make bench NAME=train_text`. Both sides start from the same weights and see the same
batches, so that their final losses agree; both get two threads and the same allocator settings.
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

from benchmarks.common import (
    THREADS,
    alternate,
    conclude,
    median_ratio,
    ours,
    peer,
    print_table,
)

LAYERS, HEADS, CONTEXT, VOCABULARY, BATCH = 4, 4, 128, 2048, 16
RATE, WARMUP, DECAY, CLIP = 1e-3, 10, 0.1, 1.0
PAIRS = 4
STEPS = {128: 30, 256: 12}
WARM_STEPS = 3


def main() -> None:
    """Measures both widths and prints the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--worker", type=int, metavar="WIDTH", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--total", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.folder, arguments.total)
        return
    figures: dict[str, float] = {}
    rows: list[list[object]] = []
    for width in STEPS:
        figures[f"d{width}"], row = measure(width, arguments.pairs)
        rows.append(row)
    columns = ["width", "ours tokens/s", "peer tokens/s", "wall ratio", "CPU ratio", "losses"]
    print_table(f"Training, {THREADS} threads each, {arguments.pairs} pairs", columns, rows)
    conclude("train_text", figures, {"d128": 1.0, "d256": 1.0})


def measure(width: int, pairs: int) -> tuple[float, list[object]]:
    """Ratio of throughputs (ours over the peer's) at one width, and its row of the table."""
    steps = STEPS[width]
    total = WARM_STEPS + pairs * steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "windows.npy", sample_windows(total * BATCH))
        with ours("train_text.py", "--worker", width, "--folder", folder, "--total", total) as us:
            us.ask({"steps": WARM_STEPS})
            with peer("nanogpt_train.py", *peer_arguments(width, folder, total)) as them:
                them.ask({"steps": WARM_STEPS})
                request = {"steps": steps}
                measured = alternate(pairs, lambda: us.ask(request), lambda: them.ask(request))
    tokens = steps * BATCH * CONTEXT
    speeds = [[tokens / side["wall"] for side in pair] for pair in measured]
    wall = median_ratio([(theirs["wall"], mine["wall"]) for mine, theirs in measured])
    cpu = median_ratio([(theirs["cpu"], mine["cpu"]) for mine, theirs in measured])
    medians = [statistics.median(side) for side in zip(*speeds, strict=True)]
    mine, theirs = measured[-1]
    losses = f"{mine['loss']:.4f} / {theirs['loss']:.4f}"
    return wall, [f"{width}", *medians, wall, cpu, losses]


def sample_windows(count: int) -> np.ndarray[Any, Any]:
    """Windows of a random walk over the vocabulary: something a model can learn."""
    random = np.random.default_rng(0)
    moves = random.geometric(0.05, (count, CONTEXT + 1))
    return (np.cumsum(moves, axis=1) % VOCABULARY).astype(np.int32)


def peer_arguments(width: int, folder: Path, total: int) -> list[object]:
    options = {
        "vocabulary": VOCABULARY,
        "context": CONTEXT,
        "layers": LAYERS,
        "width": width,
        "heads": HEADS,
        "batch": BATCH,
        "threads": THREADS,
        "total": total,
        "warmup": WARMUP,
        "rate": RATE,
        "decay": DECAY,
        "clip": CLIP,
        "data": folder / "windows.npy",
        "weights": folder / "weights.npz",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def work(width: int, folder: Path, total: int) -> None:
    """Our side: the train step's own learner, answering the requests of `benchmarks.common`."""
    from components.train.decoder import Decoder
    from components.train.learner import Learner, keep_freed_memory
    from components.train.options import TrainOptions

    keep_freed_memory()
    options = TrainOptions(
        layers=LAYERS,
        width=width,
        heads=HEADS,
        context=CONTEXT,
        batch_size=BATCH,
        steps=total,
        learning_rate=RATE,
        warmup_steps=WARMUP,
        weight_decay=DECAY,
        clip_norm=CLIP,
    )
    model = Decoder(VOCABULARY, CONTEXT, LAYERS, width, HEADS)
    learner = Learner(model, options, optimizer="adamw")  # as the peer
    np.savez(folder / "weights.npz", **learner.model.numpy_weights())  # type: ignore[arg-type]
    batches = iter(np.load(folder / "windows.npy").reshape(-1, BATCH, CONTEXT + 1))
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(json.loads(line)["steps"]):
            loss, _ = learner.train(next(batches))
        answer = {"loss": float(loss), "wall": time.perf_counter() - wall}
        print(json.dumps({**answer, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()

"""Bits per byte of a longer training run on two cores, against classic yardsticks, same split.

Run by `make bench NAME=quality_text`. The number of steps is set from the speed of a first short
run, so that training takes about `--minutes`; all the rest takes about three minutes more.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import conclude, print_table

if TYPE_CHECKING:
    from components.artifacts import Model

SHAPE: dict[str, Any] = {
    "layers": 4,
    "width": 192,
    "heads": 6,
    "context": 128,
    "batch_size": 16,
    "dropout": 0.1,
}
MINUTES, MOST_MINUTES = 12.0, 30.0
SAMPLE_STEPS, SAMPLE_EVERY = 60, 30
EVERY = 100
SCORED_AT_ONCE = 16


def main() -> None:
    """Ingests, transforms, trains, scores the held-out texts and prints where the model stands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training, at most 30")
    minutes = parser.parse_args().minutes
    if not 0 < minutes <= MOST_MINUTES:
        parser.error(f"expected --minutes in (0, {MOST_MINUTES:g}]. Received: {minutes:g}")
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), minutes)
    conclude("quality_text", figures, {"bits_per_byte": figures["byte_5gram"]}, True)


def measure(folder: Path, minutes: float) -> dict[str, float]:
    """Bits per byte of the model and of each yardstick on the held-out texts."""
    from components.artifacts import EVAL, TRAIN, Examples, Model
    from components.evaluate.yardsticks import yardsticks
    from components.ingest.ingest import run as ingest
    from components.ingest.options import IngestOptions
    from components.train.options import TrainOptions
    from components.train.train import run as train
    from components.transform.options import TransformOptions
    from components.transform.transform import run as transform

    examples, graph, transformed = (folder / part for part in ("examples", "graph", "transformed"))
    ingest(IngestOptions(source="sotu:", reference_from="1900", reference_to="1959"), examples)
    transform(examples, TransformOptions(), graph, transformed)

    def trained(steps: int, every: int) -> Model:
        options = TrainOptions.model_validate(
            {**SHAPE, "steps": steps, "warmup_steps": min(100, steps // 10), "eval_every": every}
        )
        model = folder / f"model-{steps}"
        train(transformed, graph, options, folder / "checkpoints", model, folder / "logs")
        return Model(model)

    # From the first evaluation to the last: all compiling is done by then.
    history = trained(SAMPLE_STEPS, SAMPLE_EVERY).card()["history"]
    step_seconds = (history[-1]["seconds"] - history[0]["seconds"]) / (SAMPLE_STEPS - SAMPLE_EVERY)
    model = trained(max(SAMPLE_STEPS + 1, int(minutes * 60 / step_seconds)), EVERY)

    rows = {
        split: [
            row
            for batch in Examples(examples).batches(split, ["text", "document_id"])
            for row in batch.to_pylist()
        ]
        for split in (TRAIN, EVAL)
    }
    texts = [row["text"] for row in rows[EVAL]]
    documents = [row["document_id"] for row in rows[EVAL]]
    size = sum(len(text.encode()) + 1 for text in texts)
    classic = yardsticks([row["text"] for row in rows[TRAIN]], texts, documents)
    figures = {"bits_per_byte": score(model, texts) / math.log(2) / size}
    figures |= {name: float(bits.sum()) / size for name, bits in classic.bits.items()}
    figures["xz"] = float(classic.xz.sum()) / size
    print_table("Held-out bits per byte", ["what", "bits/byte"], [*figures.items()])
    curve = [(entry["seconds"], entry["eval_loss"]) for entry in model.card()["history"]]
    print_table("While training", ["seconds", "nats per token, sample"], curve)
    return figures


def score(model: Model, texts: list[str]) -> float:
    """Nats that the exported model spends on the texts and their ends."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(model.saved_model)).signatures["score"]
    ordered = sorted(texts, key=len)
    return sum(
        float(
            signature(text=tf.constant(ordered[start : start + SCORED_AT_ONCE]))["nll"]
            .numpy()
            .sum()
        )
        for start in range(0, len(ordered), SCORED_AT_ONCE)
    )


if __name__ == "__main__":
    main()

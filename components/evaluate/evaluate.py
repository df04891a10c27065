"""The evaluate step: judges the exported model on held-out text beside honest yardsticks.

Everything is measured through the SavedModel's own signatures: what is judged is what is
served.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.artifacts import EVAL, TRAIN, Evaluation, Examples, Figure, Model
from components.errors import DataError
from components.evaluate import costs
from components.evaluate.options import EvaluateOptions


def run(
    examples: Path,
    model: Path,
    options: EvaluateOptions,
    champion: Path | None,
    evaluation: Path,
) -> dict[str, Figure]:
    """Scores held-out text, draws samples, compares, and writes the report.

    Args:
        examples: folder of the examples; `eval` is judged on, `train` teaches the yardsticks.
        model: folder of the trained model.
        options: how much is sampled and how.
        champion: folder of the published version to compare with, or None.
        evaluation: folder to write.

    Returns:
        What was measured, by name.

    Raises:
        DataError: a split has no rows.
        ModelError: a model is missing, unreadable, or its scores are not finite.
        SetupError: an environment for one of `serving_versions` cannot be made.
        ConfigError: a guard's scorer cannot be made.
    """
    source, judged = Examples(examples), Model(model)
    for split in (TRAIN, EVAL):
        if not source.has(split):
            raise DataError(
                f"expected rows in the {split} split of {examples}. Received: none; more "
                "documents, or another eval_percent, give both splits some"
            )
    held_out = _held_out(source)
    model_digest, eval_digest = judged.digest(), source.digest(EVAL)
    with ThreadPoolExecutor(max_workers=1) as pool:
        # The yardsticks need no TensorFlow, so they are learned while it is imported.
        learning = pool.submit(_yardsticks, source, held_out)
        from components.evaluate import champion as champions
        from components.evaluate.measure import Held, compression, samples_figures
        from components.evaluate.sampling import draw
        from components.evaluate.served_model import ONE_REQUEST_TOKENS, ServedModel
        from components.guards import checking

        guarded = checking.tallies(options.guards)

        print("progress: load the model", flush=True)
        served = ServedModel(judged.saved_model)
        scores = served.score(held_out["text"])
        print("progress: learn the yardsticks", flush=True)
        found = learning.result()
    rival = None
    if champion is not None:
        rival = champions.judge(champion, eval_digest, held_out["example_id"], held_out["text"])
    texts = Held.of(held_out["text"], held_out["document_id"])
    figures, rival_figures = compression(texts, scores, found, rival, options)
    card = judged.card() if judged.card_path.is_file() else {}
    samples, speed = draw(served, held_out["text"], _context(card), options)
    print("progress: compare the samples with the training text", flush=True)
    judgement = samples_figures(samples, _texts(source, TRAIN), options)
    figures |= judgement.figures
    checking.check(guarded, [sample.text for sample in samples])
    figures |= checking.figures(guarded)
    print("progress: time single requests", flush=True)
    figures["model_bytes"] = costs.size(judged.saved_model)
    figures["latency_ms"] = costs.latency(served.one, f"{ONE_REQUEST_TOKENS} tokens")
    figures["decode_tokens_per_second"] = Figure(
        speed, samples=len(samples), unit="tokens/s", better="higher",
        label=f"Decoding speed here, {min(len(samples), 64)} texts at a time",
    )  # fmt: skip
    if options.serving_versions:
        from components.serving_check import check

        checked = check.run(judged.saved_model, options.serving_versions, evaluation)
        figures |= check.figures(checked)
    content = {
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        "model_digest": model_digest,
        "eval_digest": eval_digest,
        "champion": None
        if rival is None
        else {
            "version": rival.version,
            "model_digest": rival.model_digest,
            "figures": {name: dataclasses.asdict(figure) for name, figure in rival_figures.items()},
        },
    }
    from components.evaluate.report import Story, page

    story = Story(figures, content, rival_figures, texts, scores, judgement, guarded, card, options)
    written = Evaluation(evaluation)
    evaluation.mkdir(parents=True, exist_ok=True)
    _write_rows(written, held_out, texts, scores, samples)
    written.write(content, page(story))
    return figures


def _held_out(source: Examples) -> dict[str, list[str]]:
    columns = ["example_id", "document_id", "text"]
    rows: dict[str, list[str]] = {name: [] for name in columns}
    for batch in source.batches(EVAL, columns):
        for name in columns:
            rows[name] += batch.column(name).to_pylist()
    return rows


def _texts(source: Examples, split: str) -> Iterator[str]:
    for batch in source.batches(split, ["text"]):
        yield from batch.column("text").to_pylist()


def _yardsticks(source: Examples, held_out: dict[str, list[str]]) -> Any:
    from components.evaluate.yardsticks import yardsticks

    return yardsticks(_texts(source, TRAIN), held_out["text"], held_out["document_id"])


def _context(card: dict[str, Any]) -> int | None:
    """The model's context in tokens, where its card tells."""
    options = card.get("options")
    context = options.get("context") if isinstance(options, dict) else None
    return context if isinstance(context, int) else None


def _write_rows(
    written: Evaluation, held_out: dict[str, list[str]], texts: Any, scores: Any, samples: list[Any]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table(
            {
                "example_id": pa.array(held_out["example_id"], pa.string()),
                "document_id": pa.array(held_out["document_id"], pa.string()),
                "nll": pa.array(scores.nll, pa.float64()),
                "num_tokens": pa.array(scores.num_tokens, pa.int64()),
                "num_bytes": pa.array(texts.num_bytes - 1, pa.int64()),
            }
        ),
        written.scores_path,
    )
    pq.write_table(
        pa.table(
            {
                "prompt": pa.array([sample.prompt for sample in samples], pa.string()),
                "text": pa.array([sample.text for sample in samples], pa.string()),
                "num_tokens": pa.array([sample.num_tokens for sample in samples], pa.int64()),
                "logprob": pa.array([sample.logprob for sample in samples], pa.float64()),
                "seed": pa.array([sample.seed for sample in samples], pa.int64()),
            }
        ),
        written.samples_path,
    )

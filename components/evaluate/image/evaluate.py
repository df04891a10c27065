"""The evaluate step for images: what the exported model draws, beside real images.

Everything is measured through the SavedModel's own signatures: what is judged is what is
served.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import EVAL, TRAIN, Evaluation, Examples, Figure, Model
from components.errors import DataError
from components.evaluate import costs
from components.evaluate.image.options import EvaluateImageOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from components.evaluate.image.champion import Champion
    from components.evaluate.image.classifier import Judge
    from components.evaluate.image.data import Real
    from components.evaluate.image.served_images import Drawn, ServedImages


def run(
    examples: Path,
    model: Path,
    options: EvaluateImageOptions,
    champion: Path | None,
    evaluation: Path,
) -> dict[str, Figure]:
    """Draws samples, compares them with held-out images, and writes the report.

    Args:
        examples: folder of the examples; `eval` is judged against, `train` teaches the classifier
            and gives the floor and the baseline.
        model: folder of the trained model.
        options: how much is sampled, and the classifier.
        champion: folder of the published version to compare with, or None.
        evaluation: folder to write.

    Returns:
        What was measured, by name.

    Raises:
        DataError: a split has no images.
        ConfigError: the weights of Inception cannot be read.
        ModelError: a model is missing, unreadable, or draws no images.
        SetupError: an environment for one of `serving_versions` cannot be made.
    """
    source, judged = Examples(examples), Model(model)
    for split in (TRAIN, EVAL):
        if not source.has(split):
            raise DataError(
                f"expected images in the {split} split of {examples}. Received: none; more images, "
                "or another eval_percent, give both splits some"
            )
    model_digest, eval_digest = judged.digest(), source.digest(EVAL)
    from components.evaluate.image import data
    from components.evaluate.image.champion import judge_champion
    from components.evaluate.image.measure import (
        Looked,
        copies,
        copy_figures,
        distances,
        recognition,
        yardsticks,
    )
    from components.evaluate.image.served_images import ServedImages

    inception = None
    if options.inception_weights:
        from components.evaluate.image.inception import Inception

        inception = Inception(Path(options.inception_weights))
    print("progress: load the model", flush=True)
    served = ServedImages(judged.saved_model)
    names = served.labels or list(source.manifest().details.get("labels", []))
    wanted = data.wanted(source, names, options)
    drawn = served.draw(wanted)
    # Where any class would do, the one that the model says it drew is what was wanted.
    said = zip(wanted, drawn.labels, strict=True)
    labels = data.ids([label or drawn_label for label, drawn_label in said], names)
    images = data.read(source, names, drawn.images.shape[1:], options)
    judge, learned = _taught(images, options)
    print("progress: measure distances", flush=True)
    real = Looked.by(judge, images.held_out, images.held_out_labels)
    made = Looked.by(judge, drawn.images, labels)
    figures = distances(made, real, options)
    figures |= recognition(made, real, names)
    figures |= yardsticks(judge, images, real, learned, options)
    if inception is not None:
        from components.evaluate.image.inception import figures as in_inception

        figures |= in_inception(inception, made, real, images, options)
    print("progress: look for copies of training images", flush=True)
    ours, usual = copies(drawn.images, images.training), copies(images.held_out, images.training)
    figures |= copy_figures(ours, usual)
    figures |= _costs(judged, served, drawn)
    rival = None
    if champion is not None:
        rival = judge_champion(champion, judge, made, real, wanted, labels, options)
        figures |= rival.differences
    if options.serving_versions:
        from components.serving_check import check

        checked = check.run(judged.saved_model, options.serving_versions, evaluation)
        figures |= check.figures(checked)
    content = {
        "figures": _as_json(figures),
        "model_digest": model_digest,
        "eval_digest": eval_digest,
        "features": judge.name,
        "champion": None if rival is None else _told(rival),
    }
    from components.evaluate.image.report import Story, page

    card = judged.card() if judged.card_path.is_file() else {}
    story = Story(figures, content, names, made, real, images.training, ours, rival, card, options)
    written = Evaluation(evaluation)
    evaluation.mkdir(parents=True, exist_ok=True)
    _write_samples(written, drawn)
    written.write(content, page(story))
    return figures


def _as_json(figures: dict[str, Figure]) -> dict[str, Any]:
    return {name: dataclasses.asdict(figure) for name, figure in figures.items()}


def _told(rival: Champion) -> dict[str, Any]:
    return {
        "version": rival.version,
        "model_digest": rival.model_digest,
        "figures": _as_json(rival.figures),
    }


def _taught(images: Real, options: EvaluateImageOptions) -> tuple[Judge, npt.NDArray[np.int64]]:
    """The classifier, and which training images it learned from."""
    import numpy as np

    from components.evaluate.image.classifier import Judge

    judge = Judge(images.training.shape[1:], images.classes, options.seed)
    if not images.classes:
        return judge, np.zeros(0, np.int64)
    order = np.random.default_rng(options.seed).permutation(len(images.training))
    order = order[images.train_labels[order] >= 0]
    rows = order[: options.classifier_rows]
    judge.teach(images.training[rows], images.train_labels[rows], options.classifier_epochs)
    return judge, rows


def _costs(judged: Model, served: ServedImages, drawn: Drawn) -> dict[str, Figure]:
    print("progress: time single requests", flush=True)
    figures = {
        "model_bytes": costs.size(judged.saved_model),
        "latency_ms": costs.latency(served.one, "an image"),
    }
    if drawn.timed:
        figures["images_per_second"] = Figure(
            drawn.timed / drawn.seconds, samples=drawn.timed, unit="images/s", better="higher",
            label="Drawing speed here, 64 images at a time",
        )  # fmt: skip
    return figures


def _write_samples(written: Evaluation, drawn: Drawn) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "label": pa.array(drawn.labels, pa.string()),
            "seed": pa.array(drawn.seeds, pa.int64()),
            "image": pa.array(drawn.files, pa.binary()),
        }
    )
    pq.write_table(table, written.samples_path)

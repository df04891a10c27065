"""The train step of images and tables: any family learns, resumes if killed, and is exported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from components import artifacts
from components.train.families.options import FamilyTrainOptions

if TYPE_CHECKING:
    from components.train.families.family import Family

_NOT_PART_OF_A_RUN = {"checkpoint_seconds", "preview_every"}


def run(
    transformed: Path,
    graph: Path,
    options: FamilyTrainOptions,
    checkpoints: Path,
    model: Path,
    logs: Path,
) -> dict[str, float]:
    """Trains a family on the transformed examples, and writes the model and its export.

    Args:
        transformed: a TransformedExamples folder of images or of a table.
        graph: the TransformGraph folder that goes inside the exported model.
        options: the family, its shape, and how it is trained.
        checkpoints: folder where a killed run finds its state; emptied of it on success.
        model: where the Model folder is written.
        logs: where TensorBoard's event files and the previews are written.

    Returns:
        Figures: loss, eval_loss (of the first player), steps, parameters, steps_per_second,
        seconds, cpu_seconds, input_share (of the time, spent waiting for data).

    Raises:
        ConfigError: there is no such family, or it takes no such option.
        DataError: the data has no rows, or the family cannot model it.
        TrainingError: the loss became infinite or not a number.
    """
    from components.train.families.card import card
    from components.train.families.loop import FamilyTraining

    examples = artifacts.TransformedExamples(transformed)
    folder = checkpoints / fingerprint(examples, options)
    training = FamilyTraining(examples, options, folder, logs)
    training.run()
    written = artifacts.Model(model)
    written.path.mkdir(parents=True, exist_ok=True)
    described = card(training)
    family = training.portable_family()
    _save_networks(family, written.keras_path)
    print("progress: exporting the model for serving", flush=True)
    _export(family, graph, written.saved_model, examples)
    written.write_card(described)
    training.checkpoint.remove()
    figures = (
        "loss", "eval_loss", "steps", "parameters", "steps_per_second", "seconds", "cpu_seconds",
        "input_share",
    )  # fmt: skip
    return {name: float(described[name]) for name in figures}


def _export(
    family: Family, graph: Path, destination: Path, examples: artifacts.TransformedExamples
) -> None:
    from components.train.families.family import ImageFamily, TableFamily

    if isinstance(family, ImageFamily):
        from components.train.families import image_export

        image_export.export(family, graph, destination, examples.statistics()["labels"])
    if isinstance(family, TableFamily):
        from components.train.families import table_export

        table_export.export(family, graph, destination, examples)


def _save_networks(family: Family, path: Path) -> None:
    """Writes all networks as one Keras model, whose inputs and outputs are theirs by name."""
    import keras

    networks = family.networks()
    if len(networks) == 1:
        next(iter(networks.values())).save(path)
        return
    inputs = {
        name: [
            keras.Input(batch_shape=x.shape, dtype=x.dtype, name=f"{name}_{x.name}")
            for x in network.inputs
        ]
        for name, network in networks.items()
    }
    outputs = {name: network(inputs[name]) for name, network in networks.items()}
    keras.Model(inputs, outputs, name="networks").save(path)


def fingerprint(examples: artifacts.TransformedExamples, options: FamilyTrainOptions) -> str:
    """Identifies a run: the same data, code, and options that matter to the weights."""
    folder = Path(__file__).parent
    chosen = options.model_dump(exclude=_NOT_PART_OF_A_RUN)
    digest = hashlib.sha256(json.dumps([chosen, examples.statistics()], sort_keys=True).encode())
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    for split in (artifacts.TRAIN, artifacts.EVAL):
        for shard in examples.shards(split):
            digest.update(artifacts.digest_files(shard).encode())
    return digest.hexdigest()[:16]

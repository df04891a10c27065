"""What `model.json` says about a trained family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from components.versions import installed_version

if TYPE_CHECKING:
    from components.train.families.loop import FamilyTraining


def card(training: FamilyTraining) -> dict[str, Any]:
    """Options, sizes, speed and history of a run that has ended."""
    family, progress, options = training.family, training.progress, training.options
    history = progress.history
    best = history[-1]
    if family.loss_ranks:
        best = min(history, key=lambda entry: entry["eval_loss"])
    sizes = {
        name: sum(math.prod(variable.shape) for variable in network.trainable_variables)
        for name, network in family.networks().items()
    }
    chosen = family.Options.model_validate(options.family_options)
    packages = ("tensorflow", "keras", "numpy")
    return {
        "family": family.title,
        "modality": family.modality,
        "labels": training.examples.statistics.get("labels", []),
        "options": {**options.model_dump(), "family_options": chosen.model_dump()},
        "learning_rate": training.learning_rate,
        "precision": training.precision,
        "parameters": sum(sizes.values()),
        "parameters_of": sizes,
        "steps": progress.step,
        "best_step": best["step"],
        "loss": best["loss"],
        "eval_loss": best["eval_loss"],
        "examples_seen": progress.step * training.learner.rows,
        "steps_per_second": training.pace.steps_per_second(),
        "input_share": training.pace.input_share(),
        "input_in_memory": training.examples.in_memory,
        "seconds": progress.seconds,
        "cpu_seconds": training.cpu(),
        "health": training.health,
        "history": history,
        "versions": {name: installed_version(name) for name in packages},
    }

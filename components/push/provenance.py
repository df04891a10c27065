"""Gathers what a published model was made of and why it was published."""

from __future__ import annotations

import datetime
import platform
from importlib import metadata
from typing import Any

from components.artifacts import Decision, Drift, Evaluation

# What decides how a model behaves; the full environment is the image or the lock file.
PACKAGES = (
    "loomline",
    "tensorflow",
    "keras",
    "numpy",
    "tensorflow-transform",
    "apache-beam",
    "great-expectations",
    "evidently",
    "pyarrow",
    "kfp",
)
_OF_DECISION = ("approved", "approval", "reason", "created", "policy_digest", "champion_version")


def collect(
    model_digest: str,
    decision: Decision,
    evaluation: Evaluation,
    drift: Drift,
    given: dict[str, Any],
) -> dict[str, Any]:
    """Merges what the caller knows with what the artifacts say; the artifacts win.

    Args:
        model_digest: digest of the SavedModel's files.
        decision, evaluation, drift: the evidence.
        given: such as `run`, `snapshot_digest`, `config`, `config_digest`, `code_revision`,
            `code_digest`, `inputs_fingerprint` and `champion`.

    Returns:
        The content of `provenance.json`.
    """
    verdict = decision.read()
    figures = {f"evaluation.{name}": figure for name, figure in evaluation.figures().items()}
    figures |= {f"drift.{name}": figure for name, figure in drift.figures().items()}
    return {
        **given,
        "model_digest": model_digest,
        "eval_digest": evaluation.read().get("eval_digest"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "decision": {key: verdict[key] for key in _OF_DECISION if key in verdict},
        "figures": {name: figure.value for name, figure in figures.items()},
        "python": platform.python_version(),
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # A step's image may hold less than the whole project.
    return versions

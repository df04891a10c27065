"""Publishes an approved model as the next version that TensorFlow Serving loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Model,
    Published,
    published_versions,
    saved_model_digest,
    write_json,
)
from components.errors import (
    AlteredModelError,
    ConfigError,
    DataError,
    ModelError,
    RejectedModelError,
)
from components.push.options import PushOptions
from components.push.provenance import collect
from components.push.publish import copy_tree, exclusive, publish


def run(
    model: Path,
    decision: Path,
    evaluation: Path,
    drift: Path,
    options: PushOptions,
    provenance: dict[str, Any],
) -> Published:
    """Publishes `<base_path>/<model_name>/<version>/` with its provenance in `loomline/`.

    Pushing the model that is the newest version already publishes nothing.

    Args:
        model: artifact of the train step.
        decision: artifact of the gate step, about this model.
        evaluation: artifact of the evaluate step, about this model.
        drift: artifact of the drift step.
        options: name and place; `base_path` must be set by now.
        provenance: what the caller knows of the model's origin, such as digests and the run's
            name; what the artifacts say themselves is added and wins.

    Returns:
        The version that holds the model now.

    Raises:
        RejectedModelError: the decision does not approve.
        AlteredModelError: the model is not the one that was evaluated and decided about.
        ModelError: there is no SavedModel.
        DataError: a file of the decision, the evaluation or the drift report is missing.
        ConfigError: no base path, or one that is no local folder.
        PublishError: the base path cannot be written; earlier versions stay as they were.
    """
    base_path = _base_path(options)
    digest = _judged_digest(Model(model), Decision(decision), Evaluation(evaluation))
    attached = _attached(decision, evaluation, drift)
    record = collect(digest, Decision(decision), Evaluation(evaluation), Drift(drift), provenance)
    with exclusive(base_path, options.model_name) as folder:
        newest = _newest_of(base_path, options.model_name, digest)
        if newest is not None:
            print(f"progress: version {newest.version} is this model already", flush=True)
            return newest

        def fill(version: Path) -> None:
            copy_tree(Model(model).saved_model, version)
            _check_copy(version, digest)
            beside = Published(version)
            beside.provenance_folder.mkdir()
            for path in attached:
                shutil.copyfile(path, beside.provenance_folder / path.name)
            write_json(beside.provenance_path, {"model_name": options.model_name, **record})

        published = publish(folder, fill)
    print(f"progress: published {published.path}", flush=True)
    return published


def _base_path(options: PushOptions) -> Path:
    if not options.base_path:
        raise ConfigError("expected push.base_path to be a folder. Received: nothing; set it")
    if "://" in options.base_path:
        raise ConfigError(
            f"expected push.base_path to be a local or mounted folder. "
            f"Received: {options.base_path}; mount the store and give the folder"
        )
    return Path(options.base_path).absolute()


def _judged_digest(model: Model, decision: Decision, evaluation: Evaluation) -> str:
    """The digest of the model's files, if they are those that were judged and approved."""
    verdict = decision.read()
    if not isinstance(verdict, dict) or verdict.get("approved") is not True:
        reason = verdict.get("reason") if isinstance(verdict, dict) else None
        raise RejectedModelError(
            f"expected a decision that approves. Received: {reason or 'no approval'}; "
            "nothing was published"
        )
    digest = model.digest()
    judged = {"decision": verdict, "evaluation": evaluation.read()}
    for name, content in judged.items():
        if content.get("model_digest") != digest:
            raise AlteredModelError(
                f"expected the model that the {name} is about "
                f"({_short(content.get('model_digest'))}). Received: {_short(digest)}; the model "
                "was changed or replaced since, so run the pipeline again"
            )
    return digest


def _attached(decision: Path, evaluation: Path, drift: Path) -> list[Path]:
    """The evidence that is published with the model."""
    files = [
        Decision(decision).json_path,
        Evaluation(evaluation).json_path,
        Drift(drift).json_path,
    ]
    # Only text has a score for every example, by which the next version is compared with it.
    if "bits_per_byte" in Evaluation(evaluation).figures():
        files.append(Evaluation(evaluation).scores_path)
    for path in files:
        if not path.is_file():
            raise DataError(f"expected {path.name} in {path.parent}. Received: no such file")
    return files


def _newest_of(base_path: Path, model_name: str, digest: str) -> Published | None:
    """The newest version, if it holds this very model, unharmed and with its provenance."""
    versions = published_versions(base_path, model_name)
    if not versions or not versions[-1].provenance_path.is_file():
        return None
    return versions[-1] if saved_model_digest(versions[-1].path) == digest else None


def _check_copy(version: Path, digest: str) -> None:
    if (version / Published(version).provenance_folder.name).exists():
        raise ModelError(
            f"expected a SavedModel without a folder {Published(version).provenance_folder.name}. "
            "Received: one that has it"
        )
    copied = saved_model_digest(version)
    if copied != digest:
        raise AlteredModelError(
            f"expected the copy to be the model that was approved ({_short(digest)}). "
            f"Received: {_short(copied)}; the model changed while it was copied"
        )


def _short(digest: object) -> str:
    return str(digest)[:12] if digest else "none"

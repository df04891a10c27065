"""Publishes an approved model as the next version that TensorFlow Serving loads.

Where people have the last word (`push.approvers`), the model waits in `Pending` until a record of
approval that a trusted reviewer signed is there, whatever the decision says.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Model,
    Pending,
    Published,
    digest_files,
    pending_folder,
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
from components.push.approval import read_approvers
from components.push.options import PushOptions
from components.push.provenance import collect
from components.push.publish import copy_tree, exclusive, publish, stage
from components.push.remote import local_version, publish_remotely, versions_of
from components.push.samples import first_samples
from serving.storage import is_remote


def run(
    model: Path,
    decision: Path,
    evaluation: Path,
    drift: Path,
    options: PushOptions,
    provenance: dict[str, Any],
    records: Path | None = None,
) -> Published:
    """Publishes `<base_path>/<model_name>/<version>/` with its provenance in `loomline/`.

    Pushing the model that is the newest version already publishes nothing. Where `approvers` is
    set, the model waits for one of them instead, and `components.push.approved` publishes it.

    Args:
        model: artifact of the train step.
        decision: artifact of the gate step, about this model.
        evaluation: artifact of the evaluate step, about this model.
        drift: artifact of the drift step.
        options: name and place; `base_path` must be set by now.
        provenance: what the caller knows of the model's origin, such as digests and the run's
            name; what the artifacts say themselves is added and wins.
        records: the run's folder of records, for those who are asked to approve.

    Returns:
        The version that holds the model now, or a `Pending` one.

    Raises:
        RejectedModelError: the decision does not approve.
        AlteredModelError: the model is not the one that was evaluated and decided about.
        ModelError: there is no SavedModel.
        DataError: a file of the decision, the evaluation or the drift report is missing.
        ConfigError: no base path, or no place to wait; the decision leaves the last word to people
            and nobody is listed; the file of reviewers cannot be read.
        PublishError: the base path cannot be written; earlier versions stay as they were.
    """
    if not options.base_path:
        raise ConfigError("expected push.base_path to be a folder. Received: nothing; set it")
    digest = _judged_digest(Model(model), Decision(decision), Evaluation(evaluation))
    _check_evidence(Decision(decision), Evaluation(evaluation), Drift(drift))
    approvers = _approvers(options, Decision(decision))
    attached = _attached(decision, evaluation, drift)
    remote = is_remote(options.base_path)
    # Where it goes is part of what is approved.
    origin = {**provenance, "base_path": options.base_path} if approvers and remote else provenance
    record = collect(digest, Decision(decision), Evaluation(evaluation), Drift(drift), origin)

    def fill(version: Path) -> None:
        copy_tree(Model(model).saved_model, version)
        _check_copy(version, digest)
        beside = Published(version)
        beside.provenance_folder.mkdir()
        for path in attached:
            shutil.copyfile(path, beside.provenance_folder / path.name)
        if Evaluation(evaluation).samples_path.is_file():
            samples = first_samples(Evaluation(evaluation).samples_path)
            write_json(beside.samples_path, {"samples": samples})
        write_json(beside.provenance_path, {"model_name": options.model_name, **record})
        if approvers:
            pending = Pending(version)
            content = {
                "run": _run_of(provenance),
                "model_name": options.model_name,
                "champion_version": Decision(decision).read().get("champion_version"),
                "digests": pending.digests(),
                "records": str(records or ""),
                "approvers": approvers,
                "created": record["created"],
            }
            write_json(pending.pending_path, content)

    if remote and not approvers:
        newest = _newest_of(options.base_path, options.model_name, digest)
        if newest is None:
            newest = publish_remotely(options.base_path, options.model_name, fill)
            print(f"progress: published {newest.location}", flush=True)
        return newest
    here = _waiting_place(options) if remote else Path(options.base_path).absolute()
    with exclusive(here, options.model_name) as folder:
        newest = _newest_of(options.base_path if remote else here, options.model_name, digest)
        if newest is not None:
            return newest
        if approvers:
            waiting = Pending(pending_folder(here, options.model_name, _run_of(provenance)))
            # A step that Kubeflow tries again must not replace what is being looked at.
            if not _waits(waiting, digest, Decision(decision)):
                stage(folder, waiting.path, fill)
            print(f"progress: waiting for approval at {waiting.path}", flush=True)
            return waiting
        published = publish(folder, fill)
    print(f"progress: published {published.path}", flush=True)
    return published


def _approvers(options: PushOptions, decision: Decision) -> str:
    """The absolute path of the file of reviewers, where they have the last word; else nothing.

    Raises:
        ConfigError: the decision asks for people and there is no file, or it cannot be read.
    """
    if not options.approvers:
        if decision.read().get("approval") == "manual":
            raise ConfigError(
                "expected push.approvers, because the decision leaves the last word to people "
                "(gate.approval: manual). Received: nothing; nothing was published"
            )
        return ""
    path = Path(options.approvers).absolute()
    if not read_approvers(path):
        raise ConfigError(
            f"expected reviewers in {path}. Received: an empty list; add one with `loomline "
            f"reviewers add NAME --approvers {path}`"
        )
    return str(path)


def _waiting_place(options: PushOptions) -> Path:
    """The folder in which what goes to an object store waits for a person.

    Raises:
        ConfigError: there is none.
    """
    if not options.waiting:
        raise ConfigError(
            "expected push.waiting to be a folder that reviewers see, because a model waits for "
            f"approval there and not in {options.base_path}. Received: nothing"
        )
    return Path(options.waiting).absolute()


def _run_of(provenance: dict[str, Any]) -> str:
    """The name under which a version waits.

    Raises:
        ConfigError: it is no name of a folder.
    """
    run = str(provenance.get("run") or "")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run):
        raise ConfigError(
            f"expected the provenance to name the run, in letters, digits, '.', '_' and '-', "
            f"because its model waits for approval under that name. Received: {run!r}"
        )
    return run


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


def _check_evidence(decision: Decision, evaluation: Evaluation, drift: Drift) -> None:
    """Whether the reports are those that the gate weighed.

    Raises:
        AlteredModelError: one was changed or replaced since.
    """
    weighed = decision.read().get("evidence", {})
    for path in (evaluation.json_path, drift.json_path):
        if path.name in weighed and digest_files(path) != weighed[path.name]:
            raise AlteredModelError(
                f"expected the {path.name} that the gate decided by "
                f"({_short(weighed[path.name])}). Received: {_short(digest_files(path))}; it was "
                "changed or replaced since, so run the pipeline again"
            )


def _attached(decision: Path, evaluation: Path, drift: Path) -> list[Path]:
    """The evidence that is published with the model."""
    reports = (Decision(decision), Evaluation(evaluation), Drift(drift))
    files = [report.json_path for report in reports]
    # Only text has a score for every example, by which the next version is compared with it.
    if "bits_per_byte" in Evaluation(evaluation).figures():
        files.append(Evaluation(evaluation).scores_path)
    for path in files:
        if not path.is_file():
            raise DataError(f"expected {path.name} in {path.parent}. Received: no such file")
    optional = [*(report.html_path for report in reports), Drift(drift).reference_path]
    return files + [path for path in optional if path.is_file()]


def _newest_of(base_path: Path | str, model_name: str, digest: str) -> Published | None:
    """The newest version, if it holds this very model, unharmed and with its provenance."""
    versions = versions_of(base_path, model_name)
    if not versions:
        return None
    newest = local_version(versions[max(versions)])
    if not newest.provenance_path.is_file() or saved_model_digest(newest.path) != digest:
        return None
    print(f"progress: version {newest.version} is this model already", flush=True)
    return newest


def _waits(pending: Pending, digest: str, decision: Decision) -> bool:
    """Whether this very model waits there already, with this decision."""
    if not pending.pending_path.is_file():
        return False
    copied = Decision(pending.provenance_folder).json_path
    same = copied.is_file() and copied.read_bytes() == decision.json_path.read_bytes()
    return same and saved_model_digest(pending.path) == digest


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

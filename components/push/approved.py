"""Publishes what waited for a person, once a trusted reviewer's record says so."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.artifacts import Decision, Pending, Published, read_json
from components.errors import ApprovalError, PublishError
from components.push.approval import Approval, opened, read_approvers, verify
from components.push.publish import adopt, exclusive
from components.push.remote import file_beside, local_version, publish_as, versions_of
from serving.storage import is_remote


def publish_approved(
    pending: Pending,
    approvers: Path,
    now: datetime | None = None,
    envelope: bytes | None = None,
) -> Published:
    """Publishes a version that a listed reviewer has approved.

    Args:
        pending: the version that waits.
        approvers: the file of trusted keys.
        now: the time, with its zone; the clock's by default.
        envelope: the record of approval; by default the one that lies with the version.

    Raises:
        ApprovalError: there is no record, or it does not hold: see `components.push.approval`; it
            is about another run or other files, was used before, or refuses; another version than
            the decision compared with is served by now.
        ConfigError: the file of reviewers cannot be read.
        DataError, ModelError: nothing of that kind waits there.
        PublishError: the base path cannot be written; what waits stays as it was.
    """
    content = pending.read()
    here, model_name = pending.path.parents[2], pending.path.parents[1].name
    found = _envelope(pending) if envelope is None else envelope
    trusted = read_approvers(approvers)
    with exclusive(here, model_name) as folder:
        approval = verify(found, trusted, now or datetime.now(UTC))
        # From here on the provenance, which says where to, is what was approved.
        _check_approval(approval, pending, content, model_name)
        base_path = pending.base_path
        if is_remote(base_path):
            return _publish_remotely(pending, approval, found, base_path, model_name)
        _check_place(approval, base_path, model_name)
        return adopt(folder, pending.path, lambda: _lay_down(pending, found))


def published_from(base_path: Path | str, model_name: str, run: str) -> Published | None:
    """The version that a run's approved candidate became, or None.

    Raises:
        PublishError: the object store cannot be read.
    """
    for _, location in sorted(versions_of(base_path, model_name).items(), reverse=True):
        waited = file_beside(location, "pending.json")
        if waited is not None and read_json(waited).get("run") == run:
            return local_version(location)
    return None


def forget(pending: Pending) -> None:
    """Removes what waited, in one step for every reader."""
    gone = pending.path.with_name(f".{pending.path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    pending.path.rename(gone)
    shutil.rmtree(gone)


def _publish_remotely(
    pending: Pending, approval: Approval, envelope: bytes, base_path: str, model_name: str
) -> Published:
    """Takes what waited to an object store; killed, the next call goes on."""
    earlier = published_from(base_path, model_name, pending.path.name)
    if earlier is None or _nonce(earlier.approval_path) != approval.predicate["nonce"]:
        last = _check_place(approval, base_path, model_name)
        _lay_down(pending, envelope)
        try:
            earlier = publish_as(pending.path, base_path, model_name, last + 1)
        except PublishError as error:
            raise PublishError(f"{error}; the model still waits at {pending.path}") from None
    forget(pending)
    return earlier


def _envelope(pending: Pending) -> bytes:
    try:
        return pending.approval_path.read_bytes()
    except OSError:
        raise ApprovalError(
            f"expected a record of approval at {pending.approval_path}. Received: none; "
            f"run `loomline approve {pending.path.name}`"
        ) from None


def _lay_down(pending: Pending, envelope: bytes) -> None:
    """Puts the very record that was checked beside the model, whatever lies there by now."""
    partial = pending.path.with_name(f".{pending.path.name}.checked")
    partial.write_bytes(envelope)
    partial.replace(pending.approval_path)


def _check_approval(
    approval: Approval, pending: Pending, content: dict[str, Any], model_name: str
) -> None:
    """Whether a verified record is about this version.

    Raises:
        ApprovalError: it is not, or it refuses.
    """
    said = approval.predicate
    expected = {
        "run": pending.path.name,
        "model_name": model_name,
        "champion_version": Decision(pending.provenance_folder).read().get("champion_version"),
    }
    for name, value in expected.items():
        if said[name] != value or content.get(name) != value:
            raise ApprovalError(
                f"expected an approval whose {name} is {value!r}. Received: one about "
                f"{said[name]!r}; approve this run"
            )
    digests = pending.digests()
    for name in sorted(digests.keys() | approval.digests.keys()):
        if digests.get(name) != approval.digests.get(name):
            raise ApprovalError(
                f"expected the {name} that {approval.reviewer} approved "
                f"({_short(approval.digests.get(name))}). Received: "
                f"{_short(digests.get(name))}; it was changed since, so run the pipeline again"
            )
    if not approval.approved:
        raise ApprovalError(
            f"expected an approval. Received: {approval.reviewer}'s refusal"
            + (f" ({said['comment']})" if said["comment"] else "")
        )


def _check_place(approval: Approval, base_path: str, model_name: str) -> int:
    """Whether the record is fresh, and what it was weighed against is still what is served.

    Returns:
        The newest version, or 0.

    Raises:
        ApprovalError: it is not.
    """
    versions = versions_of(base_path, model_name)
    for version, location in versions.items():
        if approval.predicate["nonce"] == _nonce_at(location):
            raise ApprovalError(
                f"expected an approval that was not used yet. Received: that of version "
                f"{version}, published already; approve the run anew"
            )
    newest = max(versions, default=None)
    weighed = approval.predicate["champion_version"]
    if newest != weighed:
        named = ["no version" if one is None else f"version {one}" for one in (weighed, newest)]
        raise ApprovalError(
            f"expected the approved model to follow {named[0]}, which it was compared with. "
            f"Received: {named[1]} is the newest by now; run the pipeline again"
        )
    return newest or 0


def _nonce_at(location: str) -> object:
    """Of the approval that published a version; None where there is none that can be read."""
    path = file_beside(location, "approval.json")
    return None if path is None else _nonce(path)


def _nonce(path: Path) -> object:
    try:
        payload, _, _ = opened(path.read_bytes())
        return json.loads(payload)["predicate"]["nonce"]
    except (OSError, ApprovalError, ValueError, KeyError, TypeError):
        return None


def _short(digest: object) -> str:
    return str(digest)[:12] if digest else "none"

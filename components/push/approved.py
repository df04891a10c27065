"""Publishes what waited for a person, once a trusted reviewer's record says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.artifacts import Decision, Pending, Published, published_versions
from components.errors import ApprovalError
from components.push.approval import Approval, opened, read_approvers, verify
from components.push.publish import adopt, exclusive


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
    base_path, model_name = pending.path.parents[2], pending.path.parents[1].name
    found = _envelope(pending) if envelope is None else envelope
    trusted = read_approvers(approvers)
    with exclusive(base_path, model_name) as folder:
        approval = verify(found, trusted, now or datetime.now(UTC))
        _check_approval(approval, pending, content, model_name)
        _check_place(approval, base_path, model_name)
        return adopt(folder, pending.path, lambda: _lay_down(pending, found))


def published_from(base_path: Path, model_name: str, run: str) -> Published | None:
    """The version that a run's approved candidate became, or None."""
    for version in reversed(published_versions(base_path, model_name)):
        waited = Pending(version.path)
        if waited.pending_path.is_file() and waited.read().get("run") == run:
            return version
    return None


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


def _check_place(approval: Approval, base_path: Path, model_name: str) -> None:
    """Whether the record is fresh, and what it was weighed against is still what is served.

    Raises:
        ApprovalError: it is not.
    """
    versions = published_versions(base_path, model_name)
    for version in versions:
        if approval.predicate["nonce"] == _nonce(version):
            raise ApprovalError(
                f"expected an approval that was not used yet. Received: that of version "
                f"{version.version}, published already; approve the run anew"
            )
    newest = versions[-1].version if versions else None
    weighed = approval.predicate["champion_version"]
    if newest != weighed:
        named = ["no version" if one is None else f"version {one}" for one in (weighed, newest)]
        raise ApprovalError(
            f"expected the approved model to follow {named[0]}, which it was compared with. "
            f"Received: {named[1]} is the newest by now; run the pipeline again"
        )


def _nonce(version: Published) -> object:
    """Of the approval that published a version; None where there is none that can be read."""
    try:
        payload, _, _ = opened(version.approval_path.read_bytes())
        return json.loads(payload)["predicate"]["nonce"]
    except (OSError, ApprovalError, ValueError, KeyError, TypeError):
        return None


def _short(digest: object) -> str:
    return str(digest)[:12] if digest else "none"

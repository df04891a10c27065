"""Turns a person's verdict into a signed record, a row of the store and an entry of the log."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from serving.review.candidates import Candidate
from serving.review.errors import ReviewError
from serving.review.reviewers import Reviewer, read
from serving.review.signing import key_id_of, public_bytes, sign
from serving.store import Approval, AuditEntry, Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VALID_DAYS = 7.0
_LONGEST_COMMENT = 10_000


def decide(
    store: Store,
    candidate: Candidate,
    key: Ed25519PrivateKey,
    approvers: Path,
    *,
    verdict: str,
    comment: str,
    days: float = VALID_DAYS,
    on_behalf_of: str = "",
) -> tuple[Approval, bool]:
    """Decides about a candidate; `approval.json` lies beside it afterwards.

    A verdict that stands already is not replaced: of two reviewers at once the first one counts,
    and a second call with the same verdict goes on where a killed one stopped.

    Args:
        store: where verdicts and the audit log are.
        candidate: what waits.
        key: the reviewer's private key.
        approvers: the file of reviewers, which must list the key.
        verdict: `approved` or `rejected`.
        comment: why, in the reviewer's words.
        days: until an approval that was not used expires.
        on_behalf_of: who decided, where the key is that of a service which knows its callers.

    Returns:
        The verdict that stands, and whether it is this call's.

    Raises:
        ReviewError: the key is not listed or does not count any more; the evidence was changed;
            another verdict stands.
        StoreError: the database failed; nothing was decided.
    """
    now = datetime.now(UTC)
    reviewer = _reviewer(key, approvers, now)
    if len(comment) > _LONGEST_COMMENT:
        raise ReviewError(
            f"expected a comment of at most {_LONGEST_COMMENT} letters. Received: {len(comment)}"
        )
    digests = candidate.check()
    try:
        expires = now + timedelta(days=days)
    except OverflowError:
        raise ReviewError(f"expected fewer days. Received: {days:g}") from None

    def signed(head: AuditEntry | None) -> Approval:
        nonce = secrets.token_hex(16)
        predicate = {
            "run": candidate.run,
            "model_name": candidate.model_name,
            "champion_version": candidate.champion_version,
            "verdict": verdict,
            "comment": comment,
            "reviewer": on_behalf_of or reviewer.name,
            "created": now.isoformat(timespec="seconds"),
            "expires": expires.isoformat(timespec="seconds"),
            "nonce": nonce,
            "audit_log": {"id": head.id, "digest": head.digest} if head else None,
        }
        envelope = sign(key, digests, predicate)
        return Approval(
            nonce,
            candidate.model_name,
            candidate.run,
            verdict,
            on_behalf_of or reviewer.name,
            comment,
            now,
            expires,
            envelope,
        )

    approval, new = store.approvals.decide(candidate.model_name, candidate.run, now, signed)
    if approval.verdict != verdict:
        raise ReviewError(
            f"expected no other verdict on {candidate.model_name}/{candidate.run}. Received: "
            f"{approval.reviewer} {approval.verdict} it at {approval.created:%Y-%m-%d %H:%M} UTC"
            + (f" ({approval.comment})" if approval.comment else "")
            + "; run the pipeline again for another candidate"
        )
    _lay_down(candidate, approval)
    return approval, new


def _reviewer(key: Ed25519PrivateKey, approvers: Path, now: datetime) -> Reviewer:
    """Whose key it is.

    Raises:
        ReviewError: nobody's who may decide.
    """
    key_id = key_id_of(public_bytes(key))
    found = [one for one in read(approvers) if one.key_id == key_id]
    if not found:
        raise ReviewError(
            f"expected the key of a reviewer in {approvers}. Received: the key {key_id}, which is "
            "not listed; have it added with `loomline reviewers add`"
        )
    state = found[0].state(now)
    if state != "good":
        raise ReviewError(
            f"expected a key that counts. Received: {found[0].name}'s key {key_id}, {state}"
        )
    return found[0]


def _lay_down(candidate: Candidate, approval: Approval) -> None:
    path = candidate.evidence / "approval.json"
    # Not among the evidence, where the rest of a killed call would be something added.
    partial = candidate.path.with_name(f".{candidate.run}.{os.getpid()}")
    try:
        partial.write_text(approval.envelope, "utf-8")
        partial.replace(path)
    except OSError as error:
        raise ReviewError(
            f"expected to write {path}. Received: {error.strerror}; the verdict is recorded, so "
            "run the same command again"
        ) from None

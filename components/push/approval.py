"""Checks a person's approval: a signed statement about the very files that would be published.

The envelope is DSSE (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md), the
statement in-toto's (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md), the
signature Ed25519 (RFC 8032). Its subjects are the digests that `Pending.digests` gives; its
predicate has `run`, `model_name`, `champion_version`, `verdict` (approved, rejected), `comment`,
`reviewer`, `created`, `expires` (ISO 8601, UTC), `nonce`, and `audit_log` (`id` and `digest` of the
newest entry when it was signed, or null).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.errors import ApprovalError, ConfigError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:loomline:approval:v1"
# Clocks of machines differ; a record from further ahead than this was not signed now.
_CLOCK_SKEW = timedelta(minutes=5)


@dataclasses.dataclass(frozen=True)
class Approver:
    """A person whose signature counts.

    Attributes:
        name: who it is.
        public_key: 32 bytes.
        expires, revoked: from when on the key does not count, or None.
    """

    name: str
    public_key: bytes
    expires: datetime | None
    revoked: datetime | None


@dataclasses.dataclass(frozen=True)
class Approval:
    """What a verified statement says.

    Attributes:
        reviewer: the name that the file of trusted keys gives the signer.
        key_id: of the signer's key.
        predicate: see the module.
        digests: name -> SHA-256, of the files that it is about.
    """

    reviewer: str
    key_id: str
    predicate: Mapping[str, Any]
    digests: Mapping[str, str]

    @property
    def approved(self) -> bool:
        return bool(self.predicate["verdict"] == "approved")


def read_approvers(path: Path) -> dict[str, Approver]:
    """Reads the file of trusted keys, which `loomline reviewers` keeps.

    Args:
        path: JSON with the key `reviewers`: a list of `name`, `key_id`, `public_key` (Base64 of 32
            bytes), `expires` and `revoked` (ISO 8601 with a zone, or null).

    Returns:
        key id -> approver.

    Raises:
        ConfigError: there is no such file, or it is not of that form.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        listed = [
            (
                str(one["key_id"]),
                Approver(
                    str(one["name"]),
                    _public_key(one["public_key"]),
                    _time(one.get("expires")),
                    _time(one.get("revoked")),
                ),
            )
            for one in content["reviewers"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"push.approvers: expected a file of reviewers at {path}. Received: "
            f"{_cause(error)}. Make one with `loomline reviewers add NAME --approvers {path}`"
        ) from None
    if len(dict(listed)) != len(listed):
        raise ConfigError(f"{path}: expected every key once. Received: a key that is listed twice")
    return dict(listed)


def verify(envelope: bytes, approvers: Mapping[str, Approver], now: datetime) -> Approval:
    """Checks who signed, that the key and the record count now, and reads the statement.

    Args:
        envelope: the content of `approval.json`.
        approvers: the trusted keys.
        now: the time, with its zone.

    Raises:
        ApprovalError: it is not an approval record, nobody who is trusted signed it, or it or its
            key has expired or been revoked.
    """
    payload, key_id, signature = opened(envelope)
    approver = approvers.get(key_id)
    if approver is None:
        known = ", ".join(sorted(one.name for one in approvers.values())) or "nobody"
        raise ApprovalError(
            f"expected the signature of a listed reviewer ({known}). Received: that of the unknown "
            f"key {key_id!r}"
        )
    _check_signature(approver, payload, signature)
    for what, since in (("revoked", approver.revoked), ("expired", approver.expires)):
        # Once revoked it counts for nothing, whenever it signed: a thief chooses the time.
        if since is not None and (what == "revoked" or now >= since):
            raise ApprovalError(
                f"expected a key that counts. Received: {approver.name}'s ({key_id}), {what} on "
                f"{since:%Y-%m-%d}; ask another reviewer"
            )
    approval = _stated(payload, approver.name, key_id)
    created, expires = (_time(approval.predicate[name]) for name in ("created", "expires"))
    if created is None or expires is None:
        raise ApprovalError("expected a record with times. Received: one without")
    if created > now + _CLOCK_SKEW:
        raise ApprovalError(
            f"expected a record of now or before. Received: one signed at {created.isoformat()}, "
            f"and the clock here says {now.isoformat(timespec='seconds')}"
        )
    if now >= expires:
        raise ApprovalError(
            f"expected an approval that has not expired. Received: one that {approver.name} gave "
            f"until {expires:%Y-%m-%d %H:%M} UTC; approve the run again"
        )
    return approval


def opened(envelope: bytes) -> tuple[bytes, str, bytes]:
    """Payload, key id and signature of a DSSE envelope that has one signature, unchecked.

    Raises:
        ApprovalError: it is something else.
    """
    try:
        content = json.loads(envelope)
        (signed,) = content["signatures"]
        if content["payloadType"] != PAYLOAD_TYPE:
            raise ValueError(f"payload of type {content['payloadType']!r}")
        payload = base64.b64decode(content["payload"], validate=True)
        return payload, str(signed["keyid"]), base64.b64decode(signed["sig"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ApprovalError(
            f"expected a signed approval record. Received: {_cause(error)}"
        ) from None


def _check_signature(approver: Approver, payload: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(approver.public_key)
    try:
        key.verify(signature, pre_authentication_encoding(payload))
    except InvalidSignature:
        raise ApprovalError(
            f"expected {approver.name}'s signature under the record. Received: one that does not "
            "fit it; the record was changed, or is not theirs"
        ) from None


def pre_authentication_encoding(payload: bytes) -> bytes:
    """What is signed: the payload with its type and length, as DSSE says."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _stated(payload: bytes, reviewer: str, key_id: str) -> Approval:
    try:
        statement = json.loads(payload)
        kinds = (statement["_type"], statement["predicateType"])
        if kinds != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise ValueError(f"a statement of the kind {kinds}")
        predicate = statement["predicate"]
        missing = _KEYS - set(predicate)
        if missing:
            raise ValueError(f"one without {', '.join(sorted(missing))}")
        subjects = [(one["name"], one["digest"]["sha256"]) for one in statement["subject"]]
        if len(dict(subjects)) != len(subjects):
            raise ValueError("a subject that is named twice")
        for name in ("created", "expires"):
            _time(predicate[name])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ApprovalError(
            f"expected a statement of approval. Received: {_cause(error)}"
        ) from None
    return Approval(reviewer, key_id, predicate, dict(subjects))


_KEYS = {
    *("run", "model_name", "champion_version", "verdict", "comment"),
    *("reviewer", "created", "expires", "nonce", "audit_log"),
}


def _public_key(text: object) -> bytes:
    key = base64.b64decode(str(text), validate=True)
    if len(key) != 32:
        raise ValueError(f"a public key of {len(key)} bytes, not 32")
    return key


def _time(text: object) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(str(text))
    if time.tzinfo is None:
        raise ValueError(f"the time {text} without its zone")
    return time.astimezone(UTC)


def _cause(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "an unreadable file"
    if isinstance(error, KeyError):
        return f"one without {error}"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "something that is not JSON"
    if isinstance(error, binascii.Error):
        return "something that is not Base64"
    return str(error) if isinstance(error, ValueError) else "another form"

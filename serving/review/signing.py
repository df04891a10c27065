"""Reviewers' Ed25519 keys, and the signed records that the push step verifies.

A record is a DSSE envelope (https://github.com/secure-systems-lab/dsse) around an in-toto statement
(https://in-toto.io/Statement/v1); `components/push/approval.py` describes and verifies it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.review.errors import ReviewError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:loomline:approval:v1"


def default_key_path() -> Path:
    """Where a reviewer's private key lies unless LOOMLINE_REVIEW_KEY says otherwise."""
    chosen = os.environ.get("LOOMLINE_REVIEW_KEY")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "loomline" / "reviewer.key"


def make_key(path: Path) -> Ed25519PrivateKey:
    """Makes a private key that its owner alone may read; a key that is there is left alone.

    Raises:
        ReviewError: there is a file already, or it cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
    except OSError as error:
        raise ReviewError(
            f"expected to write a new key at {path}. Received: {error.strerror}"
        ) from None
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Reads a private key.

    Raises:
        ReviewError: there is none, it is of another kind, or others may read it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        text = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise ReviewError(
            f"expected a reviewer's private key at {path}. Received: {error.strerror}. Make one "
            "with `loomline reviewers add NAME`, or name another file with --key"
        ) from None
    key = None
    # TypeError: a key that asks for a passphrase.
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_private_key(text, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ReviewError(
            f"expected an Ed25519 private key without a passphrase, in PEM, at {path}. Received: "
            "something else"
        )
    if mode & 0o077:
        raise ReviewError(
            f"expected a private key that its owner alone may read. Received: {path} with mode "
            f"{mode & 0o777:o}; run `chmod 600 {path}`, or make a new key if others have seen it"
        )
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of a key's public half."""
    return key.public_key().public_bytes_raw()


def key_id_of(public: bytes) -> str:
    """The name of a public key: the beginning of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def sign(key: Ed25519PrivateKey, digests: dict[str, str], predicate: dict[str, Any]) -> str:
    """A signed record, as JSON.

    Args:
        key: the reviewer's.
        digests: name -> SHA-256, of what is decided about.
        predicate: the verdict and its circumstances.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    payload = json.dumps(statement, sort_keys=True).encode()
    # DSSE's pre-authentication encoding.
    signed = b"DSSEv1 %d %s %d %s" % (
        len(PAYLOAD_TYPE),
        PAYLOAD_TYPE.encode(),
        len(payload),
        payload,
    )
    signature = {
        "keyid": key_id_of(public_bytes(key)),
        "sig": base64.b64encode(key.sign(signed)).decode(),
    }
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [signature],
    }
    return json.dumps(envelope, indent=2) + "\n"


def predicate_of(envelope: str) -> dict[str, Any]:
    """What a record says, unchecked; empty where it is none."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        predicate = json.loads(base64.b64decode(json.loads(envelope)["payload"]))["predicate"]
        return predicate if isinstance(predicate, dict) else {}
    return {}

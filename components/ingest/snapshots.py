"""Identifies what a source held when it was read: a digest over its files' names and bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from components.errors import DataError


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file's bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise DataError(f"expected a readable file. Received: {error}") from None


def combine(digests: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over the name and the digest of each file of a source, in order."""
    combined = hashlib.sha256()
    for name, digest in digests:
        combined.update(name.encode() + b"\0" + digest)
    return combined.hexdigest()


def digest_of(files: Iterable[tuple[str, Path]]) -> str:
    """Identifies the content of the files of a source.

    Raises:
        DataError: one of them cannot be read.
    """
    return combine((name, file_digest(path)) for name, path in files)

"""Checksums of files, written `ALGORITHM:VALUE` as object stores give them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def crc32c(path: Path) -> str:
    """CRC32C of a file as both stores write it: base64 of the big-endian number."""
    return checksum(path, "crc32c")


def crc32c_of(content: bytes) -> str:
    """CRC32C of bytes, without the name of the algorithm."""
    return _value(_started("crc32c", content), "crc32c")


def checksum(path: Path, algorithm: str) -> str:
    """The checksum of a file: crc32c and sha256 in base64, md5 in hexadecimal."""
    running = _started(algorithm)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            running.update(block)
    return f"{algorithm}:{_value(running, algorithm)}"


def matches(path: Path, expected: str) -> bool:
    """Whether a file has a checksum; nothing matches the empty one."""
    return bool(expected) and checksum(path, expected.partition(":")[0]) == expected


def _started(algorithm: str, content: bytes = b"") -> Any:
    if algorithm == "crc32c":
        import google_crc32c

        return google_crc32c.Checksum(content)
    return hashlib.new(algorithm, content, usedforsecurity=False)


def _value(running: Any, algorithm: str) -> str:
    digest: bytes = running.digest()
    return digest.hex() if algorithm == "md5" else base64.b64encode(digest).decode()

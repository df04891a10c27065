"""The file of reviewers: who may approve, by their public keys. It belongs into version control."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from serving.review.errors import ReviewError
from serving.review.signing import key_id_of


@dataclasses.dataclass(frozen=True)
class Reviewer:
    """A person whose signature counts until the key expires or is revoked.

    Attributes:
        public_key: Base64 of 32 bytes.
        added, expires, revoked: ISO 8601, UTC.
    """

    name: str
    key_id: str
    public_key: str
    added: str
    expires: str | None = None
    revoked: str | None = None

    def state(self, now: datetime) -> str:
        """`good`, or why the key does not count."""
        if self.revoked:
            return f"revoked {self.revoked[:10]}"
        if self.expires and now >= datetime.fromisoformat(self.expires):
            return f"expired {self.expires[:10]}"
        return "good"


def read(path: Path) -> list[Reviewer]:
    """The reviewers of a file, in its order; none where there is no file.

    Raises:
        ReviewError: it is something else.
    """
    try:
        listed = json.loads(path.read_text("utf-8"))["reviewers"]
        return [Reviewer(**one) for one in listed]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "another form"
        raise ReviewError(f"expected a file of reviewers at {path}. Received: {cause}") from None


def add(path: Path, name: str, public: bytes, expires: datetime | None = None) -> Reviewer:
    """Lists a reviewer.

    Raises:
        ReviewError: the key is listed already, or the file cannot be written.
    """
    listed = read(path)
    reviewer = Reviewer(
        name,
        key_id_of(public),
        base64.b64encode(public).decode(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        expires.astimezone(UTC).isoformat(timespec="seconds") if expires else None,
    )
    for other in listed:
        if other.key_id == reviewer.key_id:
            raise ReviewError(
                f"expected a key that is not listed yet. Received: {other.name}'s key "
                f"({other.key_id}); choose another one with --key"
            )
    _write(path, [*listed, reviewer])
    return reviewer


def revoke(path: Path, key_id: str) -> Reviewer:
    """Makes a key count for nothing from now on; a second time changes nothing.

    Raises:
        ReviewError: no key of that id is listed, or the file cannot be written.
    """
    listed = read(path)
    places = [place for place, one in enumerate(listed) if one.key_id == key_id]
    if not places:
        raise ReviewError(
            f"expected the id of a key in {path} (loomline reviewers list). Received: {key_id!r}"
        )
    place = places[0]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    listed[place] = dataclasses.replace(listed[place], revoked=listed[place].revoked or now)
    _write(path, listed)
    return listed[place]


def _write(path: Path, reviewers: Sequence[Reviewer]) -> None:
    content = {"reviewers": [dataclasses.asdict(one) for one in reviewers]}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise ReviewError(
            f"expected to write the file of reviewers {path}. Received: {error.strerror}"
        ) from None

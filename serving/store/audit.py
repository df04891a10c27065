"""The audit log: entries that are only ever added, each bound to the one before by its digest.

An entry's digest is SHA-256 over its id, the digest before it, and its content. Changing, leaving
out or reordering entries breaks the chain; cutting off its end, or writing it anew, shows against
an entry that somebody has kept elsewhere, as every signed approval does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving.store.cleaning import storable
from serving.store.engine import transaction
from serving.store.errors import StoreError, TamperedError
from serving.store.schema import AUDIT_LOG
from serving.store.types import AuditEntry

GENESIS = "0" * 64
_PAGE = 1000


class AuditLog:
    """Who did what to which model, and when."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def append(
        self, event: str, *, actor: str, subject: str, details: dict[str, Any] | None = None
    ) -> AuditEntry:
        """Adds an entry; when it returns, it is on disk.

        Args:
            event: such as `candidate.approved`.
            actor: who did it.
            subject: what it was done to, such as `text/20261123-120000`.
            details: what else there is to know, as JSON.

        Raises:
            StoreError: it was not added.
        """
        with transaction(self._engine, writes=True) as connection:
            lock(connection)
            return append(connection, event, actor, subject, details or {})

    def entries(self, *, subject: str | None = None) -> Iterator[AuditEntry]:
        """All entries, oldest first, a page in memory at a time.

        Args:
            subject: of this one only.

        Raises:
            StoreError: the database failed.
        """
        last = 0
        while True:
            query = sa.select(AUDIT_LOG).where(AUDIT_LOG.c.id > last)
            query = query.order_by(AUDIT_LOG.c.id).limit(_PAGE)
            with transaction(self._engine, writes=False) as connection:
                page = [AuditEntry(**row._mapping) for row in connection.execute(query)]
            for entry in page:
                if subject is None or entry.read().get("subject") == subject:
                    yield entry
            if len(page) < _PAGE:
                return
            last = page[-1].id


def lock(connection: sa.Connection) -> None:
    """Makes others wait who would append, until the transaction ends; SQLite does so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE audit_log IN EXCLUSIVE MODE"))


def newest(connection: sa.Connection) -> AuditEntry | None:
    """The newest entry."""
    query = sa.select(AUDIT_LOG).order_by(AUDIT_LOG.c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else AuditEntry(**row._mapping)


def append(
    connection: sa.Connection, event: str, actor: str, subject: str, details: dict[str, Any]
) -> AuditEntry:
    """Adds an entry within a transaction that holds the lock."""
    before = newest(connection)
    content = {
        "time": datetime.now(UTC).isoformat(),
        "event": event,
        "actor": actor,
        "subject": subject,
        "details": details,
    }
    text = json.dumps(storable(content), sort_keys=True, ensure_ascii=False)
    number = before.id + 1 if before else 1
    previous = before.digest if before else GENESIS
    entry = AuditEntry(number, text, previous, digest_of(number, previous, text))
    values = {"id": entry.id, "content": text, "previous": previous, "digest": entry.digest}
    connection.execute(sa.insert(AUDIT_LOG).values(values))
    return entry


def digest_of(number: int, previous: str, content: str) -> str:
    """The digest that binds an entry to the one before."""
    return hashlib.sha256(f"{number}\n{previous}\n{content}".encode()).hexdigest()


def checked(entries: Iterable[AuditEntry]) -> Iterator[AuditEntry]:
    """The entries as they come, each of them checked against the one before.

    Raises:
        TamperedError: the chain breaks; what came before has held.
    """
    previous = GENESIS
    for number, entry in enumerate(entries, 1):
        if entry.id != number:
            raise TamperedError(
                f"expected entry {number} of the audit log. Received: entry {entry.id}; "
                f"{_held(number)}"
            )
        if entry.previous != previous:
            raise TamperedError(
                f"expected entry {number} of the audit log to follow {previous[:12]}. Received: "
                f"one that follows {str(entry.previous)[:12]}; {_held(number)}"
            )
        digest = digest_of(number, previous, entry.content)
        if entry.digest != digest:
            raise TamperedError(
                f"expected entry {number} of the audit log to have the digest {digest[:12]}. "
                f"Received: {str(entry.digest)[:12]}; its content was changed; {_held(number)}"
            )
        previous = digest
        yield entry


def _held(number: int) -> str:
    return "nothing before it is in doubt" if number > 1 else "it is the first one"


def read_export(path: Path) -> Iterator[AuditEntry]:
    """Entries of a file that `loomline audit export` wrote, a line of JSON each.

    Raises:
        TamperedError: a line is none; the last one may have been torn while it was written.
        StoreError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                yield _entry(line, number)
    except OSError as error:
        raise StoreError(
            f"expected a file of audit entries at {path}. Received: {error.strerror}"
        ) from None


def _entry(line: bytes, number: int) -> AuditEntry:
    if not line.endswith(b"\n"):
        raise TamperedError(
            f"expected line {number} to be a whole entry. Received: the beginning of one; writing "
            "it was cut off, so export the log again"
        )
    try:
        fields = json.loads(line)
        texts = [fields[name] for name in ("content", "previous", "digest")]
        if not isinstance(fields["id"], int) or not all(isinstance(one, str) for one in texts):
            raise ValueError
        return AuditEntry(fields["id"], *texts)
    except (ValueError, KeyError, TypeError):
        raise TamperedError(
            f"expected line {number} to be an entry of the audit log. Received: "
            f"{line[:40].decode('utf-8', 'replace').strip()!r}"
        ) from None

"""API keys, and how much each was used."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import uuid
from datetime import UTC, date, datetime
from typing import cast

import sqlalchemy as sa

from serving.store.cleaning import storable
from serving.store.engine import insert, transaction
from serving.store.schema import KEYS, USAGE
from serving.store.types import Key

SECRET_PREFIX = "ll_"
_SHOWN = 9
_NAME = 200
_FIELDS = [KEYS.c[field.name] for field in dataclasses.fields(Key)]


def _digest(secret: str) -> str:
    # A secret of 256 random bits needs no slow hash: it cannot be guessed.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Keys:
    """API keys by the digest of their secret."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(
        self,
        name: str,
        *,
        expires: datetime | None = None,
        requests_per_minute: int | None = None,
        tokens_per_day: int | None = None,
        admin: bool = False,
    ) -> tuple[Key, str]:
        """Makes a key.

        Returns:
            The key, and its secret, which is not kept.

        Raises:
            StoreError: the database failed.
        """
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        key = Key(
            id=uuid.uuid4().hex,
            name=storable(name)[:_NAME],
            prefix=secret[:_SHOWN],
            created=datetime.now(UTC),
            expires=expires,
            revoked=None,
            requests_per_minute=requests_per_minute,
            tokens_per_day=tokens_per_day,
            admin=admin,
        )
        with transaction(self._engine, writes=True) as connection:
            row = {**dataclasses.asdict(key), "digest": _digest(secret)}
            connection.execute(sa.insert(KEYS).values(row))
        return key, secret

    def find(self, secret: str) -> Key | None:
        """The key of a secret, which may have expired or been revoked: see `Key.problem`.

        Digests are compared, so the time it takes tells nothing about a secret.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(*_FIELDS).where(KEYS.c.digest == _digest(secret))
        with transaction(self._engine, writes=False) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Key(**row._mapping)

    def list(self) -> list[Key]:
        """All keys, oldest first.

        Raises:
            StoreError: the database failed.
        """
        with transaction(self._engine, writes=False) as connection:
            rows = connection.execute(sa.select(*_FIELDS).order_by(KEYS.c.created, KEYS.c.id))
            return [Key(**row._mapping) for row in rows]

    def revoke(self, key_id: str) -> bool:
        """Revokes a key for good.

        Returns:
            False where there is no such key; a second time changes nothing.

        Raises:
            StoreError: the database failed.
        """
        now = sa.func.coalesce(KEYS.c.revoked, sa.literal(datetime.now(UTC), KEYS.c.revoked.type))
        statement = sa.update(KEYS).where(KEYS.c.id == key_id).values(revoked=now)
        with transaction(self._engine, writes=True) as connection:
            result = cast("sa.CursorResult[object]", connection.execute(statement))
        return result.rowcount == 1


class Usage:
    """Requests and tokens of each key and day (UTC)."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, key_id: str, day: date, requests: int, tokens: int) -> None:
        """Adds to a day's counts; several processes may do so at once.

        Raises:
            StoreError: nothing was added.
        """
        added = insert(self._engine, USAGE).values(
            key_id=key_id, day=day, requests=requests, tokens=tokens
        )
        statement = added.on_conflict_do_update(
            index_elements=["key_id", "day"],
            set_={
                "requests": USAGE.c.requests + added.excluded.requests,
                "tokens": USAGE.c.tokens + added.excluded.tokens,
            },
        )
        with transaction(self._engine, writes=True) as connection:
            connection.execute(statement)

    def tokens_today(self, key_id: str, day: date) -> int:
        """Tokens of a key on a day.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(USAGE.c.tokens).where(USAGE.c.key_id == key_id, USAGE.c.day == day)
        with transaction(self._engine, writes=False) as connection:
            return connection.execute(query).scalar() or 0

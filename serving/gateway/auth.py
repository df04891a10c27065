"""Who calls: API keys of the store, trusted for some seconds between two looks at it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime

from serving.gateway.database import Database
from serving.gateway.errors import ApiError
from serving.gateway.limits import Usage
from serving.store import Key, Store

_log = logging.getLogger(__name__)
_ENTRIES = 10_000
_LONGEST = 256
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who sent a request, and what it may do.

    Attributes:
        key_id: None without keys.
        admin: sees everybody's requests.
        bucket: what its rate is counted under.
        requests_per_minute, tokens_per_day: its limits; None for none.
        name: of the key; '' without keys.
    """

    key_id: str | None
    admin: bool
    bucket: str
    requests_per_minute: int | None
    tokens_per_day: int | None
    name: str = ""


@dataclasses.dataclass
class _Entry:
    key: Key | None
    at: float


class Keys:
    """Finds the caller of an Authorization header.

    Args:
        database: that has the keys.
        usage: is told what a key has used today whenever the key is looked up.
        trust_seconds: until a key is looked up again; a revocation takes effect within them.
        stale_seconds: that a key goes on being accepted while the database is down.
    """

    def __init__(
        self, database: Database, usage: Usage, trust_seconds: float, stale_seconds: float
    ) -> None:
        self._database, self._usage = database, usage
        self._trust, self._stale = trust_seconds, stale_seconds
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._lookups: dict[bytes, asyncio.Future[_Entry]] = {}
        self._down = False

    async def find(self, authorization: str | None) -> Key:
        """The key of a header.

        Raises:
            ApiError: there is none, it is unknown, expired or revoked, or the database is down.
        """
        if not authorization:
            raise ApiError(
                "UNAUTHENTICATED",
                "expected an Authorization header: Bearer ll_... Received: none",
                headers=_CHALLENGE,
            )
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret or len(secret) > _LONGEST:
            raise ApiError(
                "UNAUTHENTICATED",
                "expected an Authorization header: Bearer ll_... Received: another form",
                headers=_CHALLENGE,
            )
        key = await self._known(secret)
        problem = "the key is unknown" if key is None else key.problem(datetime.now(UTC))
        if key is None or problem is not None:
            challenge = f'Bearer error="invalid_token", error_description="{problem}"'
            raise ApiError(
                "UNAUTHENTICATED",
                f"expected a valid key. Received: {problem}",
                headers={"WWW-Authenticate": challenge},
            )
        return key

    async def _known(self, secret: str) -> Key | None:
        # Secrets themselves do not stay in memory.
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        entry = self._entries.get(digest)
        now = time.monotonic()
        if entry is not None and now - entry.at < self._trust:
            return entry.key
        lookup = self._lookups.get(digest)
        if lookup is None:
            lookup = asyncio.ensure_future(self._look_up(digest, secret))
            self._lookups[digest] = lookup
            lookup.add_done_callback(lambda done: self._looked_up(digest, done))
        stale = entry.key if entry is not None and now - entry.at < self._stale else None
        if stale is not None and self._down:
            # The look-up goes on, and tells when the database is back; nobody waits for it.
            return stale
        try:
            # A caller that goes away must not end the look-up of the others.
            return (await asyncio.shield(lookup)).key
        except ApiError:
            if stale is None:
                raise
            return stale

    def _looked_up(self, digest: bytes, lookup: asyncio.Future[_Entry]) -> None:
        self._lookups.pop(digest, None)
        self._down = not lookup.cancelled() and lookup.exception() is not None

    async def _look_up(self, digest: bytes, secret: str) -> _Entry:
        key = await self._database.run(lambda store: self._read(store, secret))
        entry = _Entry(key, time.monotonic())
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        if len(self._entries) > _ENTRIES:
            self._entries.popitem(last=False)
        return entry

    def _read(self, store: Store, secret: str) -> Key | None:
        key = store.keys.find(secret)
        if key is not None:
            day = datetime.now(UTC).date()
            with self._usage.lock:
                self._usage.stored(key.id, day, store.usage.tokens_today(key.id, day))
        return key

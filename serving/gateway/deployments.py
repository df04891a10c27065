"""Notes in the registry which versions the model server serves, whenever that changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from serving.client import ClientError
from serving.gateway.catalog import Upstream
from serving.gateway.database import Database
from serving.store import Store

_log = logging.getLogger(__name__)
# What stays as it is, is confirmed so often: see `serving.store.types.SEEN_RECENTLY`.
_CONFIRM_SECONDS = 60.0


class DeploymentWatcher:
    """Asks the model server again and again; while it is away, what was noted grows old.

    Args:
        upstream: the model server.
        database: that has the registry.
        server: what the registry calls the model server.
        models: names of the models.
        seconds: between two looks.
    """

    def __init__(
        self,
        upstream: Upstream,
        database: Database,
        server: str,
        models: Sequence[str],
        seconds: float,
    ) -> None:
        self._upstream, self._database = upstream, database
        self._server, self._models, self._seconds = server, models, seconds
        self._noted: dict[str, tuple[float, dict[int, list[str]]]] = {}
        self._failing = False

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            for model in self._models:
                try:
                    await self.look(model)
                    self._failing = False
                except ClientError:
                    # /readyz and every call tell of a server that is away.
                    continue
                except Exception as error:  # tried again, whatever the database does
                    if not self._failing:
                        _log.warning("cannot note which versions are served: %s", error)
                    self._failing = True

    async def look(self, model: str) -> None:
        """Looks once.

        Raises:
            ClientError: the model server cannot be reached.
            ApiError: the database is down.
        """
        serving = await self._upstream.serving(model)
        at, before = self._noted.get(model, (0.0, {-1: []}))
        if serving == before and time.monotonic() - at < _CONFIRM_SECONDS:
            return
        now = datetime.now(UTC)

        def note(store: Store) -> bool:
            return store.deployments.observe(self._server, model, serving, now)

        if await self._database.run(note):
            said = {version: ",".join(labels) for version, labels in serving.items()}
            _log.info("%s serves %s of %s", self._server, said or "nothing", model)
        self._noted[model] = (time.monotonic(), serving)

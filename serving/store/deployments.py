"""Which versions serve where: what gateways and rollouts saw of their servers, and until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa

from serving.store.cleaning import storable
from serving.store.engine import transaction
from serving.store.schema import DEPLOYMENTS
from serving.store.types import Deployment


class Deployments:
    """Periods in which a server served a version under the same labels."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def observe(
        self, server: str, model: str, serving: Mapping[int, Iterable[str]], now: datetime
    ) -> bool:
        """Notes what a server serves of a model; whether that has changed since it was last noted.

        A period goes on over times in which nobody looked. Where several look at one server, the
        database lets one of them go first, and the others find nothing to change.

        Args:
            server: HOST:PORT, as whoever looked at it calls it.
            model: name of the model.
            serving: version -> its labels, of every version that answers requests.
            now: when it was seen.

        Raises:
            StoreError: nothing was noted.
        """
        wanted = {version: sorted(set(labels)) for version, labels in serving.items()}
        here = sa.and_(
            DEPLOYMENTS.c.server == server,
            DEPLOYMENTS.c.model == model,
            DEPLOYMENTS.c.ended.is_(None),
        )
        with transaction(self._engine, writes=True) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("LOCK TABLE deployments IN SHARE ROW EXCLUSIVE MODE"))
            rows = connection.execute(sa.select(DEPLOYMENTS).where(here)).all()
            same = {row.version for row in rows if wanted.get(row.version) == row.labels}
            over = [row.id for row in rows if row.version not in same]
            new = sorted(set(wanted) - same)
            # Clocks differ between machines: time never goes back in a row.
            moment = max([now, *(row.seen for row in rows)])
            if same:
                chosen = sa.and_(here, DEPLOYMENTS.c.version.in_(same))
                connection.execute(sa.update(DEPLOYMENTS).where(chosen).values(seen=moment))
            if over:
                chosen = DEPLOYMENTS.c.id.in_(over)
                connection.execute(sa.update(DEPLOYMENTS).where(chosen).values(ended=moment))
            for version in new:
                period = Deployment(server, model, version, wanted[version], moment, moment, None)
                connection.execute(sa.insert(DEPLOYMENTS).values(_values(period)))
        return bool(over or new)

    def current(self, *, model: str | None = None) -> list[Deployment]:
        """What was served when its server was last seen, by model, server and version.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(*_FIELDS).where(DEPLOYMENTS.c.ended.is_(None))
        if model is not None:
            query = query.where(DEPLOYMENTS.c.model == storable(model))
        order = (DEPLOYMENTS.c.model, DEPLOYMENTS.c.server, DEPLOYMENTS.c.version.desc())
        return self._read(query.order_by(*order))

    def history(self, model: str, version: int, *, limit: int = 50) -> list[Deployment]:
        """Where a version serves and served, the newest periods first.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(*_FIELDS).where(
            DEPLOYMENTS.c.model == model, DEPLOYMENTS.c.version == version
        )
        order = (DEPLOYMENTS.c.since.desc(), DEPLOYMENTS.c.id.desc())
        return self._read(query.order_by(*order).limit(limit))

    def _read(self, query: sa.Select[tuple[object, ...]]) -> list[Deployment]:
        with transaction(self._engine, writes=False) as connection:
            return [Deployment(**row._mapping) for row in connection.execute(query)]


_NAMES = ("server", "model", "version", "labels", "since", "seen", "ended")
_FIELDS = [DEPLOYMENTS.c[name] for name in _NAMES]


def _values(period: Deployment) -> dict[str, object]:
    return {name: getattr(period, name) for name in _NAMES}

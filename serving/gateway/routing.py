"""Which version a request goes to: the one it names, else an arm of the rollout, or the default."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence

from serving.gateway.database import Database
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.periodic import Periodic
from serving.store import Rollout

_log = logging.getLogger(__name__)

STABLE = "stable"
CANARY = "canary"


@dataclasses.dataclass(frozen=True)
class Route:
    """A version or a label, and the arm of a rollout ('' outside of one)."""

    version: int | None = None
    label: str | None = None
    arm: str = ""


class Router:
    """Knows the active rollouts.

    Args:
        default_label: of requests without a rollout; None for the latest version.
    """

    def __init__(self, default_label: str | None) -> None:
        self._default = Route(label=default_label)
        self._rollouts: dict[str, Rollout] = {}

    def update(self, model: str, rollout: Rollout | None) -> None:
        """Takes note of a model's active rollout."""
        if rollout is None:
            self._rollouts.pop(model, None)
        else:
            self._rollouts[model] = rollout

    def rollout(self, model: str) -> Rollout | None:
        """The active rollout of a model."""
        return self._rollouts.get(model)

    def by_key(self, model: str) -> bool:
        """Whether a key keeps its arm; where there are few, a rollout spreads requests instead."""
        rollout = self._rollouts.get(model)
        return rollout is None or rollout.settings.get("spread") != "request"

    def route(self, model: str, version: int | None, label: str | None, caller: str) -> Route:
        """Chooses for one request.

        Args:
            model: a name of the settings.
            version: that the request asks for.
            label: that the request asks for.
            caller: who keeps the same arm during the whole rollout.
        """
        if version is not None or label is not None:
            return Route(version, label)
        rollout = self._rollouts.get(model)
        if rollout is None:
            return self._default
        arm = CANARY if _place(rollout.id, caller) < rollout.share else STABLE
        return Route(label=arm, arm=arm)

    def fallback(self, route: Route) -> Route | None:
        """Where a request goes whose arm's label is not assigned (yet, or any more), if anywhere.

        The servers' labels and the rollout's record do not change in the same moment.
        """
        if not route.arm:
            return None
        return Route(label=STABLE, arm=STABLE) if route.arm == CANARY else self._default


def _place(rollout: object, caller: str) -> float:
    """A number in [0, 1) that is fixed for a caller in a rollout, and independent between them."""
    digest = hashlib.sha256(f"{rollout}:{caller}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


class RolloutPoller:
    """Asks the store for the active rollouts, in a thread.

    While the database is down the last known ones stay in force.
    """

    def __init__(
        self,
        router: Router,
        database: Database,
        metrics: GatewayMetrics,
        models: Sequence[str],
        seconds: float,
    ) -> None:
        self._router, self._database, self._metrics = router, database, metrics
        self._models, self._failing = models, False
        self.thread = Periodic("rollouts", self.poll, seconds)

    def poll(self) -> None:
        """Looks once."""
        for model in self._models:
            try:
                rollout = self._database.store().rollouts.active(model)
            except Exception as error:  # the thread must go on, whatever the database does
                if not self._failing:
                    _log.warning("cannot read rollouts, keeping the last known: %s", error)
                self._failing = True
                return
            known = self._router.rollout(model)
            self._router.update(model, rollout)
            self._metrics.share.labels(model).set(rollout.share if rollout else 0)
            if (known and known.id) != (rollout and rollout.id):
                _log.info("rollout of %s: %s", model, rollout.state if rollout else "none")
        self._failing = False

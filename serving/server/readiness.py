"""Which configured models answer, told to the health service when it changes."""

from __future__ import annotations

from typing import Protocol


class Health(Protocol):
    """What is told whether a model answers; the gRPC health service is one."""

    def set_model(self, name: str, available: bool) -> None:
        """A configured model has an available version, or has none."""

    def remove_model(self, name: str) -> None:
        """A model is no longer configured."""


class Readiness:
    """Remembers what was told last; guarded by the manager's lock."""

    def __init__(self) -> None:
        """Nobody is told before `report_to`."""
        self._health: Health | None = None
        self._available: dict[str, bool] = {}

    def report_to(self, health: Health | None) -> None:
        """Tells this one from now on, beginning with what is known."""
        self._health = health
        for name, available in self._available.items():
            if health is not None:
                health.set_model(name, available)

    def set(self, name: str, available: bool) -> None:
        """Notes whether a configured model has an available version."""
        if self._available.get(name) != available:
            self._available[name] = available
            if self._health is not None:
                self._health.set_model(name, available)

    def forget(self, name: str) -> None:
        """Notes that a model is no longer configured."""
        if self._available.pop(name, None) is not None and self._health is not None:
            self._health.remove_model(name)

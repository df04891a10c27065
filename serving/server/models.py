"""The models that are configured: their versions are found, loaded, announced and unloaded."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import grpc

from serving.server.config import ModelConfig, model_configs
from serving.server.errors import StatusError, invalid_argument, not_found
from serving.server.readiness import Health, Readiness
from serving.server.source import Watcher
from serving.server.versions import (
    State,
    Version,
    check_labels,
    did_not_become_available,
    failures,
    outcome_known,
    to_load,
    to_unload,
)
from serving.server.workers import LoadMetrics, Settings, Workers

if TYPE_CHECKING:
    from serving.server.predict import LoadedModel

logger = logging.getLogger(__name__)


class ModelManager:
    """Serves what is configured, and swaps to newer versions without a gap."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Nothing is configured before `configure`, and nothing loaded before `start`.

        Args:
            settings: how to look, load and unload.
        """
        self._settings = settings or Settings()
        self._configs: dict[str, ModelConfig] | None = None
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._round = 0
        self._added: dict[str, int] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._readiness = Readiness()
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._stopping = False
        self._workers = Workers(self._settings, self._changed, self._moved)
        self._watcher = Watcher(self._settings.poll_seconds, self.configured, self._found)
        self._decider = threading.Thread(target=self._decide, name="versions", daemon=True)

    def report_to(self, health: Health | None = None, metrics: LoadMetrics | None = None) -> None:
        """Names who is told what happens; call it before `start`.

        Args:
            health: is told when a model becomes available and when it no longer is.
            metrics: is told of every load.
        """
        with self._changed:
            self._readiness.report_to(health)
        self._workers.metrics = metrics

    def start(self) -> None:
        """Starts to look for versions and to load them."""
        self._decider.start()
        self._watcher.start()

    def stop(self) -> None:
        """Loads and unloads no more; loaded versions go on answering."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._watcher.stop()
        self._wake.set()
        self._workers.stop()

    def close(self) -> None:
        """Removes copies from object storage; call it when no request is under way any more."""
        self._workers.close()

    def configured(self) -> list[ModelConfig]:
        """The models that are configured now."""
        with self._changed:
            return list((self._configs or {}).values())

    def configure(self, config: Any) -> set[str]:
        """Takes over a ModelServerConfig: its models, version policies and labels.

        Models that it no longer lists are unloaded once they have answered what is under way.

        Returns:
            Names of the models that were not configured before.

        Raises:
            StatusError: it is refused, and nothing has changed.
        """
        if config.WhichOneof("config") != "model_config_list":
            return self._configure_nothing()
        models = model_configs(config, self._configs or ())
        with self._changed:
            check_labels(
                models.values(),
                before=self._labels,
                versions=self._versions,
                allow_unavailable=self._settings.labels_for_unavailable,
            )
            return self._take_over(models)

    def _configure_nothing(self) -> set[str]:
        if self._configs is not None:
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Cannot transition to requested config. It is only legal to transition from one "
                "ModelConfigList to another.",
            )
        logger.info("Taking no action for empty config.")
        return set()

    def _take_over(self, models: dict[str, ModelConfig]) -> set[str]:
        before = self._configs or {}
        added = set(models.keys() - before.keys())
        self._configs = models
        self._labels = {model.name: model.labels for model in models.values()}
        self._round += 1
        for name in sorted(before.keys() - models.keys()):
            logger.info("model %s is no longer configured", name)
            for entry in self._versions.get(name, {}).values():
                entry.aspired = False
            self._readiness.forget(name)
        for name in added:
            self._added[name] = self._round
            self._announce(name)
        self._changed.notify_all()
        self._watcher.look()
        self._wake.set()
        return added

    def wait_for(self, names: set[str], seconds: float) -> None:
        """Waits until models that `configure` has added are available.

        Raises:
            StatusError: UNKNOWN, one of them failed to load; DEADLINE_EXCEEDED, it takes longer;
                UNAVAILABLE, the server stops.
        """
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._stopping or not any(map(self._pending, names)), seconds
            )
            if self._stopping:
                raise StatusError(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            if not done:
                late = ", ".join(sorted(filter(self._pending, names)))
                raise StatusError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"the new config is in place, but no version of {late} became available "
                    f"within {seconds:g} s; see GetModelStatus",
                )
            failed = {name: failures(self._since_added(name)) for name in sorted(names)}
        if any(failed.values()):
            raise did_not_become_available(failed)

    def _since_added(self, name: str) -> list[Version]:
        """The versions found since a model was configured, not those of an earlier time."""
        first = self._added.get(name, 0)
        return [v for v in self._versions.get(name, {}).values() if v.round >= first]

    def _pending(self, name: str) -> bool:
        """Whether it is still open how the loads of a configured model end."""
        return name in (self._configs or {}) and not outcome_known(self._since_added(name))

    @contextlib.contextmanager
    def use(
        self, name: str, version: int | None = None, label: str = ""
    ) -> Iterator[tuple[int, LoadedModel]]:
        """Holds a version for one request, so that it is not unloaded meanwhile.

        Args:
            name: the model's name in the request.
            version: the one asked for; None for the latest.
            label: a version label, instead of a version.

        Raises:
            StatusError: no such model, version or label is available.
        """
        with self._changed:
            held = self._available(name, version, label)
            held.in_flight += 1
            model = held.model
        assert model is not None
        try:
            yield held.number, model
        finally:
            with self._changed:
                held.in_flight -= 1
                if held.in_flight == 0 and held.state == State.UNLOADING:
                    self._changed.notify_all()

    def _available(self, name: str, version: int | None, label: str) -> Version:
        if not name:
            raise invalid_argument("ModelSpec has no name specified.")
        if label:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise invalid_argument(f"Unrecognized servable version label: {label}")
        versions = self._versions.get(name, {})
        if version is None:
            ready = [v for v in versions.values() if v.state == State.AVAILABLE]
            if ready:
                return max(ready, key=lambda entry: entry.number)
            raise not_found(f"Servable not found for request: Latest({name})")
        entry = versions.get(version)
        if entry is None or entry.state != State.AVAILABLE:
            raise not_found(f"Servable not found for request: Specific({name}, {version})")
        return entry

    def states(self, name: str, version: int | None = None) -> list[Version]:
        """Copies of what is known about versions, newest first.

        Raises:
            StatusError: nothing is known about that model or version.
        """
        with self._changed:
            known = [
                dataclasses.replace(entry, model=None)
                for entry in self._versions.get(name, {}).values()
                if version in (None, entry.number)
            ]
        if not known and version is None:
            raise not_found(f"Could not find any versions of model {name}")
        if not known:
            raise not_found(f"Could not find version {version} of model {name}")
        return sorted(known, key=lambda entry: entry.number, reverse=True)

    def _found(self, config: ModelConfig, found: dict[int, str]) -> None:
        """Notes what lies under a base path, and what of it is wanted."""
        wanted = config.policy.choose(found)
        with self._changed:
            if (self._configs or {}).get(config.name) != config:
                return
            versions = self._versions.setdefault(config.name, {})
            for number in wanted:
                entry = versions.get(number)
                if entry is None or (entry.state == State.END and not entry.aspired):
                    versions[number] = Version(number, found[number], round=self._round)
                elif entry.state != State.UNLOADING:
                    entry.aspired = True
            for entry in versions.values():
                entry.aspired = entry.aspired and entry.number in wanted
        self._wake.set()

    def _decide(self) -> None:
        """The thread that starts every load and unload."""
        while not self._stopping:
            pause = None
            try:
                pause = self._step()
            except Exception:
                logger.exception("could not look after the versions")
                pause = 1.0
            self._wake.wait(pause)
            self._wake.clear()

    def _step(self) -> float | None:
        """Starts what is due; the seconds until the next retry, if any."""
        now = time.monotonic()
        with self._changed:
            waiting = []
            for name, versions in self._versions.items():
                for entry in versions.values():
                    if not entry.aspired and not entry.busy and entry.state < State.AVAILABLE:
                        entry.state = State.END
                for entry in to_unload(versions.values()):
                    entry.state = State.UNLOADING
                    self._announce(name)
                    self._workers.unload(name, entry)
                for entry in to_load(versions.values(), now):
                    entry.busy = True
                    self._workers.load(name, entry)
                waiting += [v.next_attempt - now for v in versions.values() if v.loadable]
            self._changed.notify_all()
        return max(min(waiting), 0.0) if waiting else None

    def _moved(self, name: str) -> None:
        """A load or an unload of a model has ended; called with the lock held."""
        self._announce(name)
        self._changed.notify_all()
        self._wake.set()

    def _announce(self, name: str) -> None:
        """Notes whether a configured model answers."""
        if name in (self._configs or {}):
            versions = self._versions.get(name, {}).values()
            self._readiness.set(name, any(v.state == State.AVAILABLE for v in versions))

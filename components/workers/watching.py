"""Watches objects of the cluster: all there are, then every change, over any connection."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from typing import Any

from components.errors import LoomlineError
from components.workers.answers import Away, Gone, changes, listed
from components.workers.cluster import Cluster
from components.workers.plan import Object


class Watcher:
    """Puts the state of some objects into a queue whenever it changed.

    What is put is the name of the watcher with all objects by their names, so that whoever takes it
    need not know by what event it came about; or with the error that ended the watching.

    Args:
        name: of the watcher.
        cluster: whose objects.
        ask: what lists or watches them, such as `Cluster.pods`.
        told: the queue.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        ask: Callable[..., Any],
        told: queue.SimpleQueue[tuple[str, dict[str, Object] | LoomlineError]],
    ) -> None:
        self._name, self._cluster, self._ask, self._told = name, cluster, ask, told
        self._objects: dict[str, Object] = {}
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name=f"watch of {name}", daemon=True).start()

    def stop(self) -> None:
        """Tells nothing any more."""
        self._stopped.set()

    def _run(self) -> None:
        version = ""
        try:
            while not self._stopped.is_set():
                version = self._cluster.patiently(functools.partial(self._once, version))
        except LoomlineError as error:
            if not self._stopped.is_set():
                self._told.put((self._name, error))

    def _once(self, version: str) -> str:
        """One watch, after a list where there is no version to go on from; the version reached."""
        if not version:
            items, version = listed(self._ask)
            self._objects = {one["metadata"]["name"]: one for one in items}
            self._tell()
        reached = version
        try:
            for kind, one in changes(self._ask, version):
                reached = str(one["metadata"]["resourceVersion"])
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    self._objects.pop(one["metadata"]["name"], None)
                else:
                    self._objects[one["metadata"]["name"]] = one
                self._tell()
                if self._stopped.is_set():
                    break
        except Gone:
            return ""
        except Away:
            # Nothing is lost by a connection that carried something: it is taken up from there.
            if reached == version:
                raise
        return reached

    def _tell(self) -> None:
        if not self._stopped.is_set():
            self._told.put((self._name, dict(self._objects)))

"""Follows a job until it is known how its workers ended."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

from components.errors import ClusterError, LoomlineError
from components.workers.cluster import Cluster
from components.workers.judging import (
    Failure,
    failure_of,
    failure_of_job,
    not_started,
    state_of,
    waiting_for,
)
from components.workers.logs import Follower, ended
from components.workers.options import Workers
from components.workers.plan import Job, Object
from components.workers.watching import Watcher


@dataclasses.dataclass(frozen=True)
class Patience:
    """Seconds that are waited for things that come soon or never.

    Attributes:
        look: between two looks at what the cluster told.
        settle: for the other workers' reasons, after the first one failed.
        rest: for the rest of an ended worker's log.
    """

    look: float = 1.0
    settle: float = 20.0
    rest: float = 10.0


class Following:
    """One job, from when it was made.

    Args:
        cluster: where it runs.
        job: which.
        workers: how many there are to be, and how long to wait for them.
        say: gets what the workers say, and what this says about them.
        patience: how long to wait for what.
    """

    def __init__(
        self,
        cluster: Cluster,
        job: Job,
        workers: Workers,
        say: Callable[[str], None],
        patience: Patience,
    ) -> None:
        self._cluster, self._job, self._workers = cluster, job, workers
        self._say, self._patience = say, patience
        self._object: Object | None = None
        self._pods: dict[str, Object] = {}
        self._followers: dict[str, Follower] = {}
        self._failures: dict[str, Failure] = {}
        self._began = time.monotonic()
        self._settled = 0.0
        self._all_started = False
        self._waits = ""

    def outcome(self) -> Failure | None:
        """Waits for the end; None where every worker succeeded.

        Raises:
            ClusterError: the job cannot be run, or was deleted by somebody.
            ClusterAwayError: the cluster's API does not answer.
        """
        with self._told() as told:
            while True:
                with contextlib.suppress(queue.Empty):
                    name, content = told.get(timeout=self._patience.look)
                    if isinstance(content, LoomlineError):
                        raise content
                    self._take(name, content)
                if self._object is None:
                    continue
                state, _ = state_of(self._object)
                self._listen()
                if state == "succeeded":
                    self._finish()
                    return None
                failure = self._failure(self._object, state)
                if failure is not None:
                    self._finish()
                    return failure
                if state == "suspended":
                    # In a queue; its nodes are looked for once it is let out.
                    self._began = time.monotonic()
                else:
                    self._check_start()

    @contextlib.contextmanager
    def _told(self) -> Iterator[queue.SimpleQueue[Any]]:
        told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        watchers = [
            Watcher("jobs", self._cluster, self._cluster.jobs(self._job), told),
            Watcher("pods", self._cluster, self._cluster.pods(self._job), told),
        ]
        try:
            yield told
        finally:
            for watcher in watchers:
                watcher.stop()

    def _take(self, name: str, content: dict[str, Object]) -> None:
        if name == "pods":
            self._pods.update(content)
            # A pod that is gone is not waited for, and what it said is not forgotten.
            for gone in set(self._pods) - set(content) - set(self._failures):
                del self._pods[gone]
            return
        found = content.get(self._job.name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise ClusterError(
                f"expected the {self._job.resource.kind} {self._job.name} to be left until it "
                "ends. Received: somebody deleted it. Run the step again to go on from the "
                "checkpoint"
            )
        self._object = found

    def _listen(self) -> None:
        """Follows the logs of those that have started, and judges those that have failed."""
        for name, pod in self._pods.items():
            if name not in self._followers and _has_started(pod, self._job.container):
                index = self._index(pod)
                self._followers[name] = Follower(
                    self._cluster,
                    name,
                    self._job.container,
                    index,
                    self._say,
                    self._patience.look,
                )
            if name in self._failures or not _has_failed(pod, self._job.container):
                continue
            follower = self._followers.get(name)
            if follower is not None:
                follower.finish(self._patience.rest)
            said = follower.error if follower else ""
            end = ended(pod, self._job.container)
            self._failures[name] = failure_of(self._index(pod), pod, end, said, self._workers)

    def _failure(self, job: Object, state: str) -> Failure | None:
        """The failure that tells most, once nothing more telling is to come."""
        if not self._failures and state != "failed":
            return None
        best = min(self._failures.values(), key=lambda one: one.rank, default=None)
        if best is not None and best.rank == 0:
            return best
        self._settled = self._settled or time.monotonic() + self._patience.settle
        all_ended = self._pods and all(
            ended(pod, self._job.container) or name in self._failures
            for name, pod in self._pods.items()
        )
        if not all_ended and time.monotonic() < self._settled:
            return None
        return best or failure_of_job(job)

    def _check_start(self) -> None:
        """Raises ClusterError where not all workers start in time."""
        if self._all_started:
            return
        started = sum(_has_started(pod, self._job.container) for pod in self._pods.values())
        count, minutes = self._workers.count, self._workers.pending_minutes
        if started >= count:
            self._all_started = True
            self._say(f"progress: all {count} workers have started")
            return
        waits, in_vain = waiting_for(self._pods)
        late = time.monotonic() - self._began > 60 * minutes
        if late and not waits:
            noted = self._cluster.events(self._job.name)
            waits = " ".join(str(noted[-1].get("message")).split()) if noted else "no reason"
        if late or in_vain:
            raise not_started(count, started, minutes, waits)
        line = f"progress: {started} of {count} workers have started"
        line += f"; waiting: {waits}" if waits else ""
        if line != self._waits:
            self._say(line)
            self._waits = line

    def _index(self, pod: Object) -> int:
        metadata = pod["metadata"]
        for noted in (metadata.get("annotations") or {}, metadata.get("labels") or {}):
            if self._job.index in noted:
                return int(noted[self._job.index])
        return -1

    def _finish(self) -> None:
        end = time.monotonic() + self._patience.rest
        for follower in self._followers.values():
            follower.finish(max(0.0, end - time.monotonic()))


def _container(pod: Object, name: str) -> Object:
    for one in pod.get("status", {}).get("containerStatuses") or ():
        if one["name"] == name:
            found: Object = one.get("state", {})
            return found
    return {}


def _has_started(pod: Object, container: str) -> bool:
    state = _container(pod, container)
    return "running" in state or "terminated" in state


def _has_failed(pod: Object, container: str) -> bool:
    end = ended(pod, container)
    return bool(end and end.get("exitCode")) or pod.get("status", {}).get("phase") == "Failed"

"""The train step on a cluster of many workers: it makes their job, and passes on how it goes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from components import artifacts
from components.attempts import this_step
from components.errors import (
    ClusterAwayError,
    ClusterError,
    ConfigError,
    LoomlineError,
)
from components.train.options import TrainOptions
from components.workers.answers import Refused, listed
from components.workers.cluster import Cluster
from components.workers.following import Following, Patience
from components.workers.judging import state_of
from components.workers.options import Workers
from components.workers.plan import MADE_BY, OURS, Object, Plan, Resource, make_job
from components.workers.workspace import Workspace

_CANCELLED = 128 + signal.SIGTERM
# Kubernetes gives a container half a minute to end; whoever cancels waits for this.
_SECONDS_TO_CANCEL = 5
_SECONDS_TO_GO = 300


def train_on_workers(
    transformed: Path,
    graph: Path,
    options: TrainOptions,
    checkpoints: Path,
    model: Path,
    logs: Path,
    workers: Workers,
    cluster: Cluster | None = None,
    patience: Patience | None = None,
) -> dict[str, float]:
    """Trains as `components.train.train.run` does, on workers that a job of the cluster is.

    A step that is run again goes on with the job of its earlier attempt. Where it is cancelled, the
    job is deleted; where the cluster's API stays away, the job is left as it is.

    Args:
        transformed, graph, options, checkpoints, model, logs: as for `run`; the checkpoints on the
            volume that all workers share.
        workers: how many, and on which nodes.
        cluster: where; by default the one that this step runs on.
        patience: how long to wait for what.

    Returns:
        The figures of `run`.

    Raises:
        ConfigError: the options do not fit many workers.
        ClusterError: the cluster refused the job, or cannot run it.
        LoomlineError: what a worker ended by.
    """
    _check(options, checkpoints, workers)
    content = artifacts.digest_files(transformed) + artifacts.digest_files(graph)
    name = _job_name(this_step() or f"{content}{options.model_dump_json()}{checkpoints}")
    root = Path(workers.mount) / "workers" / f"{name}-{content[:12]}"
    workspace = Workspace(root)
    with _ended_by_a_signal():
        workspace.take_in(transformed, graph)
        found = cluster or Cluster(connections=workers.count + 8)
        plan = Plan(
            name,
            found.namespace,
            workers,
            _arguments(workspace, options, checkpoints),
            _owner(found),
        )
        launch = Launch(found, plan, workspace.empty, patience or Patience())
        launch.run()
        workspace.hand_out(model, logs)
        launch.end()
    workspace.remove()
    # Light by itself: what is heavy there is imported where it is used.
    from components.train.train import figures_of

    return figures_of(artifacts.Model(model).card())


def _check(options: TrainOptions, checkpoints: Path, workers: Workers) -> None:
    if options.distribution != "multi_worker":
        raise ConfigError(
            "train.distribution: expected multi_worker where the profile of hardware has workers. "
            f"Received: {options.distribution}"
        )
    if not checkpoints.is_relative_to(workers.mount):
        raise ConfigError(
            f"checkpoints: expected a folder below {workers.mount}, which all workers see. "
            f"Received: {checkpoints}"
        )


def _job_name(identity: str) -> str:
    """A name by which another attempt of the step finds the job: a DNS label of 27 characters."""
    return f"loomline-train-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _arguments(workspace: Workspace, options: TrainOptions, checkpoints: Path) -> tuple[str, ...]:
    return (
        f"--transformed={workspace.transformed}",
        f"--graph={workspace.graph}",
        f"--options={options.model_dump_json()}",
        f"--checkpoints={checkpoints}",
        f"--model={workspace.model}",
        f"--logs={workspace.logs}",
    )


def _owner(cluster: Cluster) -> Object | None:
    """What this step's pod belongs to, such as the run's workflow, or the pod itself."""
    pod = cluster.pod(os.environ.get("HOSTNAME", "").lower() or "none")
    if pod is None:
        return None
    for one in pod["metadata"].get("ownerReferences") or ():
        if one.get("controller"):
            return {key: one[key] for key in ("apiVersion", "kind", "name", "uid")}
    metadata = pod["metadata"]
    return {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}


@contextlib.contextmanager
def _ended_by_a_signal() -> Iterator[None]:
    """Has SIGTERM, by which Kubernetes ends a step that is cancelled, unwind it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(_CANCELLED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Launch:
    """A job on the cluster, from its making to its end.

    Args:
        cluster: where.
        plan: what.
        prepare: called before workers start that are not those of an earlier attempt.
        patience: how long to wait for what.
    """

    def __init__(
        self, cluster: Cluster, plan: Plan, prepare: Callable[[], None], patience: Patience
    ) -> None:
        self._cluster, self._plan, self._prepare = cluster, plan, prepare
        self._patience = patience
        self._job = make_job(plan)
        self._mine = False

    def run(self) -> None:
        """Has the workers train, and starts them again where one is lost.

        Raises:
            LoomlineError: what they ended by.
        """
        try:
            self._train()
        except ClusterAwayError:
            raise
        except Refused as refused:
            self._give_up()
            if refused.status == 404 and not refused.known:
                resource = self._job.resource
                raise ClusterError(
                    f"expected {resource.plural}.{resource.group}/{resource.version} on the "
                    f"cluster. Received: it knows no {resource.kind}: {self._job.install}"
                ) from None
            raise
        except BaseException:
            self._give_up()
            raise

    def end(self) -> None:
        """Deletes the job and what is beside it."""
        for resource in self._resources():
            self._cluster.delete(resource, self._job.name)

    def _train(self) -> None:
        restarts = self._plan.workers.restarts
        for attempt in range(restarts + 1):
            self._make()
            following = Following(
                self._cluster, self._job, self._plan.workers, _say, self._patience
            )
            failure = following.outcome()
            if failure is None:
                return
            if not failure.passing or attempt == restarts:
                raise failure.error
            _say(f"progress: {failure.error}; starting all again, {attempt + 1} of {restarts}")
            self._clear()

    def _make(self) -> None:
        """Makes the job, unless one is there that this plan made and that has not failed."""
        job = self._job
        while True:
            found = self._cluster.get(job.resource, job.name)
            if found is not None:
                self._check_is_ours(found)
                self._mine = True
                if self._goes_on(found):
                    _say(f"progress: going on with the {job.resource.kind} {job.name}")
                    return
            self._clear()
            self._prepare()
            self._mine = True
            made = [self._cluster.create(*one) for one in job.beside]
            if all(made) and self._cluster.create(job.resource, job.body):
                _say(f"progress: made the {job.resource.kind} {job.name}")
                return
            # An answer was lost, or another attempt was as quick: look again.
            time.sleep(self._patience.look)

    def _check_is_ours(self, found: Object) -> None:
        labels = found["metadata"].get("labels") or {}
        if any(labels.get(key) != value for key, value in OURS.items()):
            raise ClusterError(
                f"expected no other {self._job.resource.kind} named {self._job.name}. Received: "
                "one that Loomline did not make. Delete it, or rename it"
            )

    def _goes_on(self, found: Object) -> bool:
        metadata = found["metadata"]
        same = (metadata.get("annotations") or {}).get(MADE_BY) == self._plan.digest
        return same and not metadata.get("deletionTimestamp") and state_of(found)[0] != "failed"

    def _resources(self) -> list[Resource]:
        return [self._job.resource, *(resource for resource, _ in self._job.beside)]

    def _clear(self) -> None:
        """Deletes what is there, and waits until it and its pods are gone.

        A worker that still runs would write the same checkpoint.

        Raises:
            ClusterError: it stays.
        """
        end = time.monotonic() + _SECONDS_TO_GO
        # The runtime stays for as long as a job refers to it.
        for resource in self._resources():
            found = self._cluster.get(resource, self._job.name)
            if found is None:
                continue
            self._cluster.delete(resource, self._job.name, found["metadata"].get("uid", ""))
            while self._cluster.get(resource, self._job.name) is not None:
                self._wait(end, f"the {resource.kind} {self._job.name}")
        while pods := self._cluster.patiently(lambda: listed(self._cluster.pods(self._job)))[0]:
            self._wait(end, f"pod {pods[0]['metadata']['name']}")

    def _wait(self, end: float, what: str) -> None:
        if time.monotonic() > end:
            raise ClusterError(
                f"expected {what} to be gone {_SECONDS_TO_GO} s after it was deleted. Received: it "
                "is still there. Look for a node that does not answer, and delete it by hand"
            )
        time.sleep(self._patience.look)

    def _give_up(self) -> None:
        """Leaves no workers behind for whom nobody waits."""
        if not self._mine:
            return
        self._cluster.hurry(_SECONDS_TO_CANCEL)
        with contextlib.suppress(LoomlineError):
            self.end()


def _say(line: str) -> None:
    # In one piece: the logs of many workers are followed by a thread each.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

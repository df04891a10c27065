"""Says in one line why workers do not train: whose fault it is decides who has to act."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from components.errors import (
    DEFECT_EXIT_CODE,
    TRY_AGAIN_EXIT_CODE,
    USER_ERROR_EXIT_CODE,
    ClusterError,
    LoomlineError,
    TrainingError,
    WorkerFailedError,
    WorkerLostError,
)
from components.workers.options import Workers
from components.workers.plan import Object

# Kubernetes' words for an image or a setting that no waiting mends.
_HOPELESS = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
_SIGNALLED = 128
_CONDITIONS = {"Complete": "succeeded", "Succeeded": "succeeded", "Failed": "failed"}


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a worker ended early.

    Attributes:
        rank: the smallest tells most: by a worker's own mistake the others lose it.
        error: for the step to end by.
    """

    rank: int
    error: LoomlineError

    @property
    def passing(self) -> bool:
        """Whether the workers, started again, may well succeed."""
        return isinstance(self.error, WorkerLostError)


def failure_of(index: int, pod: Object, end: Object | None, said: str, workers: Workers) -> Failure:
    """Why a worker failed, by its exit code, its pod's state and its last words.

    Args:
        index: which worker.
        pod: its pod.
        end: how its container ended; None where the pod failed without.
        said: the message that the worker's log ends by, if it is a mistake's.
        workers: what it had been given.
    """
    status = pod.get("status", {})
    who = f"worker {index}"
    code = int(str((end or {}).get("exitCode", -1)))
    if end and end.get("reason") == "OOMKilled":
        return Failure(
            1,
            ClusterError(
                f"expected {who} to need no more than {workers.memory} of memory. Received: it was "
                "ended for needing more. Raise memory in the profile of hardware, or lower "
                "train.batch_size"
            ),
        )
    if code == USER_ERROR_EXIT_CODE:
        return Failure(0, TrainingError(f"{who}: {said or 'ended by a mistake that it logged'}"))
    if code == TRY_AGAIN_EXIT_CODE or code >= _SIGNALLED or code < 0:
        received = said or str(status.get("message") or status.get("reason") or "")
        if end and code >= _SIGNALLED:
            received = received or f"it was ended by signal {code - _SIGNALLED}"
        return Failure(3, _lost(f"{who}: {received or 'its pod is gone'}"))
    named = "a defect" if code == DEFECT_EXIT_CODE else "what nobody foresaw"
    return Failure(
        2,
        WorkerFailedError(
            f"expected {who} to end with exit code 0. Received: {code}, by {named}; its log above "
            "has the cause"
        ),
    )


def _lost(received: str) -> WorkerLostError:
    return WorkerLostError(
        f"expected every worker to go on. Received: {' '.join(received.split())}"
    )


def state_of(job: Object) -> tuple[str, str]:
    """'running', 'suspended', 'succeeded' or 'failed', and the controller's words about it."""
    found = ("running", "")
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["status"] != "True":
            continue
        told = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
        if condition["type"] in _CONDITIONS:
            return _CONDITIONS[condition["type"]], told
        if condition["type"] == "Suspended":
            found = ("suspended", told)
    return found


def failure_of_job(job: Object) -> Failure:
    """Why a job failed of whose workers none tells."""
    _, told = state_of(job)
    if "DeadlineExceeded" in told:
        return Failure(
            1,
            ClusterError(
                "expected training to end before its deadline: raise timeout_minutes.train in the "
                f"profile of hardware. Received: {told}"
            ),
        )
    if "NotSupported" in told:
        return Failure(1, ClusterError(f"expected a runtime for the job. Received: {told}"))
    return Failure(3, _lost(told or "the job failed"))


def waiting_for(pods: Mapping[str, Object]) -> tuple[str, bool]:
    """What keeps workers from starting, as the cluster says it; and whether waiting is in vain."""
    for pod in pods.values():
        status = pod.get("status", {})
        for container in status.get("containerStatuses") or ():
            waiting = container.get("state", {}).get("waiting") or {}
            reason = str(waiting.get("reason", ""))
            if reason and reason not in ("ContainerCreating", "PodInitializing"):
                message = " ".join(str(waiting.get("message", "")).split())[:300]
                return f"{reason} {message}".strip(), reason in _HOPELESS
    for pod in pods.values():
        for condition in pod.get("status", {}).get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return str(condition.get("message") or condition.get("reason")), False
    return "", False


def not_started(count: int, started: int, minutes: float, received: str) -> ClusterError:
    """Workers wait for a node, an image or their quota, and that for too long."""
    return ClusterError(
        f"expected nodes and images for {count} workers within {minutes:g} minutes "
        f"(workers.pending_minutes). Received: {started} of them started; {received}. The job was "
        "deleted; the checkpoint, if there is one, is kept"
    )

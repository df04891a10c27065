"""A cluster for tests: its API is real HTTP, its kubelet, scheduler and faults the test plays.

It keeps what matters to a client: resource versions, watches that end, expire and break, deletions
that spread and take time, finalizers, admission, and the rights of one Role.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.components.workers.fake_api import FakeApi, now, plural_of
from tests.components.workers.fake_http import KINDS, NAMESPACE, TOKEN, Object, Status

_FAILED = "jobset failed due to one or more job failures"


class FakeCluster(FakeApi):
    """The cluster: `start`, `say` and `finish` are what its pods do."""

    def kubeconfig(self, folder: Path, token: str = TOKEN) -> Path:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "step", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "fake",
                    "context": {"cluster": "fake", "user": "step", "namespace": NAMESPACE},
                }
            ],
            "current-context": "fake",
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(content), "utf-8")
        return path

    def fault(self, method: str, path: str, count: int, code: int = 0, **headers: str) -> None:
        """The next requests get an error, or with code 0 no answer at all."""

        def fail() -> None:
            if code:
                raise Status(code, f"fault {code}", headers=headers)
            raise ConnectionError

        self.faults += [(method, path, fail)] * count

    def drop(self) -> None:
        """Breaks every stream that is open."""
        with self.changed:
            self.broken += 1
            self.changed.notify_all()

    def compact(self) -> None:
        """Forgets what happened, as etcd does after five minutes."""
        with self.changed:
            self.compacted = next(self._numbers)
            self.changed.notify_all()

    def wait_for(self, what: Callable[[], Any], seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(0.01)
        raise AssertionError(f"not within {seconds} s: {self.asked[-20:]}")

    def wait_for_pods(self, count: int = 2) -> list[Object]:
        self.wait_for(lambda: len(self.pods()) == count)
        return self.pods()

    def start(self, *indices: int) -> None:
        """The containers of these workers run."""
        for index in indices:
            self._set(index, {"running": {"startedAt": now()}}, "Running")

    def wait_state(self, index: int, reason: str, message: str = "") -> None:
        self._set(index, {"waiting": {"reason": reason, "message": message}}, "Pending")

    def say(self, index: int, *lines: str) -> None:
        with self.changed:
            name = self.pods()[index]["metadata"]["name"]
            self.logs.setdefault(name, []).extend((time.time(), line) for line in lines)
            self.changed.notify_all()

    def finish(self, index: int, code: int, reason: str = "") -> None:
        """A worker ends; when all succeeded, or one failed, so does the job."""
        reason = reason or ("Completed" if code == 0 else "Error")
        phase = "Succeeded" if code == 0 else "Failed"
        self._set(index, {"terminated": {"exitCode": code, "reason": reason}}, phase)
        with self.changed:
            phases = [pod["status"]["phase"] for pod in self.pods()]
            if "Failed" in phases:
                self.conclude("Failed", "FailedJobs", _FAILED)
            elif set(phases) == {"Succeeded"}:
                self.conclude("Complete", "AllJobsCompleted", "jobset completed successfully")

    def evict(self, index: int) -> None:
        pod = copy.deepcopy(self.pods()[index])
        pod["status"] = {
            "phase": "Failed",
            "reason": "Evicted",
            "message": "The node was low on resource: memory.",
        }
        self._store("MODIFIED", "pods", pod)
        self.conclude("Failed", "FailedJobs", _FAILED)

    def conclude(self, kind: str, reason: str, message: str) -> None:
        with self.changed:
            job = copy.deepcopy(self.job())
            if job is None:
                return
            if job["kind"] == "TFJob" and kind == "Complete":
                kind = "Succeeded"
            conditions = job.setdefault("status", {}).setdefault("conditions", [])
            conditions[:] = [one for one in conditions if one["type"] != kind]
            conditions.append(
                {"type": kind, "status": "True", "reason": reason, "message": message,
                 "lastTransitionTime": now()}
            )  # fmt: skip
            self._store("MODIFIED", plural_of(job), job)

    def resume(self) -> None:
        """Lets the job out of its queue."""
        with self.changed:
            job = copy.deepcopy(self.job())
            assert job is not None
            [suspended] = job["status"]["conditions"]
            suspended["status"] = "False"
            self._store("MODIFIED", plural_of(job), job)

    def add(self, plural: str, one: Object) -> None:
        group, version, kind = KINDS[plural]
        one = {"apiVersion": f"{group}/{version}".lstrip("/"), "kind": kind, **one}
        one["metadata"].setdefault("namespace", NAMESPACE)
        self._store("ADDED", plural, one)

    def _set(self, index: int, state: Object, phase: str) -> None:
        with self.changed:
            pod = copy.deepcopy(self.pods()[index])
            container = pod["spec"]["containers"][0]["name"]
            pod["status"] = {
                "phase": phase,
                "containerStatuses": [{"name": container, "state": state, "restartCount": 0}],
            }
            self._store("MODIFIED", "pods", pod)

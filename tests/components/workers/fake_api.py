"""What a Kubernetes API does with objects: versions, watches, deletions, admission, rights.

Controllers make pods for jobs here, and nothing more: what becomes of these is up to the test.
"""

from __future__ import annotations

import copy
import datetime
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

from tests.components.workers.fake_http import JOBS, KINDS, NAMESPACE, ApiHandler, Object, Status


class FakeApi:
    """The API, at `url`.

    Args:
        rules: of the Role that the step's account has; None lets it do everything.
        installed: plurals of the kinds that the cluster knows.
        validate: gets each object that is made, and raises `Status` where its schema forbids it.
    """

    def __init__(
        self,
        rules: list[Object] | None = None,
        installed: tuple[str, ...] = tuple(KINDS),
        validate: Callable[[Object], None] = lambda one: None,
    ) -> None:
        self.rules, self.installed, self.validate = rules, set(installed), validate
        self.changed = threading.Condition()
        self.objects: dict[tuple[str, str], Object] = {}
        self.history: list[tuple[int, str, str, Object]] = []
        self.compacted = 0
        self.asked: list[tuple[str, str]] = []
        self.forbidden: list[tuple[str, str]] = []
        self.faults: list[tuple[str, str, Callable[[], None]]] = []
        self.logs: dict[str, list[tuple[float, str]]] = {}
        self.made: list[Object] = []
        # Runs pods that are more than objects.
        self.nodes: Any = None
        self.makes_pods = True
        self.waits_before_gone = 0.0
        self.broken = 0  # increased: every stream that is open breaks off
        self._numbers = itertools.count(1000)
        cluster = self

        class Handler(ApiHandler):
            fake = cluster

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.drop()
        self._server.shutdown()
        self._server.server_close()
        if self.nodes:
            self.nodes.kill()

    def job(self) -> Object | None:
        with self.changed:
            return next((one for (kind, _), one in self.objects.items() if kind in JOBS), None)

    def pods(self) -> list[Object]:
        with self.changed:
            found = [one for (kind, _), one in self.objects.items() if kind == "pods"]
        return sorted(found, key=lambda one: one["metadata"]["name"])

    def _store(self, event: str, plural: str, one: Object) -> Object:
        with self.changed:
            number = next(self._numbers)
            one["metadata"]["resourceVersion"] = str(number)
            one["metadata"].setdefault("uid", f"uid-{number}")
            one["metadata"].setdefault("creationTimestamp", now())
            key = (plural, one["metadata"]["name"])
            if event == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = one
            self.history.append((number, event, plural, copy.deepcopy(one)))
            self.changed.notify_all()
        return one

    def create(self, plural: str, one: Object) -> Object:
        name = one["metadata"]["name"]
        if (plural, name) in self.objects:
            told = f'{plural} "{name}" already exists'
            raise Status(409, told, {"name": name, "kind": plural})
        self.validate(one)
        if plural == "trainjobs":
            runtime = one["spec"]["runtimeRef"]["name"]
            if ("trainingruntimes", runtime) not in self.objects:
                raise Status(403, "admission webhook denied the request: runtime not found")
        self.made.append(copy.deepcopy(one))
        stored = self._store("ADDED", plural, copy.deepcopy(one))
        if plural in JOBS and self.makes_pods:
            for index in range(_count(stored)):
                self._make_pod(plural, stored, index)
        return stored

    def _make_pod(self, plural: str, job: Object, index: int) -> None:
        name = job["metadata"]["name"]
        if plural == "trainjobs":
            runtime = self.objects["trainingruntimes", job["spec"]["runtimeRef"]["name"]]
            [replicated] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
            template = copy.deepcopy(replicated["template"]["spec"]["template"])
            container = template["spec"]["containers"][0]
            container |= {key: job["spec"]["trainer"][key] for key in ("image", "command", "args")}
            host = f"{name}-{replicated['name']}-0-{index}"
            labels = {"jobset.sigs.k8s.io/jobset-name": name}
            annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
            environment = {"JOB_COMPLETION_INDEX": str(index)}
        else:
            spec = job["spec"]["tfReplicaSpecs"]["Worker"]
            template = copy.deepcopy(spec["template"])
            host = f"{name}-worker-{index}"
            labels = {
                "training.kubeflow.org/job-name": name,
                "training.kubeflow.org/replica-index": str(index),
            }
            annotations = {}
            hosts = [f"{name}-worker-{i}.{NAMESPACE}.svc:2222" for i in range(spec["replicas"])]
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": hosts}, "task": task, "environment": "cloud"}
            environment = {"TF_CONFIG": json.dumps(config)}
        template["spec"]["containers"][0]["env"] += [
            {"name": key, "value": value} for key, value in environment.items()
        ]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{host}-x7k2p" if plural == "trainjobs" else host,
                "namespace": NAMESPACE,
                "labels": {**template["metadata"].get("labels", {}), **labels},
                "annotations": annotations,
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }
        self._store("ADDED", "pods", pod)
        if self.nodes:
            self.nodes.start(pod, index)

    def delete(self, plural: str, name: str, options: Object) -> None:
        with self.changed:
            one = self.objects.get((plural, name))
            if one is None:
                raise Status(404, f'{plural} "{name}" not found', {"name": name, "kind": plural})
            uid = options.get("preconditions", {}).get("uid")
            if uid and uid != one["metadata"]["uid"]:
                raise Status(409, "the UID in the precondition does not match")
            in_use = plural == "trainingruntimes" and ("trainjobs", name) in self.objects
            if in_use or self.waits_before_gone:
                one = copy.deepcopy(one)
                one["metadata"]["deletionTimestamp"] = now()
                self._store("MODIFIED", plural, one)
                if not in_use:
                    threading.Timer(self.waits_before_gone, self._gone, (plural, name)).start()
                return
            self._gone(plural, name)

    def _gone(self, plural: str, name: str) -> None:
        with self.changed:
            one = self.objects.get((plural, name))
            if one is None:
                return
            self._store("DELETED", plural, copy.deepcopy(one))
            if plural in JOBS:
                for pod in self.pods():
                    if self.nodes:
                        self.nodes.stop(pod["metadata"]["name"])
                    self._store("DELETED", "pods", copy.deepcopy(pod))
                runtime = self.objects.get(("trainingruntimes", name))
                if runtime and "deletionTimestamp" in runtime["metadata"]:
                    self._store("DELETED", "trainingruntimes", copy.deepcopy(runtime))

    def listed(self, plural: str, query: dict[str, str]) -> list[Object]:
        with self.changed:
            found = [one for (kind, _), one in self.objects.items() if kind == plural]
        return [one for one in found if _selected(one, query)]

    def watch(self, plural: str, query: dict[str, str]) -> Iterator[bytes]:
        """Changes after a version, until the time is over or the connection breaks."""
        version = int(query["resourceVersion"])
        end = time.monotonic() + float(query.get("timeoutSeconds", "60"))
        broken = self.broken
        while time.monotonic() < end:
            with self.changed:
                if self.broken != broken:
                    # In the middle of an event.
                    yield b'{"type": "MODIFIED", "obj'
                    raise ConnectionError
                if version < self.compacted:
                    error = Status(410, "too old resource version").body
                    yield json.dumps({"type": "ERROR", "object": error}).encode() + b"\n"
                    return
                news = [one for one in self.history if one[0] > version]
                if not news:
                    self.changed.wait(0.2)
                    continue
            for number, event, kind, one in news:
                version = number
                if kind == plural and _selected(one, query):
                    yield json.dumps({"type": event, "object": one}).encode() + b"\n"
                else:
                    mark = {"metadata": {"resourceVersion": str(number)}}
                    yield json.dumps({"type": "BOOKMARK", "object": mark}).encode() + b"\n"

    def log(self, pod: str, query: dict[str, str]) -> Iterator[bytes]:
        since = time.time() - float(query["sinceSeconds"]) if "sinceSeconds" in query else 0.0
        place, broken = 0, self.broken
        while True:
            with self.changed:
                if self.broken != broken:
                    raise ConnectionError
                lines = self.logs.get(pod, [])[place:]
                place += len(lines)
                one = self.objects.get(("pods", pod))
                over = one is None or one["status"]["phase"] in ("Succeeded", "Failed")
                if not lines and not over:
                    self.changed.wait(0.2)
                    continue
            for at, line in lines:
                if at >= since:
                    yield f"{_stamp(at)} {line}\n".encode()
            if over and not lines:
                return

    def check_rights(self, verb: str, group: str, resource: str) -> None:
        if self.rules is None:
            return
        for rule in self.rules:
            if (
                group in rule["apiGroups"]
                and resource in rule["resources"]
                and verb in rule["verbs"]
            ):
                return
        self.forbidden.append((verb, resource))
        user = "system:serviceaccount:runs:pipeline-runner"
        raise Status(
            403,
            f'{resource} is forbidden: User "{user}" cannot {verb} resource "{resource}"',
            {"kind": resource},
        )


def plural_of(one: Object) -> str:
    return next(name for name, (_, _, kind) in KINDS.items() if kind == one["kind"])


def _count(job: Object) -> int:
    spec = job["spec"]
    if "trainer" in spec:
        return int(spec["trainer"]["numNodes"])
    return int(spec["tfReplicaSpecs"]["Worker"]["replicas"])


def _selected(one: Object, query: dict[str, str]) -> bool:
    labels = one["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = term.partition("=")
        found: Any = one
        for part in key.split("."):
            found = found.get(part, {})
        if found != value:
            return False
    return True


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stamp(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"

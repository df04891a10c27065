"""A Kubernetes API over real HTTP: objects, watches, logs, refusals, and a controller for jobs.

It keeps what matters to a client: resource versions, watches that end, expire and break, deletions
that spread and take time, finalizers, admission, and the rights of one Role. Pods are scripted by
the test, or are real processes (see `Processes`).
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Object = dict[str, Any]
NAMESPACE, TOKEN = "runs", "token-of-the-step"
KINDS = {
    "trainjobs": ("trainer.kubeflow.org", "v1alpha1", "TrainJob"),
    "trainingruntimes": ("trainer.kubeflow.org", "v1alpha1", "TrainingRuntime"),
    "tfjobs": ("kubeflow.org", "v1", "TFJob"),
    "pods": ("", "v1", "Pod"),
    "events": ("", "v1", "Event"),
}
JOBS = ("trainjobs", "tfjobs")
_FAILED = "jobset failed due to one or more job failures"


class Status(Exception):  # noqa: N818 - Kubernetes' own word
    """An answer that is no success, as Kubernetes words it."""

    def __init__(
        self, code: int, message: str, details: Object | None = None, headers: Any = None
    ) -> None:
        super().__init__(message)
        self.code, self.headers = code, headers or {}
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "details": details or {"kind": "something"},
            "code": code,
        }


class FakeCluster:
    """The cluster. `url` is its API; the test plays the kubelet by `start`, `say` and `finish`.

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
        self.processes: Processes | None = None
        self.makes_pods = True
        self.waits_before_gone = 0.0
        self.broken = 0  # increased: every stream that is open breaks off
        self._numbers = itertools.count(1000)
        cluster = self

        class Handler(_Handler):
            fake = cluster

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.drop()
        self._server.shutdown()
        self._server.server_close()
        if self.processes:
            self.processes.kill()

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

    # What a test does to the cluster.

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

    def job(self) -> Object | None:
        with self.changed:
            return next((one for (kind, _), one in self.objects.items() if kind in JOBS), None)

    def pods(self) -> list[Object]:
        with self.changed:
            found = [one for (kind, _), one in self.objects.items() if kind == "pods"]
        return sorted(found, key=lambda one: one["metadata"]["name"])

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
            self._set(index, {"running": {"startedAt": _now()}}, "Running")

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
                 "lastTransitionTime": _now()}
            )  # fmt: skip
            self._store("MODIFIED", _plural(job), job)

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

    # What the API does.

    def _store(self, event: str, plural: str, one: Object) -> Object:
        with self.changed:
            number = next(self._numbers)
            one["metadata"]["resourceVersion"] = str(number)
            one["metadata"].setdefault("uid", f"uid-{number}")
            one["metadata"].setdefault("creationTimestamp", _now())
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
        if self.processes:
            self.processes.start(pod, index)

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
                one["metadata"]["deletionTimestamp"] = _now()
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
                    if self.processes:
                        self.processes.stop(pod["metadata"]["name"])
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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeCluster

    def log_message(self, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        self.fake.asked.append((self.command, self.path))
        try:
            try:
                for index, (method, path, fail) in enumerate(self.fake.faults):
                    if method == self.command and re.search(path, self.path):
                        del self.fake.faults[index]
                        fail()
                        break
                self._route(body)
            except Status as status:
                self._json(status.code, status.body, status.headers)
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(2)

    def _route(self, body: Object) -> None:
        path, _, rest = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(rest))
        found = re.fullmatch(
            r"/(?:apis/([^/]+)|api)/([^/]+)/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?(?:/(log))?",
            path,
        )
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Status(401, "Unauthorized")
        if not found or found[4] not in self.fake.installed:
            self._text(404, "404 page not found\n")
            return
        group, version, namespace, plural, name, log = found.groups()
        if (group or "", version) != KINDS[plural][:2] or namespace != NAMESPACE:
            self._text(404, "404 page not found\n")
            return
        verb = {"POST": "create", "DELETE": "delete"}.get(self.command)
        verb = verb or ("get" if name else "watch" if query.get("watch") else "list")
        self.fake.check_rights(verb, group or "", f"{plural}/log" if log else plural)
        if verb == "create":
            self._json(201, self.fake.create(plural, body), {})
        elif verb == "delete":
            self.fake.delete(plural, str(name), body)
            self._json(200, {"kind": "Status", "status": "Success"}, {})
        elif log:
            self._log(str(name), query)
        elif name:
            one = self.fake.objects.get((plural, name))
            if one is None:
                raise Status(404, f'{plural} "{name}" not found', {"name": name, "kind": plural})
            self._json(200, one, {})
        elif verb == "watch":
            if int(query["resourceVersion"]) < self.fake.compacted:
                raise Status(410, "too old resource version")
            self._stream(self.fake.watch(plural, query))
        else:
            number = str(next(self.fake._numbers))
            items = self.fake.listed(plural, query)
            self._json(200, {"metadata": {"resourceVersion": number}, "items": items}, {})

    def _log(self, name: str, query: dict[str, str]) -> None:
        pod = self.fake.objects.get(("pods", name))
        if pod is None:
            raise Status(404, f'pods "{name}" not found', {"name": name, "kind": "pods"})
        if not pod["status"].get("containerStatuses"):
            raise Status(400, "container is waiting to start: ContainerCreating")
        self._stream(self.fake.log(name, query))

    def _stream(self, parts: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _json(self, code: int, body: Object, headers: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _text(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


class Processes:
    """The pods as real processes of this machine: a node, its DNS and its kubelet.

    Args:
        cluster: whose pods they are.
        ports: one for each worker, in the place of the pods' addresses.
    """

    def __init__(self, cluster: FakeCluster, ports: list[int]) -> None:
        self._cluster, self._ports = cluster, ports
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, pod: Object, index: int) -> None:
        container = pod["spec"]["containers"][0]
        arguments = [self._resolved(text) for text in container["args"]]
        environment = {one["name"]: self._resolved(one["value"]) for one in container["env"]}
        command = [sys.executable, *container["command"][1:], *arguments]
        process = subprocess.Popen(
            command,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TF_NUM_INTRAOP_THREADS": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        name = pod["metadata"]["name"]
        self.running[name] = process
        threading.Thread(target=self._attend, args=(name, process, index), daemon=True).start()

    def stop(self, name: str) -> None:
        self.running[name].terminate()

    def kill(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def _resolved(self, text: str) -> str:
        """Pods' names as addresses of this machine, as DNS would have it."""
        return re.sub(
            r"loomline-train-\w+-(?:node-0|worker)-(\d+)\.[\w.-]+:2222",
            lambda found: f"127.0.0.1:{self._ports[int(found[1])]}",
            text,
        )

    def _attend(self, name: str, process: subprocess.Popen[str], index: int) -> None:
        self._cluster.start(index)
        assert process.stdout is not None
        for line in process.stdout:
            with self._cluster.changed:
                lines = self._cluster.logs.setdefault(name, [])
                lines.append((time.time(), line.rstrip("\n")))
                self._cluster.changed.notify_all()
        code = process.wait()
        process.stdout.close()
        with self._cluster.changed:
            if ("pods", name) in self._cluster.objects:
                self._cluster.finish(index, 128 - code if code < 0 else code)


def _plural(one: Object) -> str:
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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stamp(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"

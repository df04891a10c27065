"""A fake of Kubeflow Pipelines' API server, over real HTTP, that can be told to misbehave.

It answers as the server of kubeflow/pipelines does: names are unique, the upload has an error form
of its own, tasks carry Argo's node names and logs are had by the pod's. Every request and every
answer is held to the published API.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from published_api import Operation, check, check_filter, operations

STEPS = ("ingest", "validate", "transform", "train", "evaluate", "drift", "gate", "push")
Answer = tuple[int, Any]


@dataclasses.dataclass
class Fault:
    """What to do instead of the next answers to some requests.

    Attributes:
        verb, part: of the requests that are meant.
        status: to answer; 0 drops the connection.
        times: how often.
        after: carry the request out first, and misbehave in the answer.
        headers: of the answer.
        seconds: to wait before anything.
    """

    verb: str
    part: str
    status: int = 0
    times: int = 1
    after: bool = False
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    body: bytes = b'{"code": 13, "message": "injected", "details": []}'


class FakeKubeflow:
    """What the server knows."""

    def __init__(self) -> None:
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.wrong: list[str] = []
        self.multi_user = False
        # Where several users share it: those that whoever asks may use.
        self.namespaces = {"ada"}
        self.token = ""
        self.cookie = ""
        # Called for each look at a run, so that a test can move it on.
        self.on_look: Callable[[dict[str, Any]], None] = lambda run: None
        self.operations = operations()
        self._lock = threading.Lock()

    def requested(self, verb: str, part: str) -> int:
        """How many requests of that kind there were."""
        return sum(1 for one, path, _ in self.requests if one == verb and part in path)

    @contextlib.contextmanager
    def served(self, wrap: Callable[[socket.socket], socket.socket] | None = None) -> Iterator[str]:
        """Serves it; yields the URL."""
        fake = self

        class Handler(_Handler):
            kubeflow = fake

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if wrap is not None:
            server.socket = wrap(server.socket)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"{'https' if wrap else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    # What moves runs on.

    def step(
        self, run: dict[str, Any], name: str, state: str, log: str = "", why: str = ""
    ) -> None:
        """Sets a step's state, as the API shows it.

        A step is Argo's nodes: its driver; the step, which runs while its pod waits; its executor;
        the executor's attempts, of which the last is the pod. A node's children are its parts, and
        what comes after it.
        """
        details = run["run_details"]["task_details"]
        number = 1000 + 10 * (STEPS.index(name) if name in STEPS else 90)
        node = f"run-abcde-{number}"
        details[:] = [one for one in details if not one["pod_name"].startswith(node[:-1])]
        retried = name not in ("push", "summarize")

        def part(digit: int, shown: str, state: str, children: tuple[str, ...]) -> None:
            one = {"run_id": run["run_id"], "task_id": str(uuid.uuid4()), "display_name": shown}
            one |= {"pod_name": f"{node[:-1]}{digit}", "state": state}
            one |= {"create_time": f"2026-11-28T10:{number // 10 % 60:02d}:0{digit}Z"}
            if children:
                one["child_tasks"] = [{"pod_name": child} for child in children]
            if why and digit == (3 if retried else 2):
                one["error"] = {"code": 13, "message": why, "details": []}
            details.append(one)

        after = f"run-abcde-{number + 10}"
        part(0, f"{name}-driver", "SUCCEEDED", (f"{node[:-1]}1",))
        waits = "RUNNING" if state == "PENDING" else state
        if state == "SKIPPED":
            part(1, name, state, ())
        else:
            part(1, name, waits, (f"{node[:-1]}2",))
            if retried:
                part(2, "executor", waits, (f"{node[:-1]}3", after))
                part(3, "executor(0)", state, (after,))
            else:
                part(2, "executor", state, (after,))
        template = "retry-system-container-impl" if retried else "system-container-impl"
        self.logs[f"run-abcde-{template}-{number + (3 if retried else 2)}"] = log
        # The exit handler's inner part and the condition are nodes, too.
        for inner in ("steps", *(["approved"] if name == "push" else [])):
            if not any(one["display_name"] == inner for one in details):
                shown = {"run_id": run["run_id"], "display_name": inner, "state": "RUNNING"}
                details.append({**shown, "pod_name": f"run-abcde-{inner}"})

    def end(self, run: dict[str, Any], state: str, log: str = "") -> None:
        """Ends a run, with what its exit handler printed."""
        self.step(run, "summarize", "SUCCEEDED", log)
        run["state"] = state
        run["finished_at"] = "2026-11-28T11:00:00Z"

    # What answers.

    def answer(self, verb: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """What the server says."""
        with self._lock:
            parts = path.removeprefix("/apis/v2beta1/").split("/")
            if self.multi_user and parts == ["experiments"]:
                given = (body if verb == "POST" else query).get("namespace")
                if not given:
                    return 400, _status(3, "Invalid input error: a namespace must be specified")
                if given not in self.namespaces:
                    return 403, _status(7, f"PermissionDenied: no access to namespace {given}")
            match verb, parts:
                case "GET", ["healthz"]:
                    return 200, {"multi_user": self.multi_user, "pipeline_store": "database"}
                case "GET", ["pipelines", pipeline, "versions"]:
                    found = [v for v in self.versions.values() if v["pipeline_id"] == pipeline]
                    return self._page("pipeline_versions", found, query)
                case "GET", ["pipelines", _, "versions", version] if version in self.versions:
                    return 200, self.versions[version]
                case "GET", [("pipelines" | "experiments" | "runs" | "recurringruns") as kind]:
                    key = "recurringRuns" if kind == "recurringruns" else kind
                    return self._page(key, self._matching(kind, query), query)
                case "GET", ["runs", run]:
                    if run not in self.runs:
                        return 404, _status(5, f"Failed to get a run: run {run} not found")
                    self.on_look(self.runs[run])
                    return 200, self.runs[run]
                case "POST", ["pipelines"]:
                    return self._new(self.pipelines, "pipeline_id", body, unique=True)
                case "POST", ["pipelines", "upload_version"]:
                    return self._upload(query, body)
                case "POST", ["experiments"]:
                    return self._new(self.experiments, "experiment_id", body, unique=True)
                case "POST", ["runs"]:
                    return self._run(body)
                case "POST", ["recurringruns"]:
                    return self._new(self.recurring, "recurring_run_id", body, unique=False)
                case "DELETE", ["recurringruns", one]:
                    gone = self.recurring.pop(one, None)
                    return (200, {}) if gone else (404, _status(5, "not found"))
            return 501, _status(12, f"the fake does not know {verb} {path}")

    def log(self, path: str) -> Answer:
        pod = path.split("/")[-2]
        if pod not in self.logs:
            return 500, {"error_message": f"pods {pod!r} not found", "error_details": ""}
        return 200, self.logs[pod]

    def _matching(self, kind: str, query: dict[str, str]) -> list[dict[str, Any]]:
        stores = {"pipelines": self.pipelines, "experiments": self.experiments}
        stores |= {"runs": self.runs, "recurringruns": self.recurring}
        belongs = query.get("experiment_id")
        return [
            one
            for one in stores[kind].values()
            if belongs is None or one.get("experiment_id") == belongs
        ]

    def _page(self, key: str, found: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        if wanted := query.get("filter"):
            for predicate in json.loads(wanted)["predicates"]:
                value = predicate.get("string_value", predicate.get("stringValue"))
                found = [one for one in found if one[predicate["key"]] == value]
        # Two a page, whatever is asked for: the server may give fewer.
        start = int(query.get("page_token") or 0)
        page: dict[str, Any] = {"total_size": len(found)}
        if found[start : start + 2]:
            page[key] = found[start : start + 2]
        if len(found) > start + 2:
            page["next_page_token"] = str(start + 2)
        return 200, page

    def _new(
        self, store: dict[str, dict[str, Any]], key: str, body: dict[str, Any], unique: bool
    ) -> Answer:
        name = body["display_name"]
        if unique and any(one["display_name"] == name for one in store.values()):
            return 409, _status(6, f"Already exist error: the name {name} already exists")
        made = {**body, key: str(uuid.uuid4()), "created_at": "2026-11-28T10:00:00Z"}
        store[made[key]] = made
        return 200, made

    def _upload(self, query: dict[str, str], body: dict[str, bytes]) -> Answer:
        refused = {"error_message": "Failed to create a pipeline version", "error_details": ""}
        pipeline, name = query["pipelineid"], query["name"]
        if pipeline not in self.pipelines:
            return 400, refused
        same = [v for v in self.versions.values() if v["pipeline_id"] == pipeline]
        if any(version["display_name"] == name for version in same):
            return 409, refused
        documents = list(yaml.load_all(body["uploadfile"], Loader=yaml.CSafeLoader))
        keys = ("pipeline_spec", "platform_spec")
        spec = dict(zip(keys, documents, strict=False)) if len(documents) > 1 else documents[0]
        made = {"pipeline_id": pipeline, "display_name": name, "pipeline_spec": spec}
        made |= {"description": query.get("description", ""), "created_at": "2026-11-28T10:00:00Z"}
        version = {**made, "pipeline_version_id": str(uuid.uuid4())}
        self.versions[version["pipeline_version_id"]] = version
        return 200, version

    def _run(self, body: dict[str, Any]) -> Answer:
        version = self.versions.get(body["pipeline_version_reference"]["pipeline_version_id"])
        if version is None or body["experiment_id"] not in self.experiments:
            return 400, _status(3, "Invalid input error: no such version or experiment")
        spec = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
        known = spec["root"]["inputDefinitions"]["parameters"]
        unknown = set(body.get("runtime_config", {}).get("parameters", {})) - set(known)
        if unknown:
            return 400, _status(3, f"Invalid input error: unknown parameters {unknown}")
        run = {**body, "run_id": str(uuid.uuid4()), "state": "PENDING"}
        run |= {"created_at": "2026-11-28T10:00:00Z", "run_details": {"task_details": []}}
        self.runs[run["run_id"]] = run
        return 200, run


def _status(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": []}


class _Handler(BaseHTTPRequestHandler):
    kubeflow: FakeKubeflow
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def log_message(self, *_: object) -> None: ...

    def _handle(self, verb: str) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.kubeflow.requests.append((verb, self.path, dict(self.headers.items())))
        fault = self._fault(verb)
        if fault and fault.seconds:
            time.sleep(fault.seconds)
        if fault and not fault.after:
            return self._misbehave(fault)
        status, answer = self._answered(verb, url.path, query, content)
        if fault:
            return self._misbehave(fault)
        return self._send(status, answer)

    def _answered(self, verb: str, path: str, query: dict[str, str], content: bytes) -> Answer:
        kubeflow = self.kubeflow
        if kubeflow.token and self.headers.get("Authorization") != f"Bearer {kubeflow.token}":
            return 401, _status(16, "Unauthenticated: the token was not accepted")
        if kubeflow.cookie and self.headers.get("Cookie") != kubeflow.cookie:
            return 401, _status(16, "Unauthenticated: no session")
        if path.startswith("/apis/v1alpha1/"):
            return kubeflow.log(path)
        found = next((one for one in kubeflow.operations if one.matches(verb, path)), None)
        if found is None:
            return 404, _status(5, "Not Found")
        try:
            body = self._checked(found, query, content)
            status, answer = kubeflow.answer(verb, path, query, body)
            if status == 200:
                check(answer, found.answer)
        except AssertionError as error:
            kubeflow.wrong.append(f"{verb} {path}: {error}")
            return 400, _status(3, str(error))
        return status, answer

    def _checked(self, operation: Operation, query: dict[str, str], content: bytes) -> Any:
        unknown = set(query) - operation.query
        assert not unknown, f"unknown parameters of the query: {unknown}"
        if "filter" in query:
            check_filter(query["filter"])
        kind = self.headers.get("Content-Type", "")
        if operation.files:
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            parts = BytesParser().parsebytes(head + content).get_payload()
            files = {
                str(part.get_param("name", header="content-disposition")): part.get_payload(
                    decode=True
                )
                for part in parts  # type: ignore[union-attr]
            }
            assert set(files) == set(operation.files)
            return files
        if not operation.body:
            assert not content, "a body that the operation does not have"
            return None
        assert kind.startswith("application/json"), kind
        body = json.loads(content)
        check(body, operation.body)
        return body

    def _fault(self, verb: str) -> Fault | None:
        for fault in self.kubeflow.faults:
            if fault.times and fault.verb == verb and fault.part in self.path:
                fault.times -= 1
                return fault
        return None

    def _misbehave(self, fault: Fault) -> None:
        if fault.status == 0:
            # As a proxy that restarts: the connection ends in the middle.
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(fault.status)
        headers = {"Content-Type": "application/json", **fault.headers}
        for name, value in {**headers, "Content-Length": str(len(fault.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(fault.body)

    def _send(self, status: int, answer: Any) -> None:
        text = isinstance(answer, str)
        content = answer.encode() if text else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if text else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

"""HTTP of the fake of Kubernetes' API: paths, tokens, chunks, connections that break."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
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


class ApiHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: Any

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

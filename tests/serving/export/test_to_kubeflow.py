"""Versions are copied into a model registry that behaves as its OpenAPI document says."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from click.testing import Result

from serving.export import rest, to_kubeflow
from serving.export.errors import ExportError

API = "/api/model_registry/v1alpha3/"
KINDS = {"registered_model": "name", "model_version": "name"}
# https://github.com/kubeflow/model-registry/blob/main/api/openapi/model-registry.yaml
READ_ONLY = {"id", "createTimeSinceEpoch", "lastUpdateTimeSinceEpoch"}
FIELDS = {
    "registered_models": {"name", "description", "externalId", "customProperties", "state"},
    "model_versions": {
        "name", "description", "externalId", "customProperties", "state", "author",
        "registeredModelId",
    },
    "model-artifact": {
        "artifactType", "name", "uri", "state", "modelFormatName", "modelFormatVersion",
        "modelSourceKind", "modelSourceName", "customProperties",
    },
    "dataset-artifact": {"artifactType", "name", "uri", "state", "source", "digest"},
    "doc-artifact": {"artifactType", "name", "uri", "state"},
}  # fmt: skip


class Registry:
    """The far end: resources in memory, and faults that come before an answer."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, dict[str, Any]]] = {
            "registered_models": {}, "model_versions": {}, "artifacts": {}
        }  # fmt: skip
        self.token: str | None = None
        self.faults: list[int | float | str] = []
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        parts = path.removeprefix(API).split("/")
        if method == "GET" and parts[0] in KINDS:
            return self._find(f"{parts[0]}s", query)
        if parts[0] == "model_versions" and parts[2:] == ["artifacts"]:
            return self._artifacts(method, parts[1], query, body)
        if method == "POST" and parts[0] in ("registered_models", "model_versions"):
            return self._create(parts[0], body)
        if method == "PATCH" and len(parts) == 2 and parts[1] in self.resources.get(parts[0], {}):
            known = self.resources[parts[0]][parts[1]]
            if "name" in body or READ_ONLY & set(body):
                return 400, {"code": "400", "message": "json: unknown field"}
            known.update(body)
            return 200, known
        return 404, {"code": "404", "message": "not found"}

    def _find(self, kind: str, query: dict[str, str]) -> tuple[int, Any]:
        for one in self.resources[kind].values():
            parent = query.get("parentResourceId", one.get("registeredModelId"))
            if (one["name"], one.get("registeredModelId")) == (query["name"], parent):
                return 200, one
        return 404, {"code": "404", "message": f"no {kind} found"}

    def _create(self, kind: str, body: dict[str, Any]) -> tuple[int, Any]:
        if not set(body) <= FIELDS[kind] or not _valued(body.get("customProperties", {})):
            return 400, {"code": "400", "message": "json: unknown field"}
        parent = body.get("registeredModelId")
        if kind == "model_versions" and parent not in self.resources["registered_models"]:
            return 400, {"code": "400", "message": "no registered model found"}
        if self._find(kind, {"name": body["name"], "parentResourceId": parent})[0] == 200:
            return 409, {"code": "409", "message": "already exists"}
        return 201, self._put(kind, body)

    def _artifacts(
        self, method: str, version: str, query: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        if version not in self.resources["model_versions"]:
            return 404, {"code": "404", "message": "no model version found"}
        own = [one for one in self.resources["artifacts"].values() if one["of"] == version]
        if method == "GET":
            start = int(query.get("nextPageToken") or 0)
            # A page smaller than what was asked for is allowed.
            page = own[start : start + 2]
            token = str(start + 2) if start + 2 < len(own) else ""
            return 200, {"items": page, "nextPageToken": token, "pageSize": 2, "size": len(page)}
        if not set(body) <= FIELDS[body["artifactType"]]:
            return 400, {"code": "400", "message": "json: unknown field"}
        if any(
            (one["artifactType"], one["name"]) == (body["artifactType"], body["name"])
            for one in self.resources["artifacts"].values()
        ):
            return 409, {"code": "409", "message": "already exists"}
        return 201, self._put("artifacts", {**body, "of": version})

    def _put(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        number = str(sum(map(len, self.resources.values())) + 1)
        self.resources[kind][number] = {**body, "id": number}
        return self.resources[kind][number]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or "null")
                parsed = urlsplit(self.path)
                registry.asked.append(f"{self.command} {parsed.path.removeprefix(API)}")
                fault = registry.faults.pop(0) if registry.faults else 0
                if isinstance(fault, float):
                    time.sleep(fault)
                if isinstance(fault, str):
                    self._reply(200, fault.encode())
                elif isinstance(fault, int) and fault:
                    where = {"Location": "http://127.0.0.1:1/"} if fault == 302 else {}
                    self._reply(fault, b'{"code": "x", "message": "a fault"}', where)
                elif registry.token and self.headers.get("Authorization") != (
                    f"Bearer {registry.token}"
                ):
                    self._reply(401, b'{"code": "401", "message": "who are you"}')
                else:
                    query = dict(parse_qsl(parsed.query))
                    status, content = registry.answer(self.command, parsed.path, query, body)
                    self._reply(status, json.dumps(content).encode())

            do_GET = do_POST = do_PATCH = _serve  # noqa: N815

            def _reply(
                self, status: int, content: bytes, headers: dict[str, str] | None = None
            ) -> None:
                with contextlib.suppress(OSError):  # Nobody waits any more.
                    self.send_response(status)
                    for name, value in (headers or {}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _valued(properties: dict[str, Any]) -> bool:
    kinds = {"MetadataStringValue": "string_value", "MetadataDoubleValue": "double_value"}
    return all(set(one) == {"metadataType", kinds[one["metadataType"]]}
               for one in properties.values())  # fmt: skip


@pytest.fixture
def far() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_PAUSE", 0.01)


def test_a_version_is_registered_once_with_its_lineage(
    exported: Callable[..., Result], far: Registry, tmp_path: Path
) -> None:
    for _ in range(2):
        done = exported("text/2", "--to=kubeflow", f"--host={far.url}/")
        assert done.exit_code == 0, done.output
    (model,) = far.resources["registered_models"].values()
    (version,) = far.resources["model_versions"].values()
    assert done.output == f"text/a is at {far.url}{API}model_versions/{version['id']}\n"
    assert (model["name"], version["name"], version["author"]) == ("text", "2", "Ada")
    told = version["customProperties"]
    assert told["evaluation.bits_per_byte"]["double_value"] == 1.9
    assert told["loomline.run"]["string_value"] == "text/a"
    assert told["loomline.source_digest"]["string_value"] == "d" * 64
    found = {one["name"]: one for one in far.resources["artifacts"].values()}
    assert set(found) == {
        "text-2", "text-2-data", "text-2-evaluation.html", "text-2-decision.json"
    }  # fmt: skip
    assert found["text-2"]["uri"] == "file:///models/text/2"
    assert found["text-2-data"]["digest"] == "d" * 64
    report = found["text-2-evaluation.html"]["uri"]
    assert report == (tmp_path / "records" / "evaluation.html").as_uri()


def test_a_token_is_sent_and_its_absence_told(
    exported: Callable[..., Result],
    one_line: Callable[[Result, str], None],
    far: Registry,
    tmp_path: Path,
) -> None:
    far.token = "s3cret"
    call = ("a", "--to=kubeflow", f"--host={far.url}")
    one_line(exported(*call), "status 401, who are you; give a token")
    assert len(far.asked) == 1, "a refusal is not asked for again"
    (tmp_path / "token").write_text("s3cret\n")
    done = exported(*call, f"--token-file={tmp_path / 'token'}")
    assert done.exit_code == 0, done.output
    (tmp_path / "token").write_text("wr0ng")
    refused = exported(*call, f"--token-file={tmp_path / 'token'}")
    one_line(refused, "status 401")
    assert "wr0ng" not in refused.stderr


def test_faults_that_pass_are_waited_for(exported: Callable[..., Result], far: Registry) -> None:
    far.faults = [500, 503]
    assert exported("a", "--to=kubeflow", f"--host={far.url}").exit_code == 0
    assert far.asked[:3] == ["GET registered_model"] * 3
    assert len(far.resources["model_versions"]) == 1


def test_what_somebody_else_made_meanwhile_is_taken(
    exported: Callable[..., Result], far: Registry
) -> None:
    assert exported("a", "--to=kubeflow", f"--host={far.url}").exit_code == 0
    # The search finds nothing, and then the model is there.
    first = len(far.asked)
    far.faults = [404]
    assert exported("a", "--to=kubeflow", f"--host={far.url}").exit_code == 0
    assert far.asked[first : first + 3] == [
        "GET registered_model",
        "POST registered_models",
        "GET registered_model",
    ]
    assert len(far.resources["registered_models"]) == 1


def test_a_copy_that_broke_off_goes_on(exported: Callable[..., Result], far: Registry) -> None:
    # Model and version are made; then the registry fails for good.
    far.faults = [0, 0, 0, 0, 0, 500, 500, 500]
    assert exported("a", "--to=kubeflow", f"--host={far.url}").exit_code == 2
    assert (len(far.resources["model_versions"]), len(far.resources["artifacts"])) == (1, 0)
    assert exported("a", "--to=kubeflow", f"--host={far.url}").exit_code == 0
    assert (len(far.resources["model_versions"]), len(far.resources["artifacts"])) == (1, 4)


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([500, 500, 500], "status 500, a fault"),
        ([400], "status 400, a fault"),
        ([302], "status 302"),
        (["<html>login</html>"], "to answer in JSON. Received: '<html>login</html>'"),
    ],
)
def test_a_registry_that_fails_is_one_line(
    exported: Callable[..., Result],
    one_line: Callable[[Result, str], None],
    far: Registry,
    faults: list[int | float | str],
    said: str,
) -> None:
    far.faults = list(faults)
    one_line(exported("a", "--to=kubeflow", f"--host={far.url}"), said)
    assert len(far.asked) == len(faults)


def test_a_registry_that_hangs_is_given_up(far: Registry) -> None:
    far.faults = [2.0] * 3
    far_away = to_kubeflow.Kubeflow(far.url, None, seconds=0.1)
    with pytest.raises(ExportError, match=re.escape("no answer within 0.1 s")):
        far_away._rest.get(f"{API}registered_model", {"name": "text"})
    with pytest.raises(ExportError, match="Connection refused"):
        rest.Rest("http://127.0.0.1:1", None, 1).get("/", {})

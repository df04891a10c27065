"""Paths, pages, headers and bad input, through a real gateway."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

SAFE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture
def connection(gateway: Any) -> Iterator[http.client.HTTPConnection]:
    """A connection that sends paths as they are; httpx would clean them."""
    url = httpx.URL(gateway.url)
    connection = http.client.HTTPConnection(url.host, url.port, timeout=10)
    yield connection
    connection.close()


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz", "/v1/models", "/none"])
def test_every_reply_has_an_id_and_headers_that_browsers_heed(gateway: Any, path: str) -> None:
    reply = gateway.http.get(path)
    assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"])
    assert SAFE.items() <= dict(reply.headers).items()
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "server" not in reply.headers


def test_ids_differ_and_sort_by_time(gateway: Any) -> None:
    ids = [gateway.http.get("/healthz").headers["x-request-id"] for _ in range(5)]
    assert len(set(ids)) == 5
    times = [made[:12] for made in ids]
    assert times == sorted(times)


def test_a_connection_serves_several_requests(connection: http.client.HTTPConnection) -> None:
    sockets = set()
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"alive":true}'
        sockets.add(connection.sock)
    assert len(sockets) == 1


def test_the_documentation_needs_no_network(gateway: Any) -> None:
    page = gateway.http.get("/docs").text
    assert "/v1/generate" in page
    assert "max_new_tokens" in page
    assert "default 64" in page
    # The icon's name of its language is no address.
    without = page.replace("xmlns='http://www.w3.org/2000/svg'", "")
    assert not re.search(r"https?://|//cdn|<script", without)
    style = gateway.http.get("/docs/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert not re.search(r"https?://|@import", style.text)


def test_openapi_describes_bodies_and_replies(gateway: Any) -> None:
    document = gateway.http.get("/openapi.json").json()
    assert {
        "/v1/generate",
        "/v1/score",
        "/v1/feedback",
        "/v1/models",
        "/v1/requests",
        "/v1/requests/{request_id}",
        "/v1/models/{model}/predict/{signature}",
        "/healthz",
        "/readyz",
        "/metrics",
    } <= document["paths"].keys()
    generate = document["paths"]["/v1/generate"]["post"]
    body = generate["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    reply = generate["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    schemas = document["components"]["schemas"]
    fields = schemas[body.rpartition("/")[2]]["properties"]
    assert fields["top_p"]["exclusiveMinimum"] == 0
    assert "first_token_ms" not in schemas[reply.rpartition("/")[2]]["properties"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= schemas.keys()


def test_the_playground_and_its_files_come_from_the_static_folder(
    server: Any, start_gateway: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>play</title>")
    (tmp_path / "app.js").write_text("1")
    (tmp_path.parent / "secret.txt").write_text("secret")
    gateway = start_gateway(server.address, f"--static={tmp_path}")
    page = gateway.http.get("/")
    assert "<title>play</title>" in page.text
    assert page.headers["content-type"].startswith("text/html")
    script = gateway.http.get("/static/app.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["x-content-type-options"] == "nosniff"
    url = httpx.URL(gateway.url)
    for path in ("/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/..%2fsecret.txt"):
        connection = http.client.HTTPConnection(url.host, url.port, timeout=10)
        connection.request("GET", path)
        reply = connection.getresponse()
        assert reply.status == 404
        assert b"secret" not in reply.read()
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/../../etc/passwd/predict/x",
        "/v1/models/..%2f..%2fetc%2fpasswd/predict/generate",
        "/v1/models/text/predict/..%2f..",
        "/v1/models/%00/predict/generate",
        "/v1/models/text%0d%0aX-Evil:1/predict/generate",
        "/v1/models/%ff%fe/predict/generate",
    ],
)
def test_paths_that_climb_lead_nowhere(connection: http.client.HTTPConnection, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    connection.request("POST", path, b'{"inputs": {}}', headers)
    reply = connection.getresponse()
    assert reply.status == 404
    assert json.loads(reply.read())["error"]["code"] == "NOT_FOUND"
    assert reply.getheader("X-Evil") is None


def test_an_unknown_model_is_told_without_asking_the_server(gateway: Any) -> None:
    reply = gateway.generate("x", model="../text")
    assert reply.status_code == 404
    message = reply.json()["error"]["message"]
    assert message == "expected a model of: text. Received: '../text'"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "expected a JSON object"),
        (b"{", "expected a JSON object"),
        (b"[" * 100_000, "recursion limit exceeded"),
        (b'{"prompt":' * 50_000, "recursion limit exceeded"),
        (b'{"prompt": "\xff\xfe"}', "invalid unicode"),
        (b'{"prompt": "\\ud800"}', "expected a JSON object"),
        (b'{"prompt": "x", "temperature": NaN}', "temperature"),
        (b'{"prompt": "x", "temperature": 1e999}', "temperature"),
        (b'{"prompt": "x", "seed": 1e400}', "seed"),
        (b'{"prompt": "x", "max_new_tokens": true}', "max_new_tokens"),
        (b'"text"', "the body"),
        (b'{"prompt": {"a": [1]}}', "prompt"),
        (b"\xef\xbb\xbf{}", "expected a JSON object"),
    ],
)
def test_malformed_json_is_one_line(gateway: Any, body: bytes, expected: str) -> None:
    headers = {"Content-Type": "application/json"}
    reply = gateway.http.post("/v1/generate", content=body, headers=headers)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert expected in error["message"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 500


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_another_content_type_is_refused(gateway: Any, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    reply = gateway.http.post("/v1/generate", content=b'{"prompt": "x"}', headers=headers)
    assert reply.status_code == 415
    assert "expected Content-Type: application/json" in reply.json()["error"]["message"]


def test_a_compressed_body_is_refused(gateway: Any) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    reply = gateway.http.post("/v1/generate", content=b"\x1f\x8b", headers=headers)
    assert reply.status_code == 415


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused(gateway: Any, announced: bool) -> None:
    body = json.dumps({"prompt": "x" * (1 << 20)}).encode()
    pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
    headers = {"Content-Type": "application/json"}
    content = body if announced else pieces
    reply = gateway.http.post("/v1/generate", content=content, headers=headers)
    assert reply.status_code == 413
    assert "at most 1048576 bytes" in reply.json()["error"]["message"]


def test_wrong_paths_and_methods_look_like_every_error(gateway: Any) -> None:
    missing = gateway.http.get("/v2/anything")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NOT_FOUND")
    wrong = gateway.http.get("/v1/generate")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "UNIMPLEMENTED")
    assert wrong.headers["allow"] == "POST"


def test_the_routes_of_metrics_are_templates(gateway: Any) -> None:
    gateway.http.get("/v1/requests/some-id-of-a-caller")
    gateway.http.get("/path-of-a-caller")
    text = gateway.http.get("/metrics").text
    assert 'route="/v1/requests/{request_id}"' in text
    assert "of-a-caller" not in text


def test_a_foreign_host_is_refused_where_there_are_no_keys(gateway: Any) -> None:
    reply = gateway.http.get("/v1/models", headers={"Host": "evil.example"})
    assert reply.status_code == 403
    assert "--allowed-hosts" in reply.json()["error"]["message"]
    for host in ("localhost:1234", "127.0.0.1", "[::1]:80"):
        assert gateway.http.get("/healthz", headers={"Host": host}).status_code == 200


def test_other_origins_are_not_let_in_by_default(gateway: Any) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    reply = gateway.http.options("/v1/generate", headers=headers)
    assert reply.status_code == 405
    assert "access-control-allow-origin" not in reply.headers


def test_an_origin_that_is_configured_is_let_in(
    server: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(server.address, "--cors-origins=https://app.example")
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    reply = gateway.http.options("/v1/generate", headers=headers)
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    foreign = gateway.http.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


def test_too_many_calls_at_once_are_refused(
    hanging: Any, start_gateway: Callable[..., Any]
) -> None:
    gateway = start_gateway(hanging.address, "--max-in-flight=1", "--timeout=2")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.generate)
        assert hanging.called.wait(10)
        second = gateway.generate()
        assert second.status_code == 503
        assert second.headers["retry-after"] == "1"
        assert "at most 1 calls at once" in second.json()["error"]["message"]
        assert first.result().status_code == 504


def test_slow_headers_are_cut_off(server: Any, start_gateway: Callable[..., Any]) -> None:
    gateway = start_gateway(server.address, "--header-seconds=0.3")
    url = httpx.URL(gateway.url)
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_logs_are_json_without_prompts(gateway: Any) -> None:
    reply = gateway.generate("a very private prompt", seed=1)
    line = gateway.line_of(reply.headers["x-request-id"])
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/generate", 200)
    assert (line["model"], line["version"], line["tokens"]) == ("text", 3, 64)
    assert re.fullmatch("[0-9a-f]{32}", line["trace_id"])
    assert "private" not in gateway.log.read_text("utf-8")

"""Proxies and private authorities are those of the environment and of --ca."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import ProxyHandler, build_opener

import pytest
from fake_kubeflow import FakeKubeflow

from components.errors import ConfigError
from pipelines.kubeflow import Connection, KubeflowError
from pipelines.kubeflow.api import Api


def asks(connection: Connection) -> None:
    with Api(connection, attempts=1, first_wait=0.01) as api:
        api.check()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of this machine that nobody trusts, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: make test-tools")
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-out", paths[0], "-keyout", paths[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return paths


def test_a_private_authority_is_trusted_when_it_is_named(
    kubeflow: FakeKubeflow, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with kubeflow.served(lambda sock: context.wrap_socket(sock, server_side=True)) as url:
        asks(Connection(url, ca=certificate[0]))
        with pytest.raises(KubeflowError, match="Name the authority's file with --ca"):
            asks(Connection(url))


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match="--ca expects a file of certificates in PEM"):
        asks(Connection("https://127.0.0.1:9", ca=path))


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A forwarding proxy, and what went through it."""
    passed: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            passed.append(self.path)
            direct = build_opener(ProxyHandler({}))
            with direct.open(self.path.replace("kubeflow.example", "127.0.0.1")) as answer:
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", passed
        server.shutdown()


def test_the_environments_proxy_is_asked_and_no_proxy_kept(
    kubeflow: FakeKubeflow,
    host: str,
    proxy: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, passed = proxy
    monkeypatch.setenv("HTTP_PROXY", url)
    # A name that only the proxy can resolve.
    asks(Connection(host.replace("127.0.0.1", "kubeflow.example")))
    assert len(passed) == 1
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asks(Connection(host))
    assert len(passed) == 1


def test_a_proxy_that_is_down_is_named_as_such(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(KubeflowError, match="Received: ConnectError"):
        asks(Connection(host))

"""What tests all over the tree share: real object stores, and a run as the registry keeps it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from serving.store import Run

_TOOLS = Path(__file__).parent.parent / ".tools"


def _program(name: str) -> str:
    program = shutil.which(name, path=f"{_TOOLS}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{name} is missing: make test-tools")
    return program


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """URL of fake-gcs-server."""
    program = _program("fake-gcs-server")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [program, "-scheme=http", "-host=127.0.0.1", f"-port={port}", "-backend=memory"]
    command += [f"-public-host=127.0.0.1:{port}", f"-external-url={url}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _wait(lambda: urllib.request.urlopen(f"{url}/storage/v1/b?project=x", timeout=5).close())
        yield url
        process.terminate()


@pytest.fixture
def bucket(
    emulator: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """A new bucket; the library of Cloud Storage talks to the emulator."""
    from serving.storage import gcs

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    monkeypatch.setenv("LOOMLINE_CACHE", str(tmp_path / "cache-of-loomline"))
    gcs._client.cache_clear()
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    body = json.dumps({"name": name}).encode()
    kind = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{emulator}/storage/v1/b?project=x", body, kind)
    urllib.request.urlopen(asked, timeout=5).close()
    yield name
    gcs._client.cache_clear()


@dataclasses.dataclass(frozen=True)
class S3Server:
    """A running versitygw.

    Attributes:
        url: its endpoint.
        folder: holds a folder for every bucket, with an object in every file.
        stranger: access key and secret of a person without any bucket.
    """

    url: str
    folder: Path
    owner: tuple[str, str]
    stranger: tuple[str, str]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server with two accounts."""
    program = _program("versitygw")
    root = tmp_path_factory.mktemp("s3")
    for name in ("buckets", "accounts", "metadata"):
        (root / name).mkdir()
    port = _free_port()
    server = S3Server(
        f"http://127.0.0.1:{port}", root / "buckets", ("owner", "owner-secret"), ("st", "st-secret")
    )
    account = [f"--access={server.owner[0]}", f"--secret={server.owner[1]}"]
    command = [program, *account, f"--port=127.0.0.1:{port}", f"--iam-dir={root / 'accounts'}"]
    command += ["--quiet", "posix", f"--sidecar={root / 'metadata'}", str(server.folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _wait(lambda: socket.create_connection(("127.0.0.1", port), 5).close())
        key, secret = server.stranger
        new = ["create-user", f"--access={key}", f"--secret={secret}", "--role=user"]
        admin = [program, "admin", *account, f"--endpoint-url={server.url}"]
        subprocess.run([*admin, *new], check=True, capture_output=True)
        yield server
        process.terminate()


@pytest.fixture
def s3(
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Iterator[str]:
    """A new bucket; boto3 talks to the server, told so by AWS's own variables."""
    from serving.storage import s3

    monkeypatch.setenv("LOOMLINE_CACHE", str(tmp_path / "cache-of-loomline"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.owner[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.owner[1])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    s3._client.cache_clear()
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    s3._client().create_bucket(Bucket=name)
    yield name
    s3._client.cache_clear()


@pytest.fixture(params=["gcs", "s3"])
def remote(request: pytest.FixtureRequest) -> str:
    """A new bucket in either store: gs://NAME or s3://NAME."""
    if request.param == "gcs":
        return f"gs://{request.getfixturevalue('bucket')}"
    return f"s3://{request.getfixturevalue('s3')}"


class _Forbids(BaseHTTPRequestHandler):
    """Cloud Storage's answer to somebody without permission."""

    def do_GET(self) -> None:
        body = b'{"error": {"code": 403, "message": "storage.objects.list denied"}}'
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def forbidding() -> Iterator[str]:
    """URL of a Cloud Storage that lets nobody read."""
    with HTTPServer(("127.0.0.1", 0), _Forbids) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def past_run() -> Callable[..., Run]:
    """A run of text that was pushed, with what a test changes."""

    def past_run(name: str, **changed: Any) -> Run:
        values: dict[str, Any] = {
            "model": "text",
            "run": name,
            "finished": datetime(2026, 11, 23, 12, tzinfo=UTC),
            "outcome": "pushed",
            "reason": "approved: all 3 rules pass",
            "seconds": 61.5,
            "source": "sotu:",
            "source_digest": "d" * 64,
            "code_digest": "c" * 64,
            "code_revision": "abc123",
            "config_digest": "e" * 64,
            "config": {"train": {"layers": 4, "steps": 700}, "modality": "text"},
            "figures": {"evaluation.bits_per_byte": 1.9, "drift.data.drift_share": 0.5},
            "champion_version": None,
            "records": f"/runs/{name}",
        }
        return Run(**{**values, **changed})

    return past_run


def _wait(ask: Callable[[], Any]) -> None:
    for _ in range(200):
        try:
            ask()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the object store does not answer")

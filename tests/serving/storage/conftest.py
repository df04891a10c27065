"""A real emulator of Cloud Storage, and a folder that looks like a SavedModel."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent.parent.parent / ".tools"


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """URL of fake-gcs-server."""
    program = shutil.which("fake-gcs-server", path=f"{TOOLS}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("fake-gcs-server is missing: make test-tools")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [program, "-scheme=http", "-host=127.0.0.1", f"-port={port}", "-backend=memory"]
    command += [f"-public-host=127.0.0.1:{port}", f"-external-url={url}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{url}/storage/v1/b?project=x", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
        process.terminate()


@pytest.fixture
def bucket(
    emulator: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A new bucket; the library of Cloud Storage talks to the emulator."""
    from serving.storage import gcs

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    gcs._client.cache_clear()
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    body = json.dumps({"name": name}).encode()
    kind = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{emulator}/storage/v1/b?project=x", body, kind)
    urllib.request.urlopen(asked, timeout=5).close()
    yield name
    gcs._client.cache_clear()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Files as a SavedModel has them."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(range(256)) * 999)
    (folder / "loomline").mkdir()
    (folder / "loomline" / "provenance.json").write_text("{}")
    return folder

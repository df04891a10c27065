"""A folder that looks like a SavedModel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


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


@pytest.fixture
def resumable(
    remote: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A new bucket in a store that says how much of an upload has arrived."""
    from tests.serving.storage.resumable import Proxy

    if remote.startswith("s3"):
        yield remote
        return
    with Proxy(request.getfixturevalue("emulator")) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        yield remote
        proxy.shutdown()
        thread.join()

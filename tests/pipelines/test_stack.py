"""A model server that dies while its model loads is noticed at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from components.errors import ServingError
from pipelines.stack import Ports, serving

pytestmark = pytest.mark.slow


def _children() -> list[int]:
    """Processes of the model server that this one started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            command = (entry / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == str(os.getpid()) and b"serving.server" in command:
            found.append(int(entry.name))
    return found


def test_a_server_that_dies_while_loading_ends_the_wait(tmp_path: Path) -> None:
    # No version is there: the wait would go on for minutes.
    (tmp_path / "models").mkdir()
    logs = tmp_path / "logs"
    killed: list[float] = []
    before = set(_children())  # servers of other tests of this process

    def kill_when_it_listens() -> None:
        deadline = time.monotonic() + 100
        while not (logs / "gateway.log").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # The gateway is started once the server listens; give both a moment.
        time.sleep(4)
        for process in set(_children()) - before:
            os.kill(process, signal.SIGKILL)
        killed.append(time.monotonic())

    killer = threading.Thread(target=kill_when_it_listens)
    killer.start()
    ports = Ports("127.0.0.1", 0, 0, 0)
    store = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with (
        pytest.raises(ServingError, match=r"serving\.server ended with SIGKILL; ") as caught,
        serving(tmp_path / "models", "text", logs, ports, store, "none", tmp_path),
    ):
        pass
    seconds = time.monotonic() - killed[0]
    killer.join()
    assert seconds < 60
    assert "\n" not in str(caught.value)

"""Services that die or stay silent are noticed at once, in one line that says what they said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from components.errors import ServingError
from pipelines.services import Service

DIES = """
import sys
print("starting", flush=True)
for line in ("first", "  second  one ", "", "third", "fourth"):
    print(line, file=sys.stderr)
raise SystemExit(7)
"""
SILENT = "import sys, time; print('loading', file=sys.stderr, flush=True); time.sleep(60)"
CHATTY = """
import sys, time
print("Serving on 127.0.0.1:1", flush=True)
for _ in range(20_000):
    print("x" * 100)
print("error: the disk is full", file=sys.stderr)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that services can run; a test writes it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "served.py"


def test_one_that_dies_tells_how_and_its_last_lines(module: Path, tmp_path: Path) -> None:
    module.write_text(DIES)
    with Service("served", [], tmp_path / "log") as service:
        with pytest.raises(ServingError) as caught:
            service.announced("Serving on ")
        assert service.ended
    assert str(caught.value) == (
        "served ended with exit code 7; its last lines: second one | third | fourth; "
        f"its output is in {tmp_path / 'log'}"
    )


def test_one_that_stays_silent_is_given_up_in_time(module: Path, tmp_path: Path) -> None:
    module.write_text(SILENT)
    with Service("served", [], tmp_path / "log") as service:
        began = time.monotonic()
        with pytest.raises(ServingError, match="expected served to listen within 2 s") as caught:
            service.announced("Serving on ", seconds=2)
        assert time.monotonic() - began < 5
        assert not service.ended
    assert "\n" not in str(caught.value)


def test_one_that_prints_much_is_not_held_up(module: Path, tmp_path: Path) -> None:
    module.write_text(CHATTY)
    with Service("served", [], tmp_path / "log") as service:
        assert service.announced("Serving on ") == "127.0.0.1:1"
        deadline = time.monotonic() + 20
        while not service.ended:
            assert time.monotonic() < deadline, "it waits for somebody to read"
            time.sleep(0.05)
        assert service.last_words() == "the disk is full"


def test_one_that_was_killed_says_by_what(module: Path, tmp_path: Path) -> None:
    module.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with (
        Service("served", [], tmp_path / "log") as service,
        pytest.raises(ServingError, match="served ended with SIGKILL; it wrote nothing"),
    ):
        service.announced("Serving on ")

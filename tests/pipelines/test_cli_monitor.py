"""`loomline monitor --every` goes on after a fault, by a clock that nobody sets, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.errors import BusyError
from pipelines import cli_monitor
from pipelines.cli import main


def test_it_goes_on_after_a_fault_and_stops_by_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, done = [0.0], []

    def once(*_: Any) -> int:
        done.append(clock[0])
        if len(done) == 2:
            raise BusyError("another monitoring holds the folder")
        if len(done) == 4:
            raise KeyboardInterrupt
        clock[0] += 10 if len(done) == 1 else 0
        return 3

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(cli_monitor, "_once", once)
    monkeypatch.setattr(cli_monitor.time, "sleep", sleep)
    monkeypatch.setattr(cli_monitor.time, "monotonic", lambda: clock[0])
    found = CliRunner().invoke(main, ["monitor", "text", f"--output={tmp_path}", "--every=1m"])
    assert found.exit_code == 130
    assert done == [0, 60, 120, 180]
    assert "error: another monitoring holds the folder" in found.output
    assert found.output.endswith("stopped\n")

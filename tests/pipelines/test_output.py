"""The output folder belongs to one run at a time and keeps every run's records."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import BusyError, PublishError
from pipelines.output import Output, locked


def test_a_second_run_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    output = Output(tmp_path / "runs")
    with locked(output), pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):  # noqa: SIM117
        with locked(output):
            pass


def test_the_folder_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from pipelines.output import Output, locked\n"
        "with locked(Output(Path(sys.argv[1]))):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode != 0
    with locked(Output(tmp_path)):
        pass


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match="choose another one with --output"):  # noqa: SIM117
        with locked(Output(tmp_path / "file" / "runs")):
            pass


def test_every_run_has_records_and_the_last_is_linked(tmp_path: Path) -> None:
    output = Output(tmp_path)
    first, second = output.new_records(), output.new_records()
    assert first != second
    assert output.latest.resolve() == second.resolve()

"""Starts the processes of steps, some of them while the step before still runs."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# kfp reads its own variable when it is imported. The others keep libraries from writing log lines
# of no use here, and from sending usage statistics.
STEP_VARIABLES = {
    "_KFP_RUNTIME": "true",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
}


def end_with_parent() -> None:
    """Asks the kernel to kill this process when its parent dies; for `preexec_fn`.

    Elsewhere than on Linux it does nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Launcher:
    """Starts the processes of steps, some of them before their turn."""

    def __init__(self, logs: Path, scratch: str, imports: Mapping[str, Sequence[str]]) -> None:
        self.logs = logs
        self.scratch = scratch
        self.imports = imports
        self.early: dict[str, subprocess.Popen[str]] = {}

    def log(self, step: str) -> Path:
        """Where the output of a step is kept."""
        return self.logs / f"{step}.log"

    def start(
        self, step: str, command: list[str], variables: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """The process of a step, whose output is yet to be read."""
        # An early process cannot be given variables any more.
        process = None if variables else self.early.pop(step, None)
        if process is not None:
            _, _, _, code, *arguments = command
            task = json.dumps({"code": code, "arguments": arguments}) + "\n"
        else:
            # Without exec the shell would stand between the run and the step, and killing the run
            # would leave the step alive.
            command[2] = command[2].replace("_KFP_RUNTIME=true ", "_KFP_RUNTIME=true exec ", 1)
            process, task = self._popen(command, variables), ""
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(task)
            process.stdin.close()
        self._prepare_after(step)
        return process

    def _prepare_after(self, step: str) -> None:
        """Starts the next step's process: where one step runs, those after it will, too."""
        names = list(self.imports)
        following = names[names.index(step) + 1] if step in names[:-1] else None
        if following is not None and following not in self.early:
            log = self.logs / f"{following}.imports.log"
            command = [sys.executable, "-m", "pipelines.warm", str(log)]
            self.early[following] = self._popen([*command, *self.imports[following]], {})

    def _popen(self, command: list[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **STEP_VARIABLES, "TMPDIR": self.scratch, **variables},
            preexec_fn=end_with_parent,
        )

    def stop(self) -> None:
        """Ends the processes whose turn never came."""
        for process in self.early.values():
            with process:
                process.kill()

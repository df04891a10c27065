"""Starts the processes of steps, some of them while the step before still runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# PR_SET_PDEATHSIG is 1. A parent that died before it was set is told by another one's number.
_ATTACH = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
# kfp reads its own variable when it is imported. The others keep libraries from writing log lines
# of no use here, and from sending usage statistics.
STEP_VARIABLES = {
    "_KFP_RUNTIME": "true",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
}


def attached(command: Sequence[str]) -> list[str]:
    """The command, for a process that the kernel kills when its parent dies.

    The process asks for it by itself, before it becomes the command: to have it ask between fork
    and exec would run Python in a copy of this process, whose threads and libraries are in the
    middle of things. Elsewhere than on Linux the command stays as it is.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _ATTACH, str(os.getpid()), *command]


def following(steps: Iterable[str], step: str) -> str | None:
    """The step after this one, if there is one."""
    names = list(steps)
    return names[names.index(step) + 1] if step in names[:-1] else None


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
        after = following(self.imports, step)
        if after is not None and after not in self.early:
            log = self.logs / f"{after}.imports.log"
            command = [sys.executable, "-m", "pipelines.warm", str(log)]
            self.early[after] = self._popen([*command, *self.imports[after]], {})

    def _popen(self, command: list[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            attached(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **STEP_VARIABLES, "TMPDIR": self.scratch, **variables},
        )

    def stop(self) -> None:
        """Ends the processes whose turn never came."""
        for process in self.early.values():
            with process:
                process.kill()

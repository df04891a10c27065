"""Starts the embedded model server beside a run and asks it for text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self

from components.errors import ServingError
from pipelines.processes import end_with_parent

ADDRESS_PREFIX = "Serving on "
GRACE_SECONDS = 15


class EmbeddedServer:
    """A server process on a free port of this machine; it waits for the first version."""

    def __init__(self, base_path: Path, model_name: str, log: Path) -> None:
        self._log = log
        with log.open("w", encoding="utf-8") as stream:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "serving.server",
                    "--port=0",
                    f"--model_name={model_name}",
                    f"--model_base_path={base_path}",
                ],
                stdout=subprocess.PIPE,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                text=True,
                preexec_fn=end_with_parent,
            )

    def address(self) -> str:
        """Where the server listens, once it does.

        Raises:
            ServingError: it ended before that.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(ADDRESS_PREFIX):
                return line.removeprefix(ADDRESS_PREFIX).strip()
        raise ServingError(f"the embedded server did not start; its output is in {self._log}")

    def stop(self) -> None:
        """Asks the server to finish what is under way, and ends it if that takes too long."""
        with self._process:
            self._process.terminate()
            try:
                self._process.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

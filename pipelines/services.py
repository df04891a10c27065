"""Processes that serve: started beside a run or by `loomline serve`, found by what they print."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from components.errors import ServingError
from pipelines.processes import end_with_parent

GRACE_SECONDS = 30


def _detached() -> None:
    """Ctrl-C reaches the parent alone, which stops its services in order; they die with it."""
    os.setpgrp()
    end_with_parent()


class Service:
    """`python -m MODULE FLAGS`, which says on standard output where it listens."""

    def __init__(self, module: str, flags: Sequence[str], log: Path) -> None:
        """Starts it.

        Args:
            module: what to run.
            flags: its command line.
            log: file for its standard error.
        """
        self.name = module
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                stdout=subprocess.PIPE,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                text=True,
                preexec_fn=_detached,
            )

    def announced(self, prefix: str) -> str:
        """What follows `prefix` on the line that it prints once it listens.

        Raises:
            ServingError: it ended before that; the message is its own where it gave one.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(prefix):
                return line.removeprefix(prefix).strip()
        raise ServingError(self.last_words())

    def last_words(self) -> str:
        """Its last error line, or where to read what it said."""
        lines = self._log.read_text("utf-8", "replace").splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return errors[-1] if errors else f"{self.name} ended; its output is in {self._log}"

    def when_ended(self, action: Callable[[], None]) -> None:
        """Does this in a thread once the process has ended, however it did."""

        def wait() -> None:
            self._process.wait()
            action()

        threading.Thread(target=wait, daemon=True).start()

    def stop(self) -> None:
        """Asks it to finish what is under way, and ends it if that takes too long."""
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


class EmbeddedServer(Service):
    """The embedded model server; it waits for the first version."""

    def __init__(
        self,
        base_path: Path,
        model_name: str,
        log: Path,
        *,
        port: int = 0,
        flags: Sequence[str] = (),
    ) -> None:
        """Starts it on 127.0.0.1.

        Args:
            base_path: folder of numeric version folders.
            model_name: what requests call the model.
            log: file for its standard error.
            port: for gRPC; 0 takes a free one.
            flags: further flags of the server.
        """
        where = [f"--port={port}", f"--model_name={model_name}", f"--model_base_path={base_path}"]
        super().__init__("serving.server", [*where, *flags], log)

    def address(self) -> str:
        """HOST:PORT for gRPC, once it listens.

        Raises:
            ServingError: it ended before that.
        """
        return self.announced("Serving on ")

    def rest_address(self) -> str:
        """HOST:PORT for REST, where `--rest_api_port` was given; ask after `address`.

        Raises:
            ServingError: it ended before that.
        """
        return self.announced("Serving REST on ")

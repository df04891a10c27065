"""Processes that serve: started beside a run or by `loomline serve`, found by what they print."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from components.errors import ServingError
from pipelines.processes import attached

GRACE_SECONDS = 30
ANNOUNCE_SECONDS = 180.0
_LAST_LINES, _LAST_CHARACTERS = 3, 600


def _ending(code: int | None) -> str:
    """An exit status in words."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


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
                attached([sys.executable, "-m", module, *flags]),
                stdout=subprocess.PIPE,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                text=True,
                # Ctrl-C reaches the parent alone, which stops its services in order.
                process_group=0,
            )
        self._printed: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name=f"{module} output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Reads what it prints as it comes, so that it never waits for somebody to read."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._printed.put(line)
        self._printed.put(None)

    def announced(self, prefix: str, seconds: float = ANNOUNCE_SECONDS) -> str:
        """What follows `prefix` on the line that it prints once it listens.

        Args:
            prefix: of the line.
            seconds: to wait for it.

        Raises:
            ServingError: it ended before that, with its own message where it gave one, or the
                time is over.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._printed.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise ServingError(
                    f"expected {self.name} to listen within {seconds:g} s. Received: no line "
                    f"{prefix.strip()!r}; {self._log_lines()}"
                ) from None
            if line is None:
                self._printed.put(None)
                raise ServingError(self.last_words())
            if line.startswith(prefix):
                return line.removeprefix(prefix).strip()

    @property
    def ended(self) -> bool:
        """Whether its process is over."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Its last error line; without one how it ended, what it wrote last, and where to read on.

        It waits a moment for its end, which its closed output announces.
        """
        lines = self._log.read_text("utf-8", "replace").splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if errors:
            return errors[-1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return f"{self.name} ended with {_ending(self._process.poll())}; {self._log_lines()}"

    def _log_lines(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        last = " | ".join([" ".join(line.split()) for line in lines if line.strip()][-_LAST_LINES:])
        said = f"its last lines: {last[-_LAST_CHARACTERS:]}; " if last else "it wrote nothing; "
        return f"{said}its output is in {self._log}"

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
            # Closing the output while it is being read would fail.
            self._reader.join(GRACE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class EmbeddedServer(Service):
    """The embedded model server; it waits for the first version."""

    def __init__(
        self,
        base_path: Path | str,
        model_name: str,
        log: Path,
        *,
        port: int = 0,
        flags: Sequence[str] = (),
    ) -> None:
        """Starts it on 127.0.0.1.

        Args:
            base_path: folder of numeric version folders; a path, gs:// or s3://.
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

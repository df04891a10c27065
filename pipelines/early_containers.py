"""Starts the containers of steps before their turn, as `Launcher` does with processes.

Half a second passes until a container runs its program, and seconds until TensorFlow is imported.
Both pass while the step before is at work.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.containers import Containers, engine
from pipelines.processes import following


class EarlyContainers:
    """The containers of a run, of which one may wait for its step.

    Args:
        containers: what they are made of.
        logs: folder, seen by the containers, that gets what the imports say.
        imports: steps in the order in which they run, each with the modules that its container
            imports while it waits.
    """

    def __init__(
        self, containers: Containers, logs: Path, imports: Mapping[str, Sequence[str]]
    ) -> None:
        self._containers = containers
        self._logs = logs
        self._imports = imports
        # Beside the step at work, which shall not wait for it.
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._early: dict[str, concurrent.futures.Future[_Waiting]] = {}

    @contextlib.contextmanager
    def started(
        self, step: str, client: Any, command: Sequence[str], arguments: Mapping[str, Any]
    ) -> Iterator[Any]:
        """The container of a step at work, which is gone when the run is over at the latest."""
        waiting = self._taken(step, arguments)
        if waiting is not None and not waiting.give(command):
            waiting.remove()
            waiting = None
        after = following(self._imports, step)
        if waiting is None:
            with self._containers.started(client, command, arguments) as container:
                self.prepare(after)
                yield container
        else:
            try:
                self.prepare(after)
                yield waiting.container
            finally:
                # The next step need not wait for it; `stop` does.
                self._thread.submit(waiting.remove)

    def prepare(self, step: str | None) -> None:
        """Starts the container of a step, if any, beside whatever is at work."""
        if step is not None and step not in self._early:
            self._early[step] = self._thread.submit(self._prepared, step)

    def _taken(self, step: str, arguments: Mapping[str, Any]) -> _Waiting | None:
        if step not in self._early or arguments != self._containers.arguments():
            # A container that waits cannot be given variables any more.
            return None
        try:
            return self._early.pop(step).result()
        except Exception:
            # Whatever it was, the step's own start will say it, if it lasts.
            return None

    def _prepared(self, step: str) -> _Waiting:
        program = ["python3", "-m", "pipelines.warm", str(self._logs / f"{step}.imports.log")]
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(engine())
            container = client.containers.create(
                self._containers.image,
                [*program, *self._imports[step]],
                volumes=self._containers.volumes(),
                stdin_open=True,
                **self._containers.arguments(),
            )
            stack.callback(container.remove, force=True)
            # It ends when this connection does, so it outlives no run that is killed.
            stdin = container.attach_socket(params={"stdin": 1, "stream": 1})
            stack.callback(_close, stdin)
            container.start()
            return _Waiting(container, stdin, stack.pop_all())

    def stop(self) -> None:
        """Removes the containers whose turn never came."""
        for early in self._early.values():
            with contextlib.suppress(Exception):
                if not early.cancel():
                    early.result().remove()
        self._early.clear()
        self._thread.shutdown()


def _close(stdin: Any) -> None:
    # The client of the engine leaves what is below its stream open.
    for part in (stdin._response, stdin, stdin._sock):
        part.close()


@dataclasses.dataclass(frozen=True)
class _Waiting:
    container: Any
    stdin: Any
    stack: contextlib.ExitStack

    def give(self, command: Sequence[str]) -> bool:
        """Hands the step over; False if the container has not lived to take it."""
        try:
            self.container.reload()
            if self.container.status != "running":
                return False
            _, _, _, code, *arguments = command
            task = json.dumps({"code": code, "arguments": arguments}) + "\n"
            # The client of the engine hands out a stream that only reads.
            self.stdin._sock.sendall(task.encode())
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Ends the container and the connections to it."""
        self.stack.close()

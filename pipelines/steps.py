"""Runs the steps of a pipeline with kfp.local and reports each one as it goes.

kfp.local offers no hooks: it prints a step's output and logs what it does. Three of its functions
are replaced for the length of a run, the one that executes a task and those that start its process
or its container, so that a step's output goes to a log file, its progress to the screen, and it
ends when the run does. kfp is pinned to one version for this reason; tests run the real thing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from components.errors import ERROR_PREFIX
from pipelines.containers import Containers, lines
from pipelines.early_containers import EarlyContainers
from pipelines.processes import Launcher
from pipelines.warm import READY

PROGRESS_PREFIX = "progress: "


@dataclasses.dataclass
class StepRecord:
    """How one step went.

    `waited` is the part of `seconds` in which its early process was still importing; `note` is
    the last thing that the step said of its progress.
    """

    name: str
    seconds: float = 0.0
    state: str = "running"
    cached: bool = True
    waited: float = 0.0
    note: str = ""
    error: str = ""
    log: str = ""
    outputs: dict[str, str] = dataclasses.field(default_factory=dict)


class Listener(Protocol):
    """What wants to know how the steps go."""

    def started(self, step: StepRecord) -> None:
        """A step begins, or its cached outputs are looked up."""

    def progressed(self, step: StepRecord) -> None:
        """The step has a new note."""

    def finished(self, step: StepRecord) -> None:
        """The step has ended; its record is complete."""


def run_pipeline(
    pipeline: Callable[..., Any],
    arguments: dict[str, Any],
    *,
    pipeline_root: Path,
    cache_root: Path,
    logs: Path,
    listener: Listener,
    imports: Mapping[str, Sequence[str]] | None = None,
    containers: Containers | None = None,
) -> list[StepRecord]:
    """Runs a compiled pipeline in subprocesses of this machine, or in containers on it.

    Args:
        pipeline: a function decorated with `dsl.pipeline`, or one that loads and calls it.
        arguments: its parameters.
        pipeline_root: folder of the steps' artifacts.
        cache_root: folder of the cache; a step whose parameters and inputs are known is not run.
        logs: folder that gets one file of output per step.
        listener: is told of every step.
        imports: steps in the order in which they run, each with the modules that its process
            or container imports while the step before it runs.
        containers: what to run the steps in, instead of subprocesses.

    Returns:
        The steps in the order in which they ran; any of them may have failed.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        early = None
        if containers is not None:
            early = EarlyContainers(containers, logs, imports or {})
            stack.callback(early.stop)
            # The first one's starts while kfp is imported.
            early.prepare(next(iter(imports or {}), None))
        from kfp import local

        local.init(
            runner=containers.runner() if containers else local.SubprocessRunner(use_venv=False),
            pipeline_root=str(pipeline_root),
            raise_on_error=False,
            enable_caching=True,
            cache_root=str(cache_root),
        )
        # Each step leaves a temporary folder of its own behind; they all go with this one.
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="loomline-"))
        recorder = _Recorder(Launcher(logs, scratch, imports or {}), listener, early)
        with recorder.installed(), _quiet():
            pipeline(**arguments)
    return recorder.steps


class _Recorder:
    def __init__(
        self, launcher: Launcher, listener: Listener, containers: EarlyContainers | None
    ) -> None:
        self.launcher = launcher
        self.listener = listener
        self.containers = containers
        self.steps: list[StepRecord] = []

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        from kfp.local import subprocess_task_handler
        from kfp.local.orchestrator import task_executor

        execute = task_executor.execute_single_task
        replaced: list[tuple[Any, str, Callable[..., Any]]] = [
            (task_executor, "execute_single_task", lambda **task: self._execute(execute, task)),
            (subprocess_task_handler, "run_local_subprocess", self._launch),
        ]
        if self.containers is not None:
            from kfp.local import docker_task_handler

            contain = functools.partial(self._contain, self.containers)
            replaced.append((docker_task_handler, "run_docker_container", contain))
        kept = [(module, name, getattr(module, name)) for module, name, _ in replaced]
        try:
            for module, name, ours in replaced:
                setattr(module, name, ours)
            yield
        finally:
            for module, name, theirs in kept:
                setattr(module, name, theirs)
            self.launcher.stop()

    def _execute(self, execute: Callable[..., Any], task: dict[str, Any]) -> Any:
        step = StepRecord(task["task_name"])
        self.steps.append(step)
        self.listener.started(step)
        start = time.monotonic()
        try:
            outputs, status = execute(**task)
        except BaseException:
            step.state = "stopped"
            raise
        finally:
            step.seconds = time.monotonic() - start
        step.state = "succeeded" if status.name == "SUCCESS" else "failed"
        step.outputs = {name: value.uri for name, value in outputs.items() if hasattr(value, "uri")}
        self.listener.finished(step)
        return outputs, status

    def _launch(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        step = self._begun()
        process = self.launcher.start(step.name, full_command, env_vars or {})
        assert process.stdout is not None
        with process:
            try:
                self._follow(step, process.stdout)
                return process.wait()
            except BaseException:
                process.kill()
                raise

    def _contain(
        self,
        containers: EarlyContainers,
        client: Any,
        image: str,
        command: list[str],
        volumes: dict[str, Any],
        **arguments: Any,
    ) -> int:
        step = self._begun()
        with containers.started(step.name, client, command, arguments) as container:
            self._follow(step, lines(container.logs(stream=True, follow=True)))
            return int(container.wait()["StatusCode"])

    def _begun(self) -> StepRecord:
        step = self.steps[-1]
        step.cached = False
        step.log = str(self.launcher.log(step.name))
        return step

    def _follow(self, step: StepRecord, output: Iterable[str]) -> None:
        began = time.monotonic()
        with Path(step.log).open("a", encoding="utf-8") as stream:
            for line in output:
                if line.rstrip() == READY:
                    step.waited = time.monotonic() - began
                stream.write(line)
                stream.flush()
                self._heard(step, line.rstrip("\n"))

    def _heard(self, step: StepRecord, line: str) -> None:
        if line.startswith(PROGRESS_PREFIX):
            step.note = line.removeprefix(PROGRESS_PREFIX)
            self.listener.progressed(step)
        elif line.startswith(ERROR_PREFIX):
            step.error = line.removeprefix(ERROR_PREFIX)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences kfp's own account of the run, which the listener replaces."""
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        sys.stdout.flush()

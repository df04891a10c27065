"""Waits for a run on a cluster: says what its steps do, and how it ended."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.kubeflow.api import BASE, Api
from pipelines.kubeflow.errors import KubeflowError, RefusedError
from pipelines.kubeflow.logs import Logs
from pipelines.kubeflow.outcome import RunOutcome, outcome_of

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_MARKS = {"SUCCEEDED": "✓", "FAILED": "✗", "SKIPPED": "-", "CANCELED": "✗"}
# What Argo runs between the steps, where the pipeline itself cannot be read.
_INNER = ("-driver", "executor", "root", "iteration", "exit-handler", "condition-")


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to wait for what.

    Attributes:
        poll: seconds between two looks.
        total: seconds until the run has to have ended; 0 for no limit.
        pending: seconds that a step may wait for a node.
        unreachable: seconds that the cluster may be away.
    """

    poll: float = 5.0
    total: float = 0.0
    pending: float = 900.0
    unreachable: float = 600.0


def wait_for(
    api: Api,
    run_id: str,
    say: Callable[[str], None],
    patience: Patience | None = None,
    follow_logs: bool = False,
) -> RunOutcome:
    """Waits until a run has ended.

    Args:
        api: the cluster.
        run_id: the run.
        say: is told of every change, in one line.
        patience: how long to wait.
        follow_logs: say what the steps print, too.

    Raises:
        KubeflowError: the cluster is away for too long, a step finds no node, or time is up; the
            run itself goes on.
    """
    return _Watch(api, run_id, say, patience or Patience(), follow_logs).wait()


class _Watch:
    def __init__(
        self,
        api: Api,
        run_id: str,
        say: Callable[[str], None],
        patience: Patience,
        follow_logs: bool,
    ) -> None:
        self.api = api
        self.run_id = run_id
        self.say = say
        self.patience = patience
        self.follow_logs = follow_logs
        self.logs = Logs(api, run_id)
        self.steps: frozenset[str] | None = None
        self.states: dict[str, str] = {}
        self.pending_since: dict[str, float] = {}

    def wait(self) -> RunOutcome:
        began = reached = time.monotonic()
        while True:
            now = time.monotonic()
            try:
                run = self.api.get(f"{BASE}/runs/{self.run_id}")
                reached = time.monotonic()
            except RefusedError as error:
                raise KubeflowError(f"{error}; {self._goes_on()}") from None
            except KubeflowError as error:
                if now - reached >= self.patience.unreachable:
                    raise KubeflowError(f"{error}; {self._goes_on()}") from None
                self.say(f"  … not reached, trying again: {error}")
                time.sleep(self.patience.poll)
                continue
            if self.steps is None:
                self.steps = _steps_of(self.api, run)
            tasks = _step_tasks(run, self.steps)
            self._report(tasks)
            if run.get("state") in ENDED:
                return outcome_of(run, tasks, self.logs)
            self._check_pending(tasks)
            if self.patience.total and now - began >= self.patience.total:
                running = ", ".join(name for name, task in tasks.items() if _is_open(task))
                raise KubeflowError(
                    f"expected run {self.run_id} to end in {self.patience.total:g} s. Received: "
                    f"{run.get('state', 'no state')} ({running or 'no step runs'}); "
                    f"{self._goes_on()}"
                )
            time.sleep(self.patience.poll)

    def _report(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        for name, task in tasks.items():
            state = str(task.get("state") or "PENDING")
            if self.follow_logs:
                for line in self.logs.news(task, final=state in ENDED):
                    self.say(f"    {name} | {line}")
            if self.states.get(name) == state:
                continue
            self.states[name] = state
            why = f": {problem_of(task)}" if problem_of(task) else ""
            self.say(f"  {_MARKS.get(state, '…')} {name:<10} {state.lower()}{why}")
            if state == "FAILED" and not self.follow_logs:
                for line in self.logs.last_lines(task):
                    self.say(f"    {name} | {line}")

    def _check_pending(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """Gives up where a step finds no node or no image: it would wait for ever."""
        now = time.monotonic()
        for name, task in tasks.items():
            if (task.get("state") or "PENDING") != "PENDING":
                self.pending_since.pop(name, None)
                continue
            since = self.pending_since.setdefault(name, now)
            if now - since < self.patience.pending:
                continue
            told = problem_of(task) or "the API does not say why"
            raise KubeflowError(
                f"expected {name} to start in {self.patience.pending:g} s. Received: PENDING "
                f"({told}). Does the cluster have the accelerator, the nodes (hardware_*) and the "
                f"image that the run asks for? Its UI shows the pod's events; {self._goes_on()}"
            )

    def _goes_on(self) -> str:
        return f"the run goes on: loomline submit --run {self.run_id} waits again"


def _steps_of(api: Api, run: Mapping[str, Any]) -> frozenset[str]:
    """The names of a run's steps; none where its pipeline cannot be read."""
    reference = run.get("pipeline_version_reference") or {}
    spec: Any = run.get("pipeline_spec")
    if reference.get("pipeline_version_id"):
        path = f"{BASE}/pipelines/{reference['pipeline_id']}/versions"
        try:
            version = api.get(f"{path}/{reference['pipeline_version_id']}")
        except KubeflowError:
            return frozenset()
        spec = version.get("pipeline_spec")
    # With what is special to Kubernetes beside it, the pipeline is one level down.
    spec = (spec or {}).get("pipeline_spec", spec) or {}
    components = spec.get("components") or {}
    return frozenset(
        name
        for dag in [spec.get("root") or {}, *components.values()]
        for name, task in ((dag.get("dag") or {}).get("tasks") or {}).items()
        if "executorLabel" in components.get(task["componentRef"]["name"], {})
    )


def _step_tasks(run: Mapping[str, Any], steps: frozenset[str]) -> dict[str, Mapping[str, Any]]:
    """The steps of a run by name, in the order in which they began; what Argo adds left out."""
    details = (run.get("run_details") or {}).get("task_details") or []
    named = [(str(task.get("display_name") or ""), task) for task in details]
    wanted = [
        (name, task)
        for name, task in named
        if (name in steps if steps else name and not _is_inner(name))
    ]
    wanted.sort(key=lambda item: str(item[1].get("create_time") or "9"))
    return dict(wanted)


def problem_of(task: Mapping[str, Any]) -> str:
    """What the API says is wrong with a step, in one line; empty where it says nothing."""
    errors = [task.get("error"), *(state.get("error") for state in task.get("state_history") or [])]
    told = [str(error["message"]) for error in errors if error and error.get("message")]
    return " ".join(told[-1].split()) if told else ""


def _is_inner(name: str) -> bool:
    return any(name.endswith(part) or name.startswith(part) for part in _INNER)


def _is_open(task: Mapping[str, Any]) -> bool:
    return task.get("state") not in ENDED

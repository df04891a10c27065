"""Waits for a run on a cluster: says what its steps do, and how it ended."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

from pipelines.kubeflow.api import BASE, Api
from pipelines.kubeflow.errors import KubeflowError, RefusedError
from pipelines.kubeflow.logs import Logs
from pipelines.kubeflow.outcome import RunOutcome, outcome_of
from pipelines.kubeflow.run_steps import ENDED, Step, step_names, steps_of

_MARKS = {"SUCCEEDED": "✓", "FAILED": "✗", "SKIPPED": "-", "CANCELED": "✗"}


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
        self.names: frozenset[str] | None = None
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
                if error.status == 404:
                    raise
                raise KubeflowError(f"{error}; {self._goes_on()}") from None
            except KubeflowError as error:
                if now - reached >= self.patience.unreachable:
                    raise KubeflowError(f"{error}; {self._goes_on()}") from None
                self.say(f"  … not reached, trying again: {error}")
                time.sleep(self.patience.poll)
                continue
            if self.names is None:
                self.names = step_names(self.api, run)
            steps = steps_of(run, self.names)
            self._report(steps)
            if run.get("state") in ENDED:
                return outcome_of(run, steps, self.logs)
            self._check_pending(steps)
            if self.patience.total and now - began >= self.patience.total:
                running = ", ".join(step.name for step in steps.values() if not step.ended)
                raise KubeflowError(
                    f"expected run {self.run_id} to end in {self.patience.total:g} s. Received: "
                    f"{run.get('state', 'no state')} ({running or 'no step runs'}); "
                    f"{self._goes_on()}"
                )
            time.sleep(self.patience.poll)

    def _report(self, steps: Mapping[str, Step]) -> None:
        for name, step in steps.items():
            if self.follow_logs:
                for line in self.logs.news(step):
                    self.say(f"    {name} | {line}")
            if self.states.get(name) == step.state:
                continue
            self.states[name] = step.state
            why = f": {step.problem}" if step.problem else ""
            self.say(f"  {_MARKS.get(step.state, '…')} {name:<10} {step.state.lower()}{why}")
            if step.state == "FAILED" and not self.follow_logs:
                for line in self.logs.last_lines(step):
                    self.say(f"    {name} | {line}")

    def _check_pending(self, steps: Mapping[str, Step]) -> None:
        """Gives up where a step finds no node or no image: it would wait for ever."""
        now = time.monotonic()
        for name, step in steps.items():
            if step.state != "PENDING":
                self.pending_since.pop(name, None)
                continue
            since = self.pending_since.setdefault(name, now)
            if now - since < self.patience.pending:
                continue
            told = step.problem or "the API does not say why"
            raise KubeflowError(
                f"expected {name} to start in {self.patience.pending:g} s. Received: PENDING "
                f"({told}). Does the cluster have the accelerator, the nodes (hardware_*) and the "
                f"image that the run asks for? Its UI shows the pod's events; {self._goes_on()}"
            )

    def _goes_on(self) -> str:
        return f"the run goes on: loomline submit --run {self.run_id} waits again"

"""Reads the steps of a run from what the API says of Argo's nodes.

Every step is several of them: its driver, a node that stands for the step, in it the executor, and
in that, where it is retried, an executor for each attempt. Only the last are pods: a step whose pod
waits for a node of the cluster counts as running there, and here as pending. What a node calls its
children are also the nodes after it, so names decide what belongs to a step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.kubeflow.api import BASE, Api
from pipelines.kubeflow.errors import KubeflowError

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
# What Argo runs between the steps, where the pipeline itself cannot be read.
_INNER = ("-driver", "executor", "root", "iteration", "exit-handler", "condition-")


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        name: as the pipeline has it.
        state: PENDING while its pod waits, RUNNING, or how it ended.
        problem: what the API says is wrong with it, in one line; empty where it says nothing.
        nodes: Argo's names of the nodes that may be its pods, in the order of the attempts.
    """

    name: str
    state: str
    problem: str
    nodes: tuple[str, ...]

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ENDED


def step_names(api: Api, run: Mapping[str, Any]) -> frozenset[str]:
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


def steps_of(run: Mapping[str, Any], names: frozenset[str]) -> dict[str, Step]:
    """The steps of a run by name, in the order in which they began.

    Args:
        run: the run, as the API describes it.
        names: the steps that there are; empty where that is not known.
    """
    details = (run.get("run_details") or {}).get("task_details") or []
    by_node = {str(task["pod_name"]): task for task in details if task.get("pod_name")}
    found = {}
    for task in sorted(details, key=lambda one: str(one.get("create_time") or "9")):
        name = str(task.get("display_name") or "")
        if name in names if names else name and not _is_inner(name):
            found[name] = _step(name, task, by_node)
    return found


def _step(name: str, task: Mapping[str, Any], by_node: Mapping[str, Any]) -> Step:
    executors = list(_executors(task, by_node))
    state = str(task.get("state") or "PENDING")
    if state == "RUNNING" and executors and executors[-1].get("state") == "PENDING":
        state = "PENDING"
    told = [_told(one) for one in [task, *executors]]
    nodes = tuple(str(one["pod_name"]) for one in executors)
    return Step(name, state, next(filter(None, reversed(told)), ""), nodes)


def _executors(task: Mapping[str, Any], by_node: Mapping[str, Any]) -> Iterator[Any]:
    for child in task.get("child_tasks") or []:
        inner = by_node.get(str(child.get("pod_name")))
        if inner and str(inner.get("display_name")).startswith("executor"):
            yield inner
            yield from _executors(inner, by_node)


def _told(task: Mapping[str, Any]) -> str:
    """What the API says is wrong with a node, in one line."""
    errors = [*(state.get("error") for state in task.get("state_history") or []), task.get("error")]
    told = [str(error["message"]) for error in errors if error and error.get("message")]
    return " ".join(told[-1].split()) if told else ""


def _is_inner(name: str) -> bool:
    return any(name.endswith(part) or name.startswith(part) for part in _INNER)

"""Reads what a step printed on a cluster, as far as its API gives it away.

The API hands a pod's log out whole, and only by the pod's name, which it does not tell: what it
calls `pod_name` is Argo's name of the node. Argo makes the one from the other, and the API's
`follow` does nothing, so this asks again. A log that cannot be had is an empty one: it is for
people, and the UI has it, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import quote

from pipelines.kubeflow.api import Api
from pipelines.kubeflow.errors import KubeflowError
from pipelines.kubeflow.run_steps import Step

_TEMPLATES = ("system-container-impl", "retry-system-container-impl")
_LAST = 20


class Logs:
    """The logs of one run."""

    def __init__(self, api: Api, run_id: str) -> None:
        self._api = api
        self._run_id = run_id
        self._seen: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._ended: set[str] = set()

    def text(self, step: Step) -> str:
        """Everything that a step printed, all attempts one after the other."""
        return "".join(self._of_node(node) for node in step.nodes)

    def news(self, step: Step) -> Iterator[str]:
        """The lines that a step printed since the last call; whole lines only, until it ends."""
        if step.name in self._ended:
            return
        if step.ended:
            self._ended.add(step.name)
        text = self.text(step)
        seen = self._seen.get(step.name, 0)
        end = len(text) if step.ended else text.rfind("\n") + 1
        if end > seen:
            self._seen[step.name] = end
            yield from text[seen:end].splitlines()

    def last_lines(self, step: Step) -> list[str]:
        """The end of what a step printed."""
        return self.text(step).splitlines()[-_LAST:]

    def _of_node(self, node: str) -> str:
        known = self._names.get(node)
        for pod in [known] if known else _pods(node):
            path = f"/apis/v1alpha1/runs/{quote(self._run_id)}/nodes/{quote(pod)}/log"
            with contextlib.suppress(KubeflowError):
                text = self._api.get_text(path)
                self._names[node] = pod
                return text
        return ""


def _pods(node: str) -> list[str]:
    """What the pod of an Argo node may be called: as the node, or with its template's name."""
    workflow, dash, digest = node.rpartition("-")
    if not dash or not digest.isdigit():
        return [node]
    return [*(f"{workflow}-{template}-{digest}" for template in _TEMPLATES), node]

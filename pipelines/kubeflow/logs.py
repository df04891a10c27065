"""Reads what a step printed on a cluster, as far as its API gives it away.

The API hands a pod's log out whole, and only by the pod's name, which it does not tell: what it
calls `pod_name` is Argo's name of the node. Argo makes the one from the other, and the API's
`follow` does nothing, so this asks again. A log that cannot be had is an empty one: it is for
people, and the UI has it, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pipelines.kubeflow.api import Api
from pipelines.kubeflow.errors import KubeflowError

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

    def text(self, task: Mapping[str, Any]) -> str:
        """Everything that a step printed, all attempts one after the other."""
        nodes = [str(child.get("pod_name") or "") for child in task.get("child_tasks") or []]
        texts = [self._of_node(node) for node in [str(task.get("pod_name") or ""), *nodes] if node]
        return "".join(text for text in texts if text)

    def news(self, task: Mapping[str, Any], final: bool) -> Iterator[str]:
        """The lines that a step printed since the last call; whole lines only, until it ends."""
        key = str(task.get("task_id") or task.get("display_name"))
        if key in self._ended:
            return
        if final:
            self._ended.add(key)
        text = self.text(task)
        seen = self._seen.get(key, 0)
        end = len(text) if final else text.rfind("\n") + 1
        if end > seen:
            self._seen[key] = end
            yield from text[seen:end].splitlines()

    def last_lines(self, task: Mapping[str, Any]) -> list[str]:
        """The end of what a step printed."""
        return self.text(task).splitlines()[-_LAST:]

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

"""Follows what a worker says, from its first line to its last, over however many connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from components.errors import ERROR_PREFIX, LoomlineError
from components.workers.answers import Away, Refused
from components.workers.cluster import Cluster

PROGRESS = "progress:"
# A connection that broke is taken up again with so many seconds more than are missing.
_OVERLAP = 30


class Follower:
    """Says after a worker what it says.

    The chief's progress is passed on as it is, so that whoever reads this step's progress finds it.

    Args:
        cluster: whose API has the log.
        pod: name of the worker's pod.
        container: name of its container.
        index: which worker it is; 0 is the chief.
        tell: gets each line.
    """

    def __init__(
        self,
        cluster: Cluster,
        pod: str,
        container: str,
        index: int,
        tell: Callable[[str], None],
        pause: float = 1.0,
    ) -> None:
        self._cluster, self._pod, self._container = cluster, pod, container
        self._index, self._tell, self._pause = index, tell, pause
        # The message of the mistake that the worker ended by, if it was one.
        self.error = ""
        self._last = ""
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"log of {pod}", daemon=True)
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Waits for the rest of what an ended worker said."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            try:
                self._follow()
            except Away:
                pass
            except Refused as refused:
                # Of a container that starts there is no log yet; of a pod that is gone, no more.
                if refused.status == 404:
                    return
            except LoomlineError:
                return
            try:
                pod = self._cluster.pod(self._pod)
            except LoomlineError:
                return
            if pod is None:
                return
            if ended(pod, self._container):
                # What it said last may have come between the two questions.
                self._rest()
                return
            time.sleep(self._pause)

    def _rest(self) -> None:
        try:
            self._follow()
        except (Away, LoomlineError):
            return

    def _follow(self) -> None:
        since = int(time.monotonic() - self._heard) + _OVERLAP if self._last else None
        known = self._last
        for line in self._cluster.log(self._pod, self._container, since):
            # The kubelet writes times at full length, so that their texts sort as they do.
            at, _, text = line.partition(" ")
            if at <= known:
                continue
            self._last, self._heard = at, time.monotonic()
            if text.startswith(ERROR_PREFIX):
                self.error = text.removeprefix(ERROR_PREFIX)
            self._tell(
                text
                if self._index == 0 and text.startswith(PROGRESS)
                else f"worker {self._index} | {text}"
            )


def ended(pod: dict[str, object], container: str) -> dict[str, object] | None:
    """How a pod's container ended, as the API has it; None where it has not."""
    status = pod.get("status")
    assert isinstance(status, dict)
    for one in status.get("containerStatuses") or ():
        found = one.get("state", {}).get("terminated")
        if one["name"] == container and found:
            return dict(found)
    return None

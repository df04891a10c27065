"""Nodes of the fake cluster: its pods are real processes of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

from tests.components.workers.fake_cluster import FakeCluster
from tests.components.workers.fake_http import Object


class Processes:
    """The pods as real processes of this machine: a node, its DNS and its kubelet.

    Args:
        cluster: whose pods they are.
        ports: one for each worker, in the place of the pods' addresses.
    """

    def __init__(self, cluster: FakeCluster, ports: list[int]) -> None:
        self._cluster, self._ports = cluster, ports
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, pod: Object, index: int) -> None:
        container = pod["spec"]["containers"][0]
        arguments = [self._resolved(text) for text in container["args"]]
        environment = {one["name"]: self._resolved(one["value"]) for one in container["env"]}
        command = [sys.executable, *container["command"][1:], *arguments]
        process = subprocess.Popen(
            command,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TF_NUM_INTRAOP_THREADS": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        name = pod["metadata"]["name"]
        self.running[name] = process
        threading.Thread(target=self._attend, args=(name, process, index), daemon=True).start()

    def stop(self, name: str) -> None:
        self.running[name].terminate()

    def kill(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def _resolved(self, text: str) -> str:
        """Pods' names as addresses of this machine, as DNS would have it."""
        return re.sub(
            r"loomline-train-\w+-(?:node-0|worker)-(\d+)\.[\w.-]+:2222",
            lambda found: f"127.0.0.1:{self._ports[int(found[1])]}",
            text,
        )

    def _attend(self, name: str, process: subprocess.Popen[str], index: int) -> None:
        self._cluster.start(index)
        assert process.stdout is not None
        for line in process.stdout:
            with self._cluster.changed:
                lines = self._cluster.logs.setdefault(name, [])
                lines.append((time.time(), line.rstrip("\n")))
                self._cluster.changed.notify_all()
        code = process.wait()
        process.stdout.close()
        with self._cluster.changed:
            if ("pods", name) in self._cluster.objects:
                self._cluster.finish(index, 128 - code if code < 0 else code)

"""A worker's pod: the train step's image and volume, the model's nodes, and no rights."""

from __future__ import annotations

from typing import Any

from components.workers.options import Workers
from components.workers.plan import PORT, Object

COMMAND = ("python", "-m", "components.train.worker")


def resources(workers: Workers) -> Object:
    """What each worker gets: no less, and no more."""
    wanted = {"cpu": workers.cpu, "memory": workers.memory}
    if workers.accelerator_type and workers.accelerator_count:
        wanted[workers.accelerator_type] = str(workers.accelerator_count)
    return {"requests": dict(wanted), "limits": dict(wanted)}


def container(workers: Workers, name: str, arguments: list[str], port: str) -> Object:
    """The one container of a worker.

    Args:
        workers: the image, and what it gets.
        name: what the job's controller looks for.
        arguments: of the worker's program.
        port: name of the port on which workers talk.
    """
    mounts = [{"name": "workspace", "mountPath": workers.mount}]
    mounts += [{"name": name, "mountPath": path} for name, path, _ in _memory_and_scratch(workers)]
    return {
        "name": name,
        "image": workers.image,
        "command": list(COMMAND),
        "args": arguments,
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
        "ports": [{"name": port, "containerPort": PORT}],
        "resources": resources(workers),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def template(workers: Workers, only: Object) -> Object:
    """The pod around a container, as a job's template has it."""
    # A sidecar would stand between workers that meet, and keep a pod from ending.
    alone = {"sidecar.istio.io/inject": "false"}
    return {
        "metadata": {"labels": dict(alone), "annotations": dict(alone)},
        "spec": specification(workers, only),
    }


def specification(workers: Workers, only: Object) -> Object:
    """The pod without its labels.

    It may be started once only: a worker that comes back alone finds no peers that wait for it.
    """
    found: Object = {
        "restartPolicy": "Never",
        # A worker asks nothing of the cluster's API.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [only],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": workers.claim}},
            *({"name": name, "emptyDir": of} for name, _, of in _memory_and_scratch(workers)),
        ],
    }
    if workers.node_selector:
        found["nodeSelector"] = dict(workers.node_selector)
    if workers.tolerations:
        found["tolerations"] = [dict(one) for one in workers.tolerations]
    return found


def _memory_and_scratch(workers: Workers) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, path and source of the volumes that end with the pod."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    if workers.shared_memory:
        source = {"medium": "Memory", "sizeLimit": workers.shared_memory}
        found.append(("shared-memory", "/dev/shm", source))
    if workers.scratch:
        found.append(("scratch", "/tmp", {"sizeLimit": workers.scratch}))
    return found

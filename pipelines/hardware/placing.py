"""Puts the steps of a compiled pipeline onto the nodes that a profile of hardware describes.

What Kubeflow resolves when a run starts is a parameter of the pipeline, so that it can be changed
in the UI: cores, memory, the accelerator, labels and taints of nodes, and the names of the volume,
the secret and the config map. What it fixes when a pipeline is compiled comes from the profile
alone: the image, retries, timeouts, the sizes of /dev/shm and /tmp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.hardware.profile import Hardware

# Key -> variable of the step. Where a service account is enough for an object store, as on the
# clouds' own clusters, nothing of it need be there.
SECRET_KEYS = {"webhook_url": "LOOMLINE_WEBHOOK_URL", "smtp_url": "LOOMLINE_SMTP_URL"}
STORE_KEYS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
}
CONFIG_KEYS = {
    "https_proxy": "HTTPS_PROXY",
    "no_proxy": "NO_PROXY",
    "aws_endpoint_url": "AWS_ENDPOINT_URL",
    "aws_default_region": "AWS_DEFAULT_REGION",
}
# An attempt may wait for a node that long, beside the time that it may run.
_FOR_A_NODE = 24 * 60 * 60
# Argo's own name of the attempt, such as 'text-x7k.root.train.executor(1)'.
ATTEMPT_FIELD = "metadata.annotations['workflows.argoproj.io/node-name']"

_DESCRIPTIONS = {
    "hardware_cpu": "CPU cores of each step that computes with the model.",
    "hardware_memory": "Memory of each step that computes with the model, such as 8Gi.",
    "hardware_data_cpu": "CPU cores of each other step.",
    "hardware_data_memory": "Memory of each other step, such as 8Gi.",
    "hardware_accelerator_type": "Accelerator of the model's steps, such as nvidia.com/gpu.",
    "hardware_accelerator_count": "How many accelerators each of those steps gets.",
    "hardware_node_selector": "Labels of the nodes that the model's steps run on.",
    "hardware_tolerations": "Taints that the model's steps tolerate, as Kubernetes writes them.",
    "cluster_volume": "Claim of the volume for models, checkpoints and records.",
    "cluster_secret": "Secret with webhook_url, smtp_url, aws_access_key_id and "
    "aws_secret_access_key; it may be missing, and so may each key.",
    "cluster_config": "ConfigMap with https_proxy, no_proxy, aws_endpoint_url and "
    "aws_default_region; it may be missing, and so may each key.",
}


def defaults(hardware: Hardware) -> dict[str, Any]:
    """The parameters that hardware adds to a pipeline, with the profile's values."""
    values: dict[str, Any] = {
        "hardware_cpu": hardware.cpu,
        "hardware_memory": hardware.memory,
        "hardware_data_cpu": hardware.data_cpu,
        "hardware_data_memory": hardware.data_memory,
        "hardware_node_selector": hardware.all_node_selector,
        "hardware_tolerations": hardware.all_tolerations,
        "cluster_secret": hardware.secret,
        "cluster_config": hardware.config_map,
    }
    if hardware.accelerator:
        values["hardware_accelerator_type"] = hardware.accelerator.type
        values["hardware_accelerator_count"] = str(hardware.accelerator.count)
    if hardware.volume:
        values["cluster_volume"] = hardware.volume.claim
    return values


def workers(hardware: Hardware) -> dict[str, Any]:
    """What a step is told of the workers that train: see `components.workers.options.Workers`."""
    assert hardware.workers is not None
    assert hardware.volume is not None
    accelerator = hardware.accelerator
    return {
        **hardware.workers.model_dump(mode="json"),
        "deadline_minutes": hardware.timeout_minutes.train,
        "image": hardware.image,
        "cpu": hardware.cpu,
        "memory": hardware.memory,
        "accelerator_type": accelerator.type if accelerator else "",
        "accelerator_count": accelerator.count if accelerator else 0,
        "node_selector": hardware.all_node_selector,
        "tolerations": hardware.all_tolerations,
        "shared_memory": hardware.shared_memory,
        "scratch": hardware.scratch,
        "claim": hardware.volume.claim,
        "mount": hardware.volume.mount,
    }


def descriptions(hardware: Hardware) -> dict[str, str]:
    """What those parameters mean, for the Kubeflow UI."""
    return {name: _DESCRIPTIONS[name] for name in defaults(hardware)}


def place(
    task: Any,
    step: str,
    hardware: Hardware,
    parameters: Mapping[str, Any],
    *,
    retried: bool = True,
    tells: bool = False,
    stores: bool = False,
) -> Any:
    """Says where a step of a pipeline runs.

    Args:
        task: the step in the pipeline, a `dsl.PipelineTask`.
        step: its name.
        hardware: the profile.
        parameters: the pipeline's parameters, of which `defaults` names those that are needed.
        retried: run it again where its pod failed.
        tells: give it the addresses of those who are notified.
        stores: give it the keys of the object store.

    Returns:
        The task.
    """
    from kfp import kubernetes

    # Where workers train, the step itself only looks after them.
    looks_on = step == "train" and hardware.workers is not None
    of_the_model = step in hardware.model_steps and not looks_on
    kind = "hardware_" if of_the_model else "hardware_data_"
    cpu, memory = parameters[f"{kind}cpu"], parameters[f"{kind}memory"]
    task.set_cpu_request(cpu).set_cpu_limit(cpu)
    task.set_memory_request(memory).set_memory_limit(memory)
    task.set_container_image(hardware.image)
    if of_the_model:
        _on_the_models_nodes(task, hardware, parameters)
    if hardware.scratch:
        kubernetes.empty_dir_mount(task, "scratch", "/tmp", size_limit=hardware.scratch)
    minutes = hardware.timeout_minutes
    timeout = 60 * (minutes.train if step == "train" else minutes.others)
    kubernetes.set_timeout(task, timeout)
    if retried and hardware.retries.count:
        retries = hardware.retries
        task.set_retry(
            retries.count,
            backoff_duration=f"{retries.backoff_seconds}s",
            backoff_factor=retries.factor,
            backoff_max_duration=f"{_all_attempts(hardware, timeout)}s",
        )
    if hardware.volume:
        mount = hardware.volume.mount
        kubernetes.mount_pvc(task, parameters["cluster_volume"], mount)
        kubernetes.use_field_path_as_env(task, "LOOMLINE_ATTEMPT", ATTEMPT_FIELD)
        task.set_env_variable("LOOMLINE_MISTAKES", f"{mount}/mistakes")
    kubernetes.use_config_map_as_env(task, parameters["cluster_config"], CONFIG_KEYS, optional=True)
    keys = {**(SECRET_KEYS if tells else {}), **(STORE_KEYS if stores else {})}
    if keys:
        kubernetes.use_secret_as_env(task, parameters["cluster_secret"], keys, optional=True)
    return task


def _all_attempts(hardware: Hardware, timeout: int) -> int:
    """Seconds that all attempts of a step may take together.

    Argo counts what it calls the longest backoff from the start of the first attempt, and ends the
    pods of later ones by it: Kubeflow's default, an hour, would let no long training be retried.
    """
    retries = hardware.retries
    waits = sum(retries.backoff_seconds * int(retries.factor**n) for n in range(retries.count))
    return (retries.count + 1) * (timeout + _FOR_A_NODE) + waits


def _on_the_models_nodes(task: Any, hardware: Hardware, parameters: Mapping[str, Any]) -> None:
    from kfp import kubernetes

    if hardware.accelerator:
        task.set_accelerator_type(parameters["hardware_accelerator_type"])
        task.set_accelerator_limit(parameters["hardware_accelerator_count"])
    kubernetes.add_node_selector_json(task, parameters["hardware_node_selector"])
    kubernetes.add_toleration_json(task, parameters["hardware_tolerations"])
    if hardware.shared_memory:
        kubernetes.empty_dir_mount(
            task, "shared-memory", "/dev/shm", medium="Memory", size_limit=hardware.shared_memory
        )

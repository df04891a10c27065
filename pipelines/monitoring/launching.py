"""Starts a training run on a cluster, mostly from a step on it, and asks how it went."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.config import load_config
from pipelines.kubeflow import Connection
from pipelines.kubeflow.api import Api
from pipelines.kubeflow.arguments import of_this_run
from pipelines.kubeflow.submission import RUNS, upload
from pipelines.kubeflow.submission import start as start_run
from pipelines.monitoring.parameters import NAMESPACE_VARIABLE, TOKEN_PATH, TOKEN_VARIABLE

_SUCCEEDED, _OVER = "SUCCEEDED", ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where Kubeflow Pipelines' API is.

    Attributes:
        host: such as http://ml-pipeline.kubeflow:8888.
        token_file: file that holds a bearer token, read anew for every call; '' for the one that
            Kubeflow mounted here, if it did.
        experiment: that the run belongs to.
        records: folder on the cluster that holds the records of all runs; '' for none.
        namespace: of the run, where several users share the cluster; '' for that of this pod.
    """

    host: str
    token_file: str = ""
    experiment: str = "Default"
    records: str = ""
    namespace: str = ""

    @property
    def connection(self) -> Connection:
        """How it is reached."""
        token = self.token_file or os.environ.get(TOKEN_VARIABLE, "")
        if not token and Path(TOKEN_PATH).is_file():
            token = TOKEN_PATH
        return Connection(
            self.host,
            Path(token) if token else None,
            namespace=self.namespace,
            home=os.environ.get(NAMESPACE_VARIABLE, ""),
        )


def start(
    cluster: Cluster,
    name: str,
    config: str,
    profile: str,
    overrides: Sequence[str],
    hardware: Mapping[str, Any],
) -> str:
    """Starts the training pipeline of a configuration.

    The same name starts one run however often the connection breaks.

    Args:
        cluster: where.
        name: of the run.
        config, profile, overrides: see `load_config`.
        hardware: where the steps run, as in a profile; empty for ordinary nodes.

    Returns:
        The run's id.

    Raises:
        ConfigError: the configuration is wrong.
        KubeflowError: the API refused, or cannot be reached.
    """
    from pipelines.compilation import compile_config
    from pipelines.hardware import Hardware, load_hardware

    loaded = load_config(config, profile, overrides)
    nodes = load_hardware("cpu")
    if hardware:
        # Kubeflow hands on no null: what a whole profile does not name, it has not got.
        nodes = Hardware.model_validate({"volume": None, **hardware})
    with tempfile.TemporaryDirectory(prefix="loomline-") as scratch:
        package = compile_config(loaded, Path(scratch) / "training.yaml", hardware=nodes)
        given = of_this_run(package, loaded, name, cluster.records)
        with Api(cluster.connection) as api:
            api.check()
            version = upload(api, package)
            return start_run(api, package, version, given, cluster.experiment, name, once=True)


def state(cluster: Cluster, run: str) -> str:
    """`running`, `succeeded` or `failed`.

    Raises:
        KubeflowError: the API refused, or cannot be reached.
    """
    with Api(cluster.connection) as api:
        found = str(api.get(f"{RUNS}/{run}").get("state"))
    if found not in _OVER:
        return "running"
    return "succeeded" if found == _SUCCEEDED else "failed"

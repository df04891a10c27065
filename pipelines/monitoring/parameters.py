"""The parameters of the monitoring pipeline beside those of ingest and of the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.monitor.options import MonitorOptions
from pipelines.config import Config
from pipelines.modalities import Modality
from pipelines.parameters import kubeflow_type

PARAMETERS = {
    "model_name": "Name of the served model.",
    "store": "URL of the gateway's store: sqlite:///PATH or postgresql+psycopg://...; empty for "
    "that of the secret.",
    "log_file": "Read the serving log from this file instead of the store; empty for none.",
    "models": "Folder of the published models, for the scores of held-out texts; empty for none.",
    "address": "HOST:PORT of the model server, which scores edited texts; empty to load the model.",
    "since": "Start of the window, ISO 8601; empty for where the last one ended.",
    "until": "End of the window, ISO 8601; empty for now.",
    "fresh": "Fresh data: options of ingest, such as {'source': 'gs://...'}; empty for the current "
    "era of the training data's source.",
    "drift": "Methods and thresholds of drift, as in the section drift of a configuration.",
    "dry_run": "Judge only: enter nothing, tell nobody, train nothing.",
    "records": "Folder that gets a copy of the report; empty for none.",
    "training_config": "Configuration of a retraining: a shipped name, or a path in the image.",
    "training_profile": "Profile of a retraining.",
    "training_set": "Overrides of a retraining's configuration, as for --set.",
    "training_output": "Folder of local training runs; on a cluster that of all runs' records, "
    "empty for none.",
    "training_hardware": "Where the steps of a retraining on a cluster run, as in a profile of "
    "hardware; empty for ordinary nodes.",
    "kubeflow_host": "Address of Kubeflow Pipelines' API, where a retraining runs; empty for here.",
    "kubeflow_token_file": "File that holds a bearer token for it; empty for the one that Kubeflow "
    "mounts (PodDefault access-ml-pipeline), or none.",
    "kubeflow_namespace": "Namespace of a retraining's run, where several users share the cluster; "
    "empty for that of this run.",
    "kubeflow_experiment": "Experiment of a retraining's run.",
    "secret": "Kubernetes secret that may have the keys store (URL), webhook_url and smtp_url.",
    "source_digest": "Digest of the training data; a changed source is read anew.",
    "code_digest": "Digest of the code; changed code is run anew.",
}
# Key of the secret -> variable of the step.
SECRETS = {
    "store": "LOOMLINE_STORE",
    "webhook_url": "LOOMLINE_WEBHOOK_URL",
    "smtp_url": "LOOMLINE_SMTP_URL",
}
# Kubeflow's own names: of the label that has it mount the token of a pod's service account, good
# for its API alone (a PodDefault; https://www.kubeflow.org/docs/components/pipelines/user-guides/
# core-functions/connect-api/), of the variable that says where, and of the usual place.
TOKEN_LABEL = ("access-ml-pipeline", "true")
TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
TOKEN_PATH = "/var/run/secrets/kubeflow/pipelines/token"
# In which namespace the pod of a step is.
NAMESPACE_VARIABLE = "LOOMLINE_NAMESPACE"
NAMESPACE_FIELD = "metadata.namespace"
# What a cluster has; a local run sets its own.
DEFAULTS: dict[str, Any] = {
    "model_name": "",
    "store": "",
    "log_file": "",
    "models": "",
    "address": "",
    "since": "",
    "until": "",
    "fresh": {},
    "drift": {},
    "dry_run": False,
    "records": "",
    "training_config": "",
    "training_profile": "quick",
    "training_set": [],
    "training_output": "",
    "training_hardware": {},
    "kubeflow_host": "http://ml-pipeline.kubeflow:8888",
    "kubeflow_token_file": "",
    "kubeflow_namespace": "",
    "kubeflow_experiment": "Default",
    "secret": "loomline-monitoring",
    "source_digest": "",
    "code_digest": "",
}


def _sections(modality: Modality) -> dict[str, Any]:
    return {"ingest": modality.ingest, "monitoring": MonitorOptions}


def descriptions(modality: Modality) -> dict[str, str]:
    """What every parameter means, for the Kubeflow UI."""
    found = {
        f"{name}_{field}": info.description or ""
        for name, options in _sections(modality).items()
        for field, info in options.model_fields.items()
    }
    return {**found, **PARAMETERS}


def types(modality: Modality) -> dict[str, type]:
    """The type of every parameter, as Kubeflow knows types."""
    found = {
        f"{name}_{field}": kubeflow_type(info.annotation)
        for name, options in _sections(modality).items()
        for field, info in options.model_fields.items()
    }
    return {**found, **{name: type(default) for name, default in DEFAULTS.items()}}


def chosen(config: Config) -> dict[str, Any]:
    """The parameters that a configuration sets."""
    dumped = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    found = {
        f"{name}_{field}": dumped[name][field]
        for name, options in _sections(config.kind).items()
        for field in options.model_fields
    }
    return {**found, "drift": dumped["drift"], "model_name": config.push.model_name}


def on_cluster(
    config: Config,
    name: str,
    profile: str,
    overrides: Sequence[str],
    hardware: Mapping[str, Any],
) -> dict[str, Any]:
    """What all parameters of a compiled pipeline default to.

    Args:
        config: what it is compiled from.
        name, profile, overrides: what the configuration was loaded from: a retraining loads it
            again, inside the image.
        hardware: of a retraining, whole: a profile of one's own is no file in the image.
    """
    return {
        **DEFAULTS,
        **chosen(config),
        "models": config.push.base_path,
        "training_config": name,
        "training_profile": profile,
        "training_set": list(overrides),
        "training_hardware": dict(hardware),
    }


def fields(parameters: Mapping[str, Any], section: str, names: Any) -> dict[str, Any]:
    """The parameters of one step, without the section's name before theirs."""
    return {name: parameters[f"{section}_{name}"] for name in names}

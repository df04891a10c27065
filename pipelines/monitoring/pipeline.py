"""The monitoring pipeline: one definition for every modality, for the laptop and the cluster."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from components.monitor.options import COLLECTED, JUDGED, LIMITS
from pipelines.hardware.placing import defaults, place
from pipelines.hardware.placing import descriptions as hardware_descriptions
from pipelines.hardware.profile import Hardware
from pipelines.modalities import Modality
from pipelines.monitoring.parameters import (
    NAMESPACE_FIELD,
    NAMESPACE_VARIABLE,
    SECRETS,
    TOKEN_LABEL,
    descriptions,
    fields,
    types,
)
from pipelines.typed import typed_pipeline


def monitoring(modality: Modality, hardware: Hardware | None = None) -> Any:
    """The pipeline for one modality, with its options as typed parameters.

    Args:
        modality: whose data are judged.
        hardware: where the steps run on a cluster; None where they run on this machine.
    """
    parameters, described = types(modality), descriptions(modality)
    if hardware is not None:
        parameters |= {name: type(value) for name, value in defaults(hardware).items()}
        described |= hardware_descriptions(hardware)
    return typed_pipeline(
        f"loomline-monitoring-{modality.name}",
        functools.partial(_steps, modality, hardware),
        parameters,
        described,
        _steps.__doc__,
    )


def _steps(modality: Modality, hardware: Hardware | None, parameters: Mapping[str, Any]) -> None:
    """Judges a served model by its log, tells people, and has it trained anew where that is due.

    1. ingest reads the training data, as the training pipeline does;
    2. collect reads the window of the serving log, what it is held against, and fresh data;
    3. monitor judges drift, quality, feedback, latency and cost by the policy's rules;
    4. record enters what was found into the store, and tells people of what has changed;
    5. retrain starts the training pipeline, within the cool-down and the budget.
    """
    from components.monitor.component import monitor
    from pipelines.monitoring.components import collect, record, retrain

    def given(*names: str) -> dict[str, Any]:
        return {name: parameters[name] for name in names}

    def placed(task: Any, name: str) -> Any:
        if hardware is None:
            return task
        # A retraining must not start twice, nor may people be told twice.
        retried = name not in ("record", "retrain")
        # The digest of the data that a retraining reads is made where it is asked for.
        stores = name in ("ingest", "collect", "retrain")
        return place(task, name, hardware, parameters, retried=retried, stores=stores)

    def with_secret(task: Any, name: str) -> Any:
        # The log grows and the clock goes on: none of these may be answered from a cache.
        placed(task, name).set_caching_options(False)
        return kubernetes.use_secret_as_env(task, parameters["secret"], SECRETS, optional=True)

    ingested = placed(
        modality.component("ingest")(
            **fields(parameters, "ingest", modality.ingest.model_fields),
            **given("source_digest", "code_digest"),
        ),
        "ingest",
    )
    collected = with_secret(
        collect(
            modality=modality.name,
            **given(
                "model_name", "store", "log_file", "models", "address", "since", "until", "fresh"
            ),
            **fields(parameters, "monitoring", COLLECTED),
        ),
        "collect",
    )
    judged = placed(
        monitor(
            log=collected.outputs["log"],
            examples=ingested.outputs["examples"],
            fresh=collected.outputs["fresh_examples"],
            **given("drift"),
            **fields(parameters, "monitoring", JUDGED),
        ),
        "monitor",
    ).set_caching_options(False)
    recorded = with_secret(
        record(
            report=judged.outputs["report"],
            **given("store", "records", "dry_run"),
            **fields(parameters, "monitoring", ("repeat_hours",)),
        ),
        "record",
    )
    with dsl.If(recorded.outputs["Output"] == True, name="due"):  # noqa: E712
        started = with_secret(
            retrain(
                recorded=recorded.outputs["recorded"],
                **given(
                    "model_name",
                    "store",
                    "training_config",
                    "training_profile",
                    "training_set",
                    "training_output",
                    "training_hardware",
                    "kubeflow_host",
                    "kubeflow_token_file",
                    "kubeflow_namespace",
                    "kubeflow_experiment",
                    "fresh",
                ),
                **fields(parameters, "monitoring", LIMITS),
            ),
            "retrain",
        )
        # It asks Kubeflow's own API: with the token that Kubeflow gives pods with this label.
        kubernetes.add_pod_label(started, *TOKEN_LABEL)
        kubernetes.use_field_path_as_env(started, NAMESPACE_VARIABLE, NAMESPACE_FIELD)

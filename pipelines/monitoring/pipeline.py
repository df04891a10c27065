"""The monitoring pipeline: one definition for every modality, for the laptop and the cluster."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from components.monitor.options import COLLECTED, JUDGED, LIMITS
from pipelines.modalities import Modality
from pipelines.monitoring.parameters import SECRETS, descriptions, fields, types
from pipelines.typed import typed_pipeline


def monitoring(modality: Modality) -> Any:
    """The pipeline for one modality, with its options as typed parameters."""
    return typed_pipeline(
        f"loomline-monitoring-{modality.name}",
        functools.partial(_steps, modality),
        types(modality),
        descriptions(modality),
        _steps.__doc__,
    )


def _steps(modality: Modality, parameters: Mapping[str, Any]) -> None:
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

    def with_secret(task: Any) -> Any:
        # The log grows and the clock goes on: none of these may be answered from a cache.
        task.set_caching_options(False)
        return kubernetes.use_secret_as_env(task, parameters["secret"], SECRETS, optional=True)

    ingested = modality.component("ingest")(
        **fields(parameters, "ingest", modality.ingest.model_fields),
        **given("source_digest", "code_digest"),
    )
    collected = with_secret(
        collect(
            modality=modality.name,
            **given(
                "model_name", "store", "log_file", "models", "address", "since", "until", "fresh"
            ),
            **fields(parameters, "monitoring", COLLECTED),
        )
    )
    judged = monitor(
        log=collected.outputs["log"],
        examples=ingested.outputs["examples"],
        fresh=collected.outputs["fresh_examples"],
        **given("drift"),
        **fields(parameters, "monitoring", JUDGED),
    ).set_caching_options(False)
    recorded = with_secret(
        record(
            report=judged.outputs["report"],
            **given("store", "records", "dry_run"),
            **fields(parameters, "monitoring", ("repeat_hours",)),
        )
    )
    with dsl.If(recorded.outputs["Output"] == True, name="due"):  # noqa: E712
        with_secret(
            retrain(
                recorded=recorded.outputs["recorded"],
                **given(
                    "model_name",
                    "store",
                    "training_config",
                    "training_profile",
                    "training_set",
                    "training_output",
                    "training_image",
                    "kubeflow_host",
                    "kubeflow_token_file",
                    "kubeflow_experiment",
                    "fresh",
                ),
                **fields(parameters, "monitoring", LIMITS),
            )
        )

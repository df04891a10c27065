"""Runs the monitoring pipeline on this machine: the same definition that the cluster runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifacts import MonitoringReport, read_json
from components.summarize.records import Records
from pipelines.config import Config
from pipelines.digests import code_digest, files_of
from pipelines.monitoring.launching import Cluster
from pipelines.monitoring.parameters import DEFAULTS, chosen
from pipelines.output import Output, locked
from pipelines.steps import Listener, StepRecord, run_pipeline

STEP_IMPORTS = {
    "collect": ("sqlalchemy", "pyarrow.parquet"),
    "monitor": ("evidently",),
    "record": ("sqlalchemy",),
}


@dataclasses.dataclass(frozen=True)
class MonitoringRequest:
    """What a person asks of a monitoring on this machine.

    Attributes:
        config, profile, overrides: as for `loomline run`, for a retraining.
        store: URL.
        models: folder of the published models.
        log_file, address, since, until, dry_run: see `PARAMETERS`.
        data: URI of fresh data; '' for none.
        tell_only: alert people where the policy would have the model trained anew.
        cluster: where a retraining runs; None for here.
        hardware: where its steps run on that cluster, as in a profile.
    """

    config: str
    profile: str
    overrides: tuple[str, ...]
    store: str
    models: str
    log_file: str = ""
    address: str = ""
    since: str = ""
    until: str = ""
    data: str = ""
    dry_run: bool = False
    tell_only: bool = False
    cluster: Cluster | None = None
    hardware: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class MonitoringResult:
    """How a monitoring ended.

    Attributes:
        report: what `monitoring.json` holds; None where a step before it failed.
        retraining: what was entered of a retraining; None where none was due.
        error: of the step that failed; '' for none.
        user_error: whether the failure is one that the user can mend.
        steps: every step that ran or was answered from the cache.
        records: folder with the report and the logs of the steps.
    """

    report: dict[str, Any] | None
    retraining: dict[str, Any] | None
    error: str
    user_error: bool
    steps: list[StepRecord]
    records: Path


def run_monitoring(
    config: Config, request: MonitoringRequest, output: Output, listener: Listener
) -> MonitoringResult:
    """Judges a window, enters and tells the verdict, and trains anew where that is due.

    Args:
        config: what was trained, and the policy.
        request: what a person asks for.
        output: of the training runs; monitorings lie in `monitoring/` below it.
        listener: is told of every step.

    Raises:
        BusyError: another monitoring holds the folder.
        LoomlineError: the source or a configuration is wrong.
    """
    own = Output(output.root / "monitoring")
    with locked(own):
        records = own.new_records().resolve()
        from pipelines.monitoring.pipeline import monitoring

        steps = run_pipeline(
            monitoring(config.kind),
            _arguments(config, request, output, records),
            # The training data are those of the last run, from its cache.
            pipeline_root=output.artifacts,
            cache_root=output.cache,
            logs=records / "logs",
            listener=listener,
            imports=STEP_IMPORTS,
        )
    failed = next((step for step in steps if step.state == "failed"), None)
    error = ""
    if failed:
        problem = failed.error or f"failed unexpectedly; its output is in {failed.log}"
        error = f"{failed.name}: {problem}"
    # Of a monitoring that broke off, what was judged before is worth showing, too.
    judged = next((step for step in steps if step.name == "monitor"), None)
    return MonitoringResult(
        _report(judged),
        _retraining(steps),
        error,
        bool(failed and failed.error),
        steps,
        records,
    )


def _arguments(
    config: Config, request: MonitoringRequest, output: Output, records: Path
) -> dict[str, Any]:
    values = chosen(config)
    if request.tell_only:
        rules = values["monitoring_rules"]
        values["monitoring_rules"] = [{**rule, "severity": "alert"} for rule in rules]
    return {
        **values,
        **DEFAULTS,
        "drift": config.drift.model_dump(mode="json"),
        "model_name": config.push.model_name,
        "store": request.store,
        "log_file": request.log_file,
        "models": request.models,
        "address": request.address,
        "since": request.since,
        "until": request.until,
        "fresh": _fresh(config, request.data),
        "dry_run": request.dry_run,
        "records": str(records),
        "training_config": request.config,
        "training_profile": request.profile,
        "training_set": list(request.overrides),
        "training_output": str(output.root.resolve()),
        **_cluster(request),
        "source_digest": config.kind.snapshot_digest(config.source),
        "code_digest": code_digest(*files_of(config)),
    }


def _cluster(request: MonitoringRequest) -> dict[str, Any]:
    """Where a retraining runs, as the pipeline has it."""
    cluster = request.cluster
    if cluster is None:
        return {"kubeflow_host": ""}
    return {
        "training_output": cluster.records,
        "training_hardware": dict(request.hardware),
        "kubeflow_host": cluster.host,
        "kubeflow_token_file": cluster.token_file,
        "kubeflow_namespace": cluster.namespace,
        "kubeflow_experiment": cluster.experiment,
    }


def _fresh(config: Config, data: str) -> dict[str, Any]:
    """The options of ingest for fresh data: those of the training data, without its eras."""
    if not data:
        return {}
    options = config.ingest.model_dump(mode="json")
    eras = ("reference_from", "reference_to", "current_from", "current_to")
    return {**options, **{name: "" for name in eras if name in options}, "source": data}


def _report(step: StepRecord | None) -> dict[str, Any] | None:
    if step is None or step.state != "succeeded":
        return None
    return MonitoringReport(Path(step.outputs["report"])).read()


def _retraining(steps: list[StepRecord]) -> dict[str, Any] | None:
    step = next((step for step in steps if step.name == "retrain"), None)
    if step is None or step.state != "succeeded":
        return None
    content: dict[str, Any] = read_json(Path(step.outputs["retraining"]))
    return content


def pages(records: Path) -> list[str]:
    """Names of the pages that a monitoring left."""
    return [page.name for page in Records(records).pages()]

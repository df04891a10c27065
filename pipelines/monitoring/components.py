"""The steps of the monitoring pipeline that need the store, the server or the world."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE
from components.monitor.options import COLLECTED, LIMITS, MonitorOptions
from components.options import describe, described
from pipelines.monitoring.parameters import PARAMETERS


def _described(*names: str) -> dict[str, str]:
    return {name: PARAMETERS[name] for name in names}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    modality="What the model makes: text, image or table.",
    **_described("model_name", "store", "log_file", "models", "address", "since", "until", "fresh"),
    **described(MonitorOptions, COLLECTED),
    log="The window of the serving log, its reference, scores and history.",
    fresh_examples="Examples of fresh data; empty without any.",
)
def collect(
    modality: str,
    model_name: str,
    store: str,
    log_file: str,
    models: str,
    address: str,
    since: str,
    until: str,
    fresh: dict,
    window_hours: float,
    settle_seconds: float,
    reference_requests: int,
    log: Output[Artifact],
    fresh_examples: Output[Dataset],
) -> None:
    """Reads the window of the serving log, what it is held against, and fresh data."""
    from pathlib import Path

    from components.errors import one_line_errors
    from pipelines.monitoring.collecting import Wanted, collect, ingest_fresh
    from pipelines.monitoring.given import moment, store_url

    with one_line_errors():
        wanted = Wanted(
            model_name,
            modality,
            store_url(store),
            log_file,
            models,
            address,
            moment(since),
            moment(until),
            window_hours,
            settle_seconds,
            reference_requests,
        )
        collect(wanted, Path(log.path))
        ingest_fresh(modality, fresh, Path(fresh_examples.path))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    **_described("store", "records", "dry_run"),
    **described(MonitorOptions, ("repeat_hours",)),
    report="Of the monitor step.",
    recorded="What was entered: its number, verdict and reason.",
)
def record(
    report: Input[Artifact],
    store: str,
    records: str,
    dry_run: bool,
    repeat_hours: float,
    recorded: Output[Artifact],
) -> bool:
    """Enters what was found into the store, and tells people where that is due."""
    import dataclasses
    from pathlib import Path

    from components.artifacts import write_json
    from components.errors import one_line_errors
    from pipelines.monitoring.given import store_url
    from pipelines.monitoring.recording import record

    with one_line_errors():
        url = store_url(store)
        found = record(
            Path(report.path), url, repeat_hours=repeat_hours, records=records, dry_run=dry_run
        )
    print(f"progress: {found.told}", flush=True)
    write_json(Path(recorded.path), dataclasses.asdict(found))
    # The one output that a condition can read under kfp.local.
    return found.verdict == "retrain" and not dry_run


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    **_described(
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
    **described(MonitorOptions, LIMITS),
    recorded="What was entered of the monitoring that asks for it.",
    retraining="What was entered into the store.",
)
def retrain(
    recorded: Input[Artifact],
    model_name: str,
    store: str,
    training_config: str,
    training_profile: str,
    training_set: list,
    training_output: str,
    training_hardware: dict,
    kubeflow_host: str,
    kubeflow_token_file: str,
    kubeflow_namespace: str,
    kubeflow_experiment: str,
    fresh: dict,
    cool_down_hours: float,
    budget_days: float,
    budget_runs: int,
    budget_cpu_seconds: float,
    retraining_cpu_seconds: float,
    lost_after_hours: float,
    retrain_set: list,
    retraining: Output[Artifact],
) -> None:
    """Has the model trained anew, if cool-down and budget allow; otherwise enters why not."""
    chosen_values = dict(locals())
    import dataclasses
    from pathlib import Path

    from components.artifacts import read_json, write_json
    from components.errors import one_line_errors
    from components.monitor.options import MonitorOptions
    from components.options import chosen
    from pipelines.monitoring.given import store_url
    from pipelines.monitoring.launching import Cluster
    from pipelines.monitoring.retraining import Training, retrain

    cluster = None
    if kubeflow_host:
        cluster = Cluster(
            kubeflow_host,
            kubeflow_token_file,
            kubeflow_experiment,
            training_output,
            kubeflow_namespace,
        )
    with one_line_errors():
        asking = read_json(Path(recorded.path))
        entry = retrain(
            store_url(store),
            model_name,
            chosen(MonitorOptions, chosen_values),
            Training(
                training_config,
                training_profile,
                training_set,
                training_output,
                cluster,
                training_hardware,
            ),
            reason=asking["reason"],
            monitoring_id=asking["monitoring_id"] or None,
            data=str(fresh.get("source", "")),
            tell=lambda line: print(f"progress: {line}", flush=True),
        )
    content = dataclasses.asdict(entry)
    content["created"] = entry.created.isoformat()
    write_json(Path(retraining.path), content)
    print(f"progress: retraining {entry.id}: {entry.state} {entry.run}", flush=True)

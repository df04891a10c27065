"""Has a model trained anew: within the limits, once, with the reason and the cost written down."""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from components.artifacts import read_json
from components.errors import LoomlineError
from components.monitor.options import MonitorOptions
from pipelines.monitoring import launching
from pipelines.monitoring.given import opened
from pipelines.monitoring.launching import Cluster
from pipelines.output import Output
from serving.notify import notify
from serving.store import Retraining, RetrainingLimits, Store
from serving.store.ages import Moment

# What `loomline run` ends with: pushed or pending, and rejected by the gate.
_WENT_THROUGH = (0, 3)
_LAST_LINES = 3


@dataclasses.dataclass(frozen=True)
class Training:
    """The training run that a monitoring may start.

    Attributes:
        config, profile, overrides: see `load_config`.
        output: folder of local runs.
        cluster: where to run it; None for this machine.
        hardware: where the steps run on a cluster, as in a profile; empty for ordinary nodes.
    """

    config: str
    profile: str
    overrides: Sequence[str]
    output: str
    cluster: Cluster | None = None
    hardware: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def limits(options: MonitorOptions) -> RetrainingLimits:
    """The policy's limits as the store takes them."""
    return RetrainingLimits(
        cool_down=timedelta(hours=options.cool_down_hours),
        period=timedelta(days=options.budget_days),
        runs=options.budget_runs,
        cpu_seconds=options.budget_cpu_seconds or None,
        lost_after=timedelta(hours=options.lost_after_hours),
    )


def retrain(
    store: str,
    model: str,
    options: MonitorOptions,
    training: Training,
    *,
    reason: str,
    monitoring_id: int | None,
    data: str = "",
    tell: Callable[[str], None] = lambda _: None,
    environment: Mapping[str, str] | None = None,
) -> Retraining:
    """Starts a training run, if cool-down and budget allow, and on this machine waits for its end.

    Args:
        store: its URL.
        model: what is trained anew.
        options: the policy, for the limits and for what is set otherwise.
        training: the run.
        reason: why.
        monitoring_id: what asked for it.
        data: URI of fresh data, which `{data}` in `retrain_set` stands for.
        tell: is told how it goes.
        environment: variables that name channels to people; those of the process by default.

    Returns:
        The entry: `refused`, `started` (on a cluster), `succeeded` or `failed`.

    Raises:
        DataError: the store failed.
    """
    with opened(store) as database:
        settle(database, model, training.cluster)
        entry = database.monitoring.begin_retraining(
            model,
            reason=reason,
            limits=limits(options),
            monitoring_id=monitoring_id,
            expected_cpu_seconds=options.retraining_cpu_seconds,
        )
    if entry.state == "refused":
        tell(f"no retraining: {entry.details['refusal']}")
        return entry
    chosen = [one.replace("{data}", data) for one in options.retrain_set]
    training = dataclasses.replace(training, overrides=[*training.overrides, *chosen])
    try:
        start = _on_cluster if training.cluster else _here
        entry = start(store, entry, training, tell)
    except LoomlineError as error:
        entry = _end(store, entry, False, {"error": str(error), "cpu_seconds": 0.0})
    notify(_message(entry), environment)
    return entry


def settle(store: Store, model: str, cluster: Cluster | None) -> None:
    """Enters how retrainings have ended meanwhile; one that cannot be asked stays as it is.

    Those are runs on a cluster, and runs on this machine whose process was killed.

    Raises:
        StoreError: the database failed.
    """
    for one in store.monitoring.retrainings(model):
        if one.state != "started":
            continue
        if _vanished(one):
            store.monitoring.end_retraining(
                one, succeeded=False, details={"error": "its process was killed"}
            )
            continue
        if cluster is None or not one.run:
            continue
        try:
            state = launching.state(cluster, one.run)
        except LoomlineError:
            continue
        if state != "running":
            # Kubeflow does not tell CPU seconds, so what was expected is what counts.
            cost = one.details.get("expected_cpu_seconds", 0.0)
            store.monitoring.end_retraining(
                one, succeeded=state == "succeeded", details={"cpu_seconds": cost}
            )


def _vanished(one: Retraining) -> bool:
    """Whether it ran on this machine, in a process that is no more."""
    pid = one.details.get("pid")
    here = Moment.now()
    same = Moment.of(one.created, one.details.get("clock")).boot == here.boot != ""
    return pid is not None and same and not Path(f"/proc/{pid}").exists()


def _on_cluster(
    store: str, entry: Retraining, training: Training, tell: Callable[[str], None]
) -> Retraining:
    assert training.cluster is not None
    name = f"retraining-{entry.model}-{entry.id}"
    run = launching.start(
        training.cluster,
        name,
        training.config,
        training.profile,
        training.overrides,
        training.hardware,
    )
    tell(f"retraining {entry.id}: started run {run} ({name})")
    with opened(store) as database:
        return database.monitoring.name_retraining(entry, run, {"run_name": name})


def _here(
    store: str, entry: Retraining, training: Training, tell: Callable[[str], None]
) -> Retraining:
    """The same command that a person would type."""
    command = [sys.executable, "-m", "pipelines.cli", "run", training.config, "--no-serve"]
    command += [f"--profile={training.profile}", f"--output={training.output}", f"--store={store}"]
    command += [f"--set={one}" for one in training.overrides]
    tell(f"retraining {entry.id}: {training.config}")
    with opened(store) as database:
        entry = database.monitoring.name_retraining(entry, "", {"pid": os.getpid()})
    before = _cpu_seconds()
    last: deque[str] = deque(maxlen=_LAST_LINES)
    # A step of kfp leaves variables behind that its own steps must not see.
    variables = {name: value for name, value in os.environ.items() if name != "_KFP_RUNTIME"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.strip():
                last.append(line.strip())
                tell(f"retraining {entry.id}: {line.strip()}")
    details: dict[str, Any] = {
        "cpu_seconds": _cpu_seconds() - before,
        "exit_code": process.returncode,
    }
    run = ""
    if process.returncode in _WENT_THROUGH:
        records = Output(Path(training.output)).latest.resolve()
        run = records.name
        details["outcome"] = read_json(records / "summary.json").get("outcome", "")
    else:
        details["error"] = " | ".join(last)
    return _end(store, entry, process.returncode in _WENT_THROUGH, details, run)


def _cpu_seconds() -> float:
    """What processes that this one has started, and that have ended, took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end(
    store: str, entry: Retraining, succeeded: bool, details: Mapping[str, Any], run: str = ""
) -> Retraining:
    with opened(store) as database:
        return database.monitoring.end_retraining(
            entry, succeeded=succeeded, run=run, details=details
        )


def _message(entry: Retraining) -> str:
    lines = [f"Retraining of {entry.model}: {entry.state}", f"Reason: {entry.reason}"]
    if entry.run:
        lines.append(f"Run: {entry.run} {entry.details.get('outcome', '')}".rstrip())
    if entry.details.get("error"):
        lines.append(str(entry.details["error"]))
    return "\n".join(lines)

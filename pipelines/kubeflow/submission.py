"""Brings a compiled pipeline to a cluster and starts it there: never twice for one intention."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import ConfigError
from pipelines.compilation import Package, read_package
from pipelines.kubeflow.api import BASE, Api, upload_content
from pipelines.kubeflow.connection import Connection

PIPELINES = f"{BASE}/pipelines"
EXPERIMENTS = f"{BASE}/experiments"
RUNS = f"{BASE}/runs"
RECURRING = f"{BASE}/recurringruns"
EXPERIMENT = "loomline"
_LOST = ("FAILED", "CANCELED", "CANCELING")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def submit_run(
    connection: Connection,
    package: Path | Package,
    arguments: Mapping[str, Any],
    experiment: str = EXPERIMENT,
    run_name: str = "",
) -> str:
    """Starts a run of a compiled pipeline, which is uploaded unless it is there.

    Args:
        connection: the cluster.
        package: the compiled pipeline.
        arguments: values of its parameters that differ from their defaults.
        experiment: what the run belongs to; it is created where there is none.
        run_name: what the run is called; a new name by default.

    Returns:
        The run's id.

    Raises:
        ConfigError: there is no such parameter, or its value is of another type.
        KubeflowError: the cluster refused, or cannot be reached.
    """
    compiled = package if isinstance(package, Package) else read_package(package)
    check_arguments(compiled, arguments)
    with Api(connection) as api:
        api.check()
        version = upload(api, compiled)
        return start(api, compiled, version, arguments, experiment, run_name)


def check_arguments(package: Package, arguments: Mapping[str, Any]) -> None:
    """Refuses what the cluster would refuse, or worse, would not.

    Raises:
        ConfigError: there is no such parameter, or its value is of another type.
    """
    for name, value in arguments.items():
        if name not in package.parameters:
            raise ConfigError(
                f"{package.name} has no parameter {name!r}. Accepted: "
                f"{', '.join(sorted(package.parameters))}"
            )
        kind = package.parameters[name].get("parameterType", "")
        fits = isinstance(value, _TYPES.get(kind, (object,)))
        if not fits or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise ConfigError(f"{name}: expected {kind}. Received: {value!r}")


def upload(api: Api, package: Package) -> dict[str, Any]:
    """Uploads a compiled pipeline as a version named for its content, unless it is there.

    Returns:
        The version, as the API describes it.
    """

    def find_pipeline() -> dict[str, Any] | None:
        found = api.listed(PIPELINES, "pipelines", package.name, **_in_namespace(api))
        return next(found, None)

    pipeline = api.made(
        PIPELINES,
        find_pipeline,
        json={
            "display_name": package.name,
            "description": "Compiled by loomline; a version is named for its content.",
            **_in_namespace(api),
        },
    )
    identity = pipeline["pipeline_id"]
    versions = f"{PIPELINES}/{identity}/versions"

    def find_version() -> dict[str, Any] | None:
        return next(api.listed(versions, "pipeline_versions", package.version), None)

    return api.made(
        f"{PIPELINES}/upload_version",
        find_version,
        params={
            "name": package.version,
            "pipelineid": identity,
            "description": f"sha256:{package.digest}",
        },
        files=upload_content(package.path),
    )


def start(
    api: Api,
    package: Package,
    version: Mapping[str, Any],
    arguments: Mapping[str, Any],
    experiment: str,
    run_name: str,
    once: bool = False,
) -> str:
    """Starts a run of a version.

    Args:
        api: the cluster.
        package: the compiled pipeline.
        version: its version there.
        arguments: values of its parameters that differ from their defaults.
        experiment: what the run belongs to.
        run_name: what it is called; a new name by default.
        once: take a run of that name that is there and has neither failed nor been cancelled.

    Returns:
        The run's id.
    """
    name = run_name or f"{package.name}-{uuid.uuid4().hex[:8]}"
    belongs = _experiment(api, experiment)
    # Nothing but this call has it: by it a run is found whose answer was lost.
    intention = f"submitted by loomline, {uuid.uuid4()}"

    def find() -> dict[str, Any] | None:
        runs = list(api.listed(RUNS, "runs", name, experiment_id=belongs))
        if once:
            return next((run for run in runs if run.get("state") not in _LOST), None)
        return next((run for run in runs if run.get("description") == intention), None)

    run = api.made(
        RUNS,
        find,
        look_first=once,
        json={
            "display_name": name,
            "description": intention,
            "experiment_id": belongs,
            "pipeline_version_reference": _reference(version),
            "runtime_config": {"parameters": dict(arguments)},
        },
    )
    return str(run["run_id"])


def schedule(
    api: Api,
    package: Package,
    version: Mapping[str, Any],
    arguments: Mapping[str, Any],
    experiment: str,
    name: str,
    trigger: Mapping[str, Any],
) -> tuple[str, bool]:
    """Has a version run again and again; what was scheduled under that name before gives way.

    Returns:
        The recurring run's id, and whether it is new: the same schedule is kept as it is.
    """
    belongs = _experiment(api, experiment)
    wanted = {
        "display_name": name,
        "experiment_id": belongs,
        "pipeline_version_reference": _reference(version),
        "runtime_config": {"parameters": dict(arguments)},
        "trigger": dict(trigger),
        "mode": "ENABLE",
        "max_concurrency": "1",
        # After a pause the newest data count, and not each interval that was missed.
        "no_catchup": True,
    }

    def existing() -> list[dict[str, Any]]:
        return list(api.listed(RECURRING, "recurringRuns", name, experiment_id=belongs))

    def find() -> dict[str, Any] | None:
        return next((one for one in existing() if _is_same(one, wanted)), None)

    before = find()
    made = before or api.made(RECURRING, find, look_first=False, json=wanted)
    kept = str(made["recurring_run_id"])
    for one in existing():
        if one["recurring_run_id"] != kept:
            api.delete(f"{RECURRING}/{one['recurring_run_id']}")
    return kept, before is None


def trigger_every(text: str) -> dict[str, Any]:
    """The trigger of an interval such as 30m, 6h or 1d.

    Raises:
        ConfigError: it is none, or below a minute.
    """
    parsed = re.fullmatch(r"([0-9]+)([mhd])", text.strip())
    seconds = int(parsed[1]) * {"m": 60, "h": 3600, "d": 86400}[parsed[2]] if parsed else 0
    if seconds < 60:
        raise ConfigError(f"--every expects an interval such as 30m, 6h or 1d. Received: {text!r}")
    return {"periodic_schedule": {"interval_second": str(seconds)}}


def trigger_cron(text: str) -> dict[str, Any]:
    """The trigger of a cron expression: Kubeflow's six fields, or cron's own five.

    Raises:
        ConfigError: it has another number of fields.
    """
    fields = text.split()
    if len(fields) not in (5, 6) or any(not re.fullmatch(r"[0-9A-Za-z*?/,#-]+", x) for x in fields):
        raise ConfigError(
            "--cron expects five fields (minute, hour, day, month, weekday), or six with the "
            f"second before them. Received: {text!r}"
        )
    return {"cron_schedule": {"cron": " ".join(["0", *fields] if len(fields) == 5 else fields)}}


def _experiment(api: Api, name: str) -> str:
    def find() -> dict[str, Any] | None:
        return next(api.listed(EXPERIMENTS, "experiments", name, **_in_namespace(api)), None)

    made = api.made(EXPERIMENTS, find, json={"display_name": name, **_in_namespace(api)})
    return str(made["experiment_id"])


def _in_namespace(api: Api) -> dict[str, str]:
    return {"namespace": api.connection.namespace} if api.connection.namespace else {}


def _reference(version: Mapping[str, Any]) -> dict[str, str]:
    return {
        "pipeline_id": version["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }


def _is_same(one: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a recurring run is the one that is wanted, and runs."""
    if one.get("mode") != "ENABLE":
        return False
    return all(
        one.get(key) == wanted[key]
        for key in ("pipeline_version_reference", "runtime_config", "trigger")
    )

"""`loomline submit`: runs a pipeline on Kubeflow, and waits for its outcome."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.errors import USER_ERROR_EXIT_CODE, ConfigError
from pipelines.cli_kubeflow import Chosen
from pipelines.cli_options import CONFIG, HARDWARE, IMAGE, PIPELINE, PROFILE, SET, SPOT, VOLUME
from pipelines.exit_codes import INTERRUPTED_EXIT_CODE, REJECTED_EXIT_CODE
from serving.commands import HELP

if TYPE_CHECKING:
    from pipelines.kubeflow.api import Api
    from pipelines.kubeflow.connection import Connection
    from pipelines.kubeflow.outcome import RunOutcome
    from pipelines.kubeflow.preparing import Prepared
    from pipelines.kubeflow.watching import Patience

_FILE = click.Path(dir_okay=False, path_type=Path)


def _asked(name: str, about: str, **settings: Any) -> Callable[..., Any]:
    """An option about the cluster, which the environment can set as well."""
    variable = f"LOOMLINE_KFP_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(name, envvar=variable, help=f"{about}  [env: {variable}]", **settings)


@click.command("submit", context_settings=HELP)
@CONFIG
@PROFILE
@SET
@PIPELINE
@HARDWARE
@SPOT
@IMAGE
@VOLUME
@_asked("--host", "URL of the API, such as https://kubeflow.example/pipeline.", default="")
@_asked("--namespace", "Yours, where several users share the cluster.", default="")
@_asked("--token-file", "File with a bearer token; read anew as it rotates.", type=_FILE)
@_asked("--cookie-file", "File with the cookie of a browser's session: NAME=VALUE.", type=_FILE)
@_asked("--iap-audience", "OAuth client id of Google's Identity-Aware Proxy.", default="")
@_asked("--ca", "File of certificates to trust beside the usual ones.", type=_FILE)
@click.option(
    "--package",
    type=_FILE,
    help="What `loomline compile` wrote of CONFIG; without it, that is done now.",
)
@click.option("--edited", is_flag=True, help="Take a --package that was edited since.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the pipeline, as in the UI; may be given again. Example: "
    "--param hardware_memory=64Gi",
)
@click.option(
    "--experiment", default="loomline", show_default=True, help="What the run is part of."
)
@click.option(
    "--run-name", default="", help="What to call the run.  [default: CONFIG and the time]"
)
@click.option(
    "--once",
    is_flag=True,
    help="Take a run of that name that is there, unless it failed: for jobs that start anew.",
)
@click.option(
    "--records",
    default=None,
    help="Folder on the cluster that gathers the reports of all runs; empty for none.  [default: "
    "records on the volume]",
)
@click.option("--upload-only", is_flag=True, help="Upload the pipeline, and run nothing.")
@click.option("--every", default="", help="Run it at an interval: 30m, 6h, 1d.")
@click.option("--cron", default="", help="Run it at set times: '0 3 * * 1', minute first.")
@click.option("--run", "run_id", default="", help="Start nothing; wait for the run of this id.")
@click.option("--wait", is_flag=True, help="Wait for the outcome.")
@click.option("--logs", is_flag=True, help="While waiting, show what the steps print.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Minutes after which the wait ends; the run goes on.  [default: no limit]",
)
@click.option(
    "--pending-timeout",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="Minutes that a step may wait for a node.",
)
@click.option(
    "--poll",
    type=click.FloatRange(min=0.01),
    default=5.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--result", "result_path", type=_FILE, help="JSON file to write the outcome to.")
@click.option(
    "--metrics",
    "metrics_path",
    type=_FILE,
    help="File to write the model's figures to, in OpenMetrics, as GitLab shows them.",
)
def submit_command(
    config: str,
    profile: str,
    overrides: tuple[str, ...],
    pipeline: str,
    hardware: str,
    spot: bool,
    image: str,
    volume: str,
    host: str,
    namespace: str,
    token_file: Path | None,
    cookie_file: Path | None,
    iap_audience: str,
    ca: Path | None,
    package: Path | None,
    edited: bool,
    params: tuple[str, ...],
    experiment: str,
    run_name: str,
    once: bool,
    records: str | None,
    upload_only: bool,
    every: str,
    cron: str,
    run_id: str,
    wait: bool,
    logs: bool,
    timeout: float,
    pending_timeout: float,
    poll: float,
    result_path: Path | None,
    metrics_path: Path | None,
) -> None:
    """Run a pipeline on Kubeflow.

    It is compiled and uploaded, unless that very content is there; --set and --param become
    arguments of the run. With --wait the exit code is that of `loomline run`: 0 pushed, finished,
    or waiting for a person; 3 rejected; 2 a mistake that you can mend; 1 any other failure; 130
    stopped by Ctrl-C, or cancelled by somebody. Ctrl-C ends the wait only: the run goes on.
    """
    from pipelines.kubeflow.api import Api
    from pipelines.kubeflow.connection import Connection
    from pipelines.kubeflow.preparing import Asked, prepare
    from pipelines.kubeflow.watching import Patience

    if sum(map(bool, (every, cron, run_id, upload_only))) > 1:
        raise ConfigError("expected at most one of --every, --cron, --run and --upload-only")
    if not host:
        raise ConfigError("expected --host, or LOOMLINE_KFP_HOST. Received: none")
    chosen = Chosen(config, profile, pipeline, hardware, spot, image, volume)
    connection = Connection(host, token_file, cookie_file, iap_audience, ca, namespace)
    result: dict[str, Any] = {}
    prepared = None
    scratch = tempfile.TemporaryDirectory(prefix="loomline-")
    with scratch as folder, Api(connection) as api:
        if not run_id:
            # Whatever is wrong here is told before anybody is asked for anything.
            asked = Asked(overrides, params, run_name, records, every, cron)
            prepared = prepare(chosen, asked, package, edited, Path(folder))
        api.check()
        if prepared is not None:
            result = _submitted(api, prepared, experiment, once, upload_only)
            run_id = result.get("run_id", "")
        if not run_id:
            _write(result_path, result)
            return
        result |= {"run_id": run_id, "url": _url(connection, run_id)}
        _write(result_path, result)
        click.echo(f"run {run_id}: {result['url']}")
        if not wait and "name" in result:
            return
        patience = Patience(poll, 60 * timeout, 60 * pending_timeout)
        ended = _waited(api, run_id, patience, logs)
    figures = dict(ended.figures)
    told = {"outcome": ended.outcome, "reason": ended.reason, "figures": figures}
    _write(result_path, {**result, **told})
    if metrics_path is not None:
        metrics_path.write_text(_open_metrics(figures), "utf-8")
    click.echo(f"{ended.outcome}{f': {ended.reason}' if ended.reason else ''}")
    sys.exit(_exit_code(ended))


def _submitted(
    api: Api, prepared: Prepared, experiment: str, once: bool, upload_only: bool
) -> dict[str, Any]:
    """Uploads, and runs or schedules.

    Returns:
        What to tell of it; `run_id` where something runs.
    """
    from pipelines.kubeflow import submission

    package, name, arguments = prepared.package, prepared.name, prepared.arguments
    version = submission.upload(api, package)
    click.echo(f"uploaded {package.name} {package.version}")
    told = {"name": name, "pipeline": package.name, "version": package.version}
    if upload_only:
        return told
    if prepared.trigger:
        scheduled, new = submission.schedule(
            api, package, version, arguments, experiment, name, prepared.trigger
        )
        click.echo(f"{'scheduled' if new else 'scheduled before'}: {name} ({scheduled})")
        return {**told, "recurring_run_id": scheduled}
    run_id = submission.start(api, package, version, arguments, experiment, name, once)
    return {**told, "run_id": run_id}


def _waited(api: Api, run_id: str, patience: Patience, logs: bool) -> RunOutcome:
    from pipelines.kubeflow.watching import wait_for

    try:
        return wait_for(api, run_id, click.echo, patience, logs)
    except KeyboardInterrupt:
        again = f"loomline submit --run {run_id} waits again"
        click.echo(f"\nstopped waiting; the run goes on: {again}", err=True)
        sys.exit(INTERRUPTED_EXIT_CODE)


def _exit_code(ended: RunOutcome) -> int:
    codes = {
        "pushed": 0,
        "pending": 0,
        "finished": 0,
        "rejected": REJECTED_EXIT_CODE,
        "cancelled": INTERRUPTED_EXIT_CODE,
    }
    return codes.get(ended.outcome, USER_ERROR_EXIT_CODE if ended.user_error else 1)


def _url(connection: Connection, run_id: str) -> str:
    return f"{connection.host.rstrip('/')}/#/runs/details/{run_id}"


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def _open_metrics(figures: dict[str, float]) -> str:
    """The figures as OpenMetrics: names that it allows, a line each."""
    lines = []
    for name, value in sorted(figures.items()):
        lines.append(f"loomline_{name.replace('.', '_')} {value!r}")
    return "\n".join([*lines, "# EOF", ""])

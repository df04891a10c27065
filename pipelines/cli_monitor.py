"""`loomline monitor`: judges a served model by its log, and has it trained anew where due."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.errors import USER_ERROR_EXIT_CODE, ConfigError, LoomlineError
from pipelines.cli_options import CONFIG, HARDWARE, IMAGE, OUTPUT, PROFILE, SET, VOLUME
from serving.commands import HELP

if TYPE_CHECKING:
    from pipelines.config import Config
    from pipelines.monitoring.launching import Cluster
    from pipelines.monitoring.running import MonitoringRequest, MonitoringResult
    from pipelines.output import Output

INTERRUPTED_EXIT_CODE = 130
# As for a gate that says no: the command has done its work, and the answer is not a good one.
EXIT_CODES = {"ok": 0, "alert": 3, "retrain": 3, "insufficient": 4}
_HEADLINES = (
    "requests.count",
    "errors.share",
    "latency.p50_ms",
    "latency.p95_ms",
    "tokens.per_request",
    "cost.total",
    "feedback.share",
    "feedback.positive_share",
    "quality.nll_per_byte",
    "quality.baseline_nll_per_byte",
    "quality.nll_per_byte_minus_baseline",
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command(context_settings=HELP)
@CONFIG
@PROFILE
@SET
@OUTPUT
@click.option(
    "--store",
    "url",
    help="URL of the gateway's store: sqlite:///PATH or postgresql+psycopg://...  "
    "[default: OUTPUT/store.sqlite]",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    help="Folder of the published models.  [default: OUTPUT/models]",
)
@click.option(
    "--log",
    "log_file",
    type=click.Path(path_type=Path),
    help="Read the serving log from this file (loomline requests export) instead of the store.",
)
@click.option(
    "--address",
    default="",
    help="HOST:PORT of the model server, which scores edited texts.  [default: load the model]",
)
@click.option("--since", default="", help="Start of the window, such as 2026-11-28T12:00 (UTC).")
@click.option("--until", default="", help="End of the window (UTC).  [default: now]")
@click.option(
    "--data",
    default="",
    help="URI of fresh data to hold against the training data.  "
    "[default: the source's current era, if it has one]",
)
@click.option(
    "--every",
    metavar="TIME",
    help="Go on for ever, with so long between two starts: 90s, 30m, 1h, 1d.",
)
@click.option("--once", is_flag=True, help="Monitor once, which is the default.")
@click.option("--dry-run", is_flag=True, help="Judge only: enter nothing, tell nobody, do nothing.")
@click.option(
    "--no-retrain",
    is_flag=True,
    help="Alert people where the policy would train anew: for where there is no room for that.",
)
@click.option(
    "--host", default="", help="Train anew on this Kubeflow, as for `submit`.  [default: here]"
)
@click.option("--namespace", default="", help="Yours there, where several users share it.")
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Token for it, as there."
)
@HARDWARE
@IMAGE
@VOLUME
def monitor(
    config: str,
    profile: str,
    overrides: tuple[str, ...],
    output: Path | None,
    url: str | None,
    models: Path | None,
    log_file: Path | None,
    address: str,
    since: str,
    until: str,
    data: str,
    every: str | None,
    once: bool,
    dry_run: bool,
    no_retrain: bool,
    host: str,
    namespace: str,
    token_file: Path | None,
    hardware: str,
    image: str,
    volume: str,
) -> None:
    """Judge a served model by its log: drift, quality, feedback, latency, cost.

    Reads the requests since the last monitoring, writes a report, tells people by the webhook and
    the e-mail of LOOMLINE_WEBHOOK_URL and LOOMLINE_SMTP_URL when the verdict changes, and trains
    the model anew where the policy says so (section monitoring of CONFIG): within its cool-down and
    budget, and with the reason written down.

    Exit codes: 0 all is well, 3 an alert or a retraining, 4 too little is known, 2 something to
    mend (one line says what), 1 a defect.
    """
    from components.transfers import resolved
    from pipelines.config import load_config
    from pipelines.monitoring.given import moment
    from pipelines.monitoring.running import MonitoringRequest
    from pipelines.present import models_of, output_of

    if every and once:
        raise ConfigError("expected --every or --once. Received: both")
    if no_retrain and host:
        raise ConfigError("expected --no-retrain or --host. Received: both")
    if every and (since or until):
        raise ConfigError("expected --every without --since and --until. Received: a fixed window")
    seconds = _seconds(every) if every else None
    moment(since), moment(until)
    loaded = load_config(config, profile, overrides)
    root = output_of(config, output)
    store = url or f"sqlite:///{root.root.resolve() / 'store.sqlite'}"
    if log_file is None:
        _look_for(store)
    request = MonitoringRequest(
        config,
        profile,
        overrides,
        store,
        resolved(models or models_of(loaded, config, output)),
        str(log_file.resolve()) if log_file else "",
        address,
        since,
        until,
        data,
        dry_run,
        no_retrain,
        *_there(host, namespace, token_file, hardware, image, volume),
    )
    try:
        if seconds is None:
            code = _once(loaded, request, root)
        else:
            code = _again(seconds, loaded, request, root)
    except KeyboardInterrupt:
        click.echo("\nstopped", err=True)
        code = INTERRUPTED_EXIT_CODE
    sys.exit(code)


def _there(
    host: str, namespace: str, token_file: Path | None, hardware: str, image: str, volume: str
) -> tuple[Cluster | None, dict[str, Any]]:
    """The cluster of a retraining, and where its steps run there."""
    from pipelines.hardware import load_hardware
    from pipelines.monitoring.launching import Cluster

    if not host:
        return None, {}
    nodes = load_hardware(hardware, image=image, mount=volume)
    records = f"{nodes.volume.mount}/records" if nodes.volume else ""
    cluster = Cluster(host, str(token_file or ""), records=records, namespace=namespace)
    # Now, and not after an hour of collecting.
    cluster.connection.client().close()
    return cluster, nodes.model_dump(mode="json", exclude_none=True)


def _look_for(store: str) -> None:
    """Refuses a store that is not there: an empty one would be made, and told to lack requests.

    Raises:
        ConfigError: there is no such file.
    """
    from serving.store.engine import sqlite_file

    path = sqlite_file(store)
    if path is not None and not path.is_file():
        raise ConfigError(
            f"expected the gateway's store at {path}. Received: no such file; `loomline run` and "
            "the gateway make one, and --output or --store names another"
        )


def _again(seconds: float, loaded: Config, request: MonitoringRequest, output: Output) -> int:
    """Monitors for ever; what goes wrong once may be well the next time."""
    while True:
        # By a clock that nobody sets.
        start = time.monotonic()
        try:
            _once(loaded, request, output)
        except LoomlineError as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
        time.sleep(max(0.0, seconds - (time.monotonic() - start)))


def _seconds(text: str) -> float:
    """A length of time.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if not found or not float(found[1]):
        raise ConfigError(f"--every expects a time such as 90s, 30m, 1h or 1d. Received: {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def _once(loaded: Config, request: MonitoringRequest, output: Output) -> int:
    """One monitoring from start to end; its exit code."""
    from pipelines.face import Face
    from pipelines.monitoring.running import run_monitoring

    face = Face()
    face.headline(f"loomline monitor {request.config} · {request.profile} · {output.root}")
    result = run_monitoring(loaded, request, output, face)
    _sum_up(face, result)
    if result.error:
        click.echo(f"error: {' '.join(result.error.split())}", err=True)
        return USER_ERROR_EXIT_CODE if result.user_error else 1
    assert result.report is not None
    return EXIT_CODES[result.report["verdict"]]


def _sum_up(face: Any, result: MonitoringResult) -> None:
    from components.artifacts import Figure
    from pipelines.monitoring.running import pages

    report = result.report
    if report is None:
        return
    seconds = sum(step.seconds for step in result.steps)
    face.headline(f"{report['verdict']} in {seconds:.1f} s")
    for line in report["headline"]:
        face.say(f"  {line}")
    for line in report["suggestions"]:
        face.say(f"  → {line}")
    figures = {name: Figure(**values) for name, values in report["figures"].items()}
    face.figures([(name, _shown(figure)) for name, figure in figures.items() if _told(name)])
    for line in report["notes"]:
        face.say(f"  note: {line}")
    if result.retraining:
        entry = result.retraining
        why = entry["details"].get("refusal") or entry["details"].get("error") or entry["reason"]
        # That a run went through does not say that its model serves.
        outcome = entry["details"].get("outcome")
        run = f" as {entry['run']}" if entry["run"] else ""
        run += f", which was {outcome}" if outcome in ("pushed", "rejected") else ""
        run += ", which waits for approval" if outcome == "pending" else ""
        face.say(f"  retraining {entry['state']}{run}: {why}")
    face.pages(result.records, pages(result.records))


def _told(name: str) -> bool:
    """Whether a figure belongs on a terminal; the page has all of them."""
    return name in _HEADLINES or name.endswith(".drift_share")


def _shown(figure: Any) -> str:
    interval = ""
    if figure.low is not None and figure.high is not None:
        interval = f"  [{figure.low:.4g}, {figure.high:.4g}]"
    whole = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.4g}"
    return f"{whole}{interval}"

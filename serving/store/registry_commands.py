"""`loomline runs`, `models` and `lineage`: what made each version, and what became of each run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from serving.commands import HELP, UserError, print_table
from serving.store.commands import STORE, opened
from serving.store.comparing import OUTCOMES, SHORT, headline

if TYPE_CHECKING:
    from serving.store import Approval, Deployment, Run
    from serving.store.lineage import Origin


@click.group(context_settings=HELP)
def runs() -> None:
    """List and compare runs of the pipeline."""


@runs.command("list")
@STORE
@click.option("--model", help="Of this model only.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="With this outcome only.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
def list_command(url: str, model: str | None, outcome: str | None, limit: int) -> None:
    """Show runs, the newest first."""
    with opened(url, existing=True) as store:
        found = store.registry.runs(model=model, outcome=outcome, limit=limit)
    rows = [_row(run) for run in found]
    titles = ("run", "model", "outcome", "figure", "drift", "data", "code", "seconds", "reason")
    print_table(titles, rows)


def _row(run: Run) -> list[str]:
    name, value = headline(run)
    figure = "" if value is None else f"{name} {value:.4g}"
    drift = run.figures.get("drift.data.drift_share")
    return [
        run.run,
        run.model,
        run.outcome,
        figure,
        "" if drift is None else f"{drift:.0%}",
        run.source_digest[:SHORT],
        run.code_revision or run.code_digest[:SHORT],
        "" if run.seconds is None else f"{run.seconds:.0f}",
        run.reason,
    ]


@click.command(context_settings=HELP)
@STORE
@click.option("--model", help="This one only.")
@click.option("--server", help="HOST:PORT of a model server: shows which versions it serves.")
def models(url: str, model: str | None, server: str | None) -> None:
    """Show the published versions of models, the newest first."""
    with opened(url, existing=True) as store:
        versions = store.registry.versions(model=model)
        names = {version.model for version in versions}
        verdicts = [one for name in names for one in store.approvals.of_model(name)]
        deployments = store.deployments.current(model=model)
    approvals = {(one.model, one.run): one for one in verdicts if one.verdict == "approved"}
    states = _states(server, names) if server else {}
    now = datetime.now(UTC)
    rows = []
    for version in versions:
        key = (version.model, version.version)
        approval = approvals.get((version.model, version.run))
        places = [one for one in deployments if (one.model, one.version) == key]
        rows.append(
            [
                version.model,
                str(version.version),
                version.run,
                version.model_digest[:SHORT],
                approval.reviewer if approval else "the policy",
                ", ".join(place(one, now) for one in places) or "–",
                *([states.get(key, "–")] if server else []),
                version.path,
            ]
        )
    asked = [f"at {server}"] if server else []
    titles = ("model", "version", "run", "digest", "approved by", "serves at", *asked, "path")
    print_table(titles, rows)


def place(one: Deployment, now: datetime) -> str:
    """Where a version is served, under which labels; and when that was seen, if not just now."""
    labels = f" ({', '.join(one.labels)})" if one.labels else ""
    seen = "" if one.fresh(now) else f", last seen {one.seen:%Y-%m-%d %H:%M} UTC"
    return f"{one.server}{labels}{seen}"


def _states(server: str, names: set[str]) -> dict[tuple[str, int], str]:
    """What a server says of each version of these models."""
    from serving.client import Client, ClientError, ModelNotFoundError

    found = {}
    for name in sorted(names):
        try:
            with Client(server, model=name) as client:
                for status in client.status():
                    found[name, status.version] = status.state
        except ModelNotFoundError:
            continue
        except ClientError as error:
            raise UserError(str(error)) from None
    return found


@click.command(context_settings=HELP)
@click.argument("name")
@STORE
def lineage(name: str, url: str) -> None:
    """Show what made NAME: a run, MODEL/RUN, or MODEL/VERSION; and what that was compared with."""
    from serving.store.lineage import chain

    with opened(url, existing=True) as store:
        found = chain(store, name)
    now = datetime.now(UTC)
    for number, origin in enumerate(found):
        if number:
            click.echo("")
        _tell(origin, now)


def _tell(origin: Origin, now: datetime) -> None:
    run = origin.run
    for version in origin.versions:
        click.echo(f"{run.model}/{version.version}  {version.model_digest[:SHORT]}  {version.path}")
    champion = run.champion_version
    lines = [
        *(("serves at", place(one, now)) for one in origin.deployments),
        ("run", f"{run.run}, {run.outcome} at {run.finished:%Y-%m-%d %H:%M} UTC"),
        ("reason", run.reason),
        *((one.verdict, _verdict(one)) for one in origin.approvals),
        ("data", f"{run.source}  {run.source_digest[:SHORT]}"),
        ("code", f"{run.code_revision}  {run.code_digest[:SHORT]}".strip()),
        ("options", run.config_digest[:SHORT]),
        ("compared with", "nothing" if champion is None else f"{run.model}/{champion}"),
        ("records", run.records),
    ]
    for label, text in lines:
        if text:
            click.echo(f"  {label + ':':<15}{' '.join(text.split())}")


def _verdict(one: Approval) -> str:
    comment = f": {one.comment}" if one.comment else ""
    return f"by {one.reviewer} at {one.created:%Y-%m-%d %H:%M} UTC{comment}"

"""`loomline runs`, `models` and `lineage`: what made each version, and what became of each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from serving.commands import HELP, UserError, print_table
from serving.store.commands import STORE, opened

if TYPE_CHECKING:
    from serving.store import Run, Store, Version

# What a list shows of a run: the first of these that it measured.
_HEADLINES = ("bits_per_byte", "frechet_distance", "quality")
_SHORT = 12


@click.group(context_settings=HELP)
def runs() -> None:
    """List and compare runs of the pipeline."""


@runs.command("list")
@STORE
@click.option("--model", help="Of this model only.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
def list_command(url: str, model: str | None, limit: int) -> None:
    """Show runs, the newest first."""
    with opened(url) as store:
        rows = [_row(run) for run in store.registry.runs(model=model, limit=limit)]
    titles = ("run", "model", "outcome", "figure", "drift", "data", "code", "seconds", "reason")
    print_table(titles, rows)


def _row(run: Run) -> list[str]:
    figures = run.figures
    found = [name for name in _HEADLINES if figures.get(f"evaluation.{name}") is not None]
    figure = f"{found[0]} {figures[f'evaluation.{found[0]}']:.4g}" if found else ""
    drift = figures.get("drift.data.drift_share")
    return [
        run.run,
        run.model,
        run.outcome,
        figure,
        "" if drift is None else f"{drift:.0%}",
        run.source_digest[:_SHORT],
        run.code_revision or run.code_digest[:_SHORT],
        "" if run.seconds is None else f"{run.seconds:.0f}",
        run.reason,
    ]


@runs.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN...")
@STORE
@click.option("--all", "everything", is_flag=True, help="Also what is the same in all of them.")
def compare(names: tuple[str, ...], url: str, everything: bool) -> None:
    """Show where runs differ: data, code, options, figures.

    RUN is a run's name, or MODEL/RUN.
    """
    with opened(url) as store:
        found = [_named(store, name) for name in names]
    rows = []
    for label, values in _compared(found):
        if everything or len(set(values)) > 1:
            rows.append([label, *values])
    print_table(("", *(f"{run.model}/{run.run}" for run in found)), rows)
    if not rows:
        click.echo("they are the same in everything")


def _compared(found: Sequence[Run]) -> Iterator[tuple[str, list[str]]]:
    for name in ("outcome", "champion_version", "source", "source_digest"):
        yield name, [_shown(getattr(run, name)) for run in found]
    yield "code", [run.code_revision or run.code_digest[:_SHORT] for run in found]
    options = [dict(_flat(run.config)) for run in found]
    for name in _names(options):
        yield name, [_shown(each.get(name)) for each in options]
    for name in _names([run.figures for run in found]):
        yield name, [_shown(run.figures.get(name)) for run in found]


def _names(mappings: Sequence[dict[str, Any]]) -> list[str]:
    """All keys, in the order in which they come first."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


@click.command(context_settings=HELP)
@STORE
@click.option("--model", help="This one only.")
@click.option("--server", help="HOST:PORT of a model server: shows which versions it serves.")
def models(url: str, model: str | None, server: str | None) -> None:
    """Show the published versions of models, the newest first."""
    with opened(url) as store:
        versions = store.registry.versions(model=model)
        approvals = {
            (one.model, one.run): one
            for version in versions
            for one in store.approvals.of_run(version.model, version.run)
            if one.verdict == "approved"
        }
    states = _states(server, {version.model for version in versions}) if server else {}
    rows = []
    for version in versions:
        approval = approvals.get((version.model, version.run))
        rows.append(
            [
                version.model,
                str(version.version),
                version.run,
                version.model_digest[:_SHORT],
                approval.reviewer if approval else "the policy",
                *([states.get((version.model, version.version), "–")] if server else []),
                version.path,
            ]
        )
    served = [f"at {server}"] if server else []
    print_table(("model", "version", "run", "digest", "approved by", *served, "path"), rows)


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
    with opened(url) as store:
        versions = {(one.model, one.version): one for one in store.registry.versions()}
        version = _version(name, versions)
        run = _named(store, f"{version.model}/{version.run}" if version else name)
        told: set[tuple[str, str]] = set()
        while True:
            told.add((run.model, run.run))
            _tell(store, run, versions)
            champion = versions.get((run.model, run.champion_version or 0))
            if champion is None or (champion.model, champion.run) in told:
                return
            click.echo("")
            run = _named(store, f"{champion.model}/{champion.run}")


def _version(name: str, versions: dict[tuple[str, int], Version]) -> Version | None:
    model, _, number = name.rpartition("/")
    # Names of runs are dates and times; nobody has so many versions.
    return versions.get((model, int(number))) if model and number.isdecimal() else None


def _tell(store: Store, run: Run, versions: dict[tuple[str, int], Version]) -> None:
    own = [one for one in versions.values() if (one.model, one.run) == (run.model, run.run)]
    for version in own:
        click.echo(
            f"{run.model}/{version.version}  {version.model_digest[:_SHORT]}  {version.path}"
        )
    lines = [
        ("run", f"{run.run}, {run.outcome} at {run.finished:%Y-%m-%d %H:%M} UTC"),
        ("reason", run.reason),
        *(
            (
                one.verdict,
                f"by {one.reviewer} at {one.created:%Y-%m-%d %H:%M} UTC"
                + (f": {one.comment}" if one.comment else ""),
            )
            for one in store.approvals.of_run(run.model, run.run)
        ),
        ("data", f"{run.source}  {run.source_digest[:_SHORT]}"),
        ("code", f"{run.code_revision}  {run.code_digest[:_SHORT]}".strip()),
        ("options", run.config_digest[:_SHORT]),
        ("compared with", "nothing" if run.champion_version is None else
         f"{run.model}/{run.champion_version}"),
        ("records", run.records),
    ]  # fmt: skip
    for label, text in lines:
        if text:
            click.echo(f"  {label + ':':<15}{' '.join(text.split())}")


def _named(store: Store, name: str) -> Run:
    """The run of a name.

    Raises:
        UserError: there is none, or more than one.
    """
    model, _, run = name.rpartition("/")
    found = [one for one in store.registry.named(run) if not model or one.model == model]
    if len(found) == 1:
        return found[0]
    what = "none" if not found else " and ".join(f"{one.model}/{one.run}" for one in found)
    raise UserError(f"expected the name of one run (loomline runs list). Received: {name}: {what}")

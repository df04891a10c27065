"""`loomline rollout`: start, watch, status, promote, rollback, back, pin, list."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import click

from serving.commands import HELP, UserError
from serving.store.commands import STORE as _STORE
from serving.store.commands import opened

_MODEL = click.option("--model", default="text", show_default=True, help="Name of the model.")
_SERVERS = click.option(
    "--server",
    "servers",
    multiple=True,
    default=("127.0.0.1:8500",),
    show_default=True,
    help="HOST:PORT of a model server; may be given again, once for every one.",
)
_CONFIG_FILE = click.option(
    "--model-config-file",
    help="The file that the servers poll (their --model_config_file); written instead of "
    "reloading them by call, so that restarted servers stay with the rollout.",
)
_BASE_PATH = click.option(
    "--base-path",
    default="runs/text/models/text",
    show_default=True,
    help="The model's folder of versions, as the servers see it: a path, gs:// or s3://BUCKET/FOLDER.",
)
_MOVED = click.option(
    "--server",
    "servers",
    multiple=True,
    help="HOST:PORT of a model server, where those that the rollout began with have moved; name "
    "every one.",
)
_PATIENCE = click.option(
    "--patience-seconds",
    "patience",
    type=click.FloatRange(min=0, max=86_400),
    default=300.0,
    show_default=True,
    help="Go on trying for so long while the database fails.",
)
_POLL = click.option(
    "--poll-seconds",
    type=click.FloatRange(min=0.1, max=3600),
    default=5.0,
    show_default=True,
    help="Pause between two looks.",
)
ROLLED_BACK_EXIT_CODE = 3
_LARGEST = 2**63 - 1


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    from serving.rollout.errors import RolloutError
    from serving.storage import StorageError

    try:
        yield
    except (RolloutError, StorageError) as error:
        raise UserError(str(error)) from None


@contextlib.contextmanager
def _opened(url: str, *, existing: bool = True) -> Iterator[Any]:
    with _one_line(), opened(url, existing=existing) as store:
        yield store


@click.group(context_settings=HELP)
def rollout() -> None:
    """Bring a new version to all requests, a share at a time, or back.

    The gateway sends a share of the requests to the candidate; every look compares error rate,
    latency and feedback of both versions with a sequential test, which may be looked at at any
    time. A candidate that is worse is rolled back, one that is shown to be no worse is promoted.
    A rollout that was interrupted goes on with `loomline rollout watch`.
    """


@rollout.command()
@click.argument("candidate")
@_MODEL
@_STORE
@_SERVERS
@_CONFIG_FILE
@_BASE_PATH
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting of the comparison; see `loomline rollout settings`. May be given again.",
)
@click.option("--watch/--no-watch", default=True, show_default=True, help="Drive it to its end.")
@_POLL
@_PATIENCE
def start(
    candidate: str,
    model: str,
    url: str,
    servers: tuple[str, ...],
    model_config_file: str | None,
    base_path: str,
    overrides: tuple[str, ...],
    watch: bool,
    poll_seconds: float,
    patience: float,
) -> None:
    """Begin to roll out CANDIDATE: a version in the base path, or a version's folder to publish.

    Exit codes: 0 promoted, 2 something to mend (the rollout goes on with `watch`), 3 rolled back.
    """
    from serving.rollout import controller

    version, source = _candidate(candidate)
    settings = _settings(servers, model_config_file, base_path, source, overrides)
    # The first rollout may come before the first request.
    with _opened(url, existing=False) as store:
        begun = controller.start(store, model, version, settings)
        stable = begun.stable_version
        click.echo(f"rollout {begun.id}: version {version} of {model} beside version {stable}")
        _tell_spread(store, begun)
        if watch:
            _drive(controller.Controller(store, begun), poll_seconds, patience)


def _tell_spread(store: Any, begun: Any) -> None:
    """Says so where few keys hold all traffic: some of them may see the candidate too often."""
    from serving.rollout import controller

    keys, spread = controller.usable_keys(store), begun.settings["spread"]
    share = min(begun.settings["steps"])
    if keys and spread == "request":
        click.echo(
            f"  {share:.0%} of {keys} API keys may be none: requests are spread one by one, and "
            "those with an X-Session-ID by session (spread=key keeps keys together)"
        )
    elif keys and spread == "key":
        missed = (1 - share) ** keys
        click.echo(
            f"  API keys keep their version: of {keys}, about {keys * share:.1f} see the candidate "
            f"first; with a probability of {missed:.0%} none does (spread=request spreads all)"
        )


def _candidate(text: str) -> tuple[int, str | None]:
    """Its version, and the folder to publish it from."""
    from pathlib import Path

    if text.isascii() and text.isdecimal() and int(text) <= _LARGEST:
        return int(text), None
    folder = Path(text).resolve()
    if not folder.name.isdecimal() or not (folder / "saved_model.pb").is_file():
        raise UserError(
            f"expected a version, or the folder of one such as models/text/7. Received: {text}"
        )
    return int(folder.name), str(folder)


def _settings(
    servers: tuple[str, ...],
    config_file: str | None,
    base_path: str,
    source: str | None,
    overrides: tuple[str, ...],
) -> Any:
    from pathlib import Path

    import yaml
    from pydantic import ValidationError

    from serving.rollout.settings import RolloutSettings
    from serving.storage import is_remote

    place = base_path if is_remote(base_path) else str(Path(base_path).resolve())
    values: dict[str, Any] = {
        "servers": servers,
        "base_path": place,
        "source": source,
        "model_config_file": config_file and str(Path(config_file).resolve()),
    }
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or key in values:
            raise UserError(f"expected --set KEY=VALUE of a setting. Received: {override}")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"expected a value for {key}. Received: {value}") from None
    try:
        return RolloutSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(name for name in RolloutSettings.model_fields if name not in values)
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {first['msg']}. Settings: {known}") from None


def _drive(driver: Any, poll_seconds: float, patience: float) -> None:
    """Advances a rollout to its end, a line for all that changes, and sums it up."""
    from serving.rollout.controller import PROMOTED

    said = ""
    try:
        for line in driver.drive(poll_seconds, patience):
            if line != said:
                click.echo(f"  {line}")
                said = line
    except KeyboardInterrupt:
        click.echo("\nstopped; the rollout stays as it is. Go on with: loomline rollout watch")
        sys.exit(130)
    ended = driver.rollout
    for figure in ended.details.get("figures", []):
        click.echo(f"    {figure}")
    if ended.state != PROMOTED:
        click.echo(f"rolled back: {ended.details.get('reason', '')}")
        sys.exit(ROLLED_BACK_EXIT_CODE)
    click.echo(f"promoted: version {ended.candidate_version} of {ended.model} is stable")


def _active(store: Any, model: str) -> Any:
    found = store.rollouts.active(model)
    if found is None:
        raise UserError(f"expected an active rollout of {model}. Received: none")
    return found


@rollout.command()
@_MODEL
@_STORE
@_MOVED
@_POLL
@_PATIENCE
def watch(
    model: str, url: str, servers: tuple[str, ...], poll_seconds: float, patience: float
) -> None:
    """Drive the active rollout to its end; Ctrl-C leaves it as it is."""
    from serving.rollout.controller import Controller

    with _opened(url) as store:
        driver = Controller(store, _active(store, model), servers=servers)
        _drive(driver, poll_seconds, patience)


@rollout.command()
@_MODEL
@_STORE
def status(model: str, url: str) -> None:
    """Show the newest rollout: its state, the figures of both versions, its history."""
    from serving.rollout.controller import CANARY, Controller

    with _opened(url) as store:
        latest = store.rollouts.list(model, limit=1)
        if not latest:
            raise UserError(f"expected a rollout of {model}. Received: none")
        shown = latest[0]
        click.echo(
            f"rollout {shown.id} of {model}: version {shown.candidate_version} against "
            f"{shown.stable_version}, {shown.state}, share {shown.share:.0%}"
        )
        if shown.state == CANARY:
            judgement, lines = Controller(store, shown).judgement()
            for line in lines:
                click.echo(f"  {line}")
            click.echo(f"  {judgement.action}: {judgement.reason}")
        for event in store.rollouts.events(shown.id):
            reason = event.details.get("reason", "")
            click.echo(f"  {event.created:%Y-%m-%d %H:%M:%S} {event.event} {reason}".rstrip())


@rollout.command()
@_MODEL
@_STORE
@_MOVED
@_PATIENCE
@click.option("--reason", default="by hand", show_default=True, help="Kept in the history.")
def promote(model: str, url: str, servers: tuple[str, ...], patience: float, reason: str) -> None:
    """Make the candidate the stable version now."""
    from serving.rollout.controller import Controller

    with _opened(url) as store:
        driver = Controller(store, _active(store, model), servers=servers)
        driver.promote(reason)
        _drive(driver, 1.0, patience)


@rollout.command()
@_MODEL
@_STORE
@_MOVED
@_PATIENCE
@click.option("--reason", default="by hand", show_default=True, help="Kept in the history.")
@click.option(
    "--abandon", is_flag=True, help="Close the record only; for servers that are gone for good."
)
def rollback(
    model: str, url: str, servers: tuple[str, ...], patience: float, reason: str, abandon: bool
) -> None:
    """Give all requests back to the stable version, during a rollout or after a promotion."""
    from serving.rollout import controller
    from serving.rollout.controller import Controller, go_back

    with _opened(url) as store:
        found = store.rollouts.active(model)
        if abandon:
            controller.abandon(store, _active(store, model), reason)
            click.echo("abandoned; the servers stay as they are")
            return
        if found is None:
            driver = Controller(store, go_back(store, model, reason), servers=servers)
        else:
            driver = Controller(store, found, servers=servers)
            if found.state != "rolling_back":
                driver.roll_back(reason)
        for line in driver.drive(1.0, patience):
            click.echo(f"  {line}")
        click.echo(f"rolled back to version {driver.rollout.stable_version}")


@rollout.command()
@_MODEL
@_SERVERS
@_CONFIG_FILE
@_BASE_PATH
def pin(
    model: str, servers: tuple[str, ...], model_config_file: str | None, base_path: str
) -> None:
    """Have servers stay with the version that they serve, so that new ones wait for a rollout."""
    from serving.rollout import controller

    settings = _settings(servers, model_config_file, base_path, None, ())
    with _one_line():
        version = controller.pin(model, settings)
    click.echo(f"version {version} of {model} stays until a rollout changes it")


@rollout.command("list")
@_MODEL
@_STORE
def list_command(model: str, url: str) -> None:
    """Show past rollouts, newest first."""
    with _opened(url) as store:
        for one in store.rollouts.list(model):
            reason = one.details.get("reason", "")
            versions = f"{one.stable_version} -> {one.candidate_version}"
            click.echo(f"{one.created:%Y-%m-%d %H:%M}  {versions:<12} {one.state:<12} {reason}")


@rollout.command()
def settings() -> None:
    """Show every setting of a rollout, its default and its meaning."""
    from serving.rollout.settings import RolloutSettings

    for name, field in RolloutSettings.model_fields.items():
        if not field.is_required():
            click.echo(f"{name}: {field.default!r}\n    # {field.description}")

"""`loomline keys` and `loomline purge`: who may ask, and how long answers are kept."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from serving.commands import HELP, UserError, print_table

if TYPE_CHECKING:
    from serving.store import Store

STORE = click.option(
    "--store",
    "url",
    default="sqlite:///runs/text/store.sqlite",
    show_default=True,
    help="URL of the gateway's store: sqlite:///PATH or postgresql+psycopg://...",
)


def opened(url: str, *, existing: bool = False) -> contextlib.AbstractContextManager[Store]:
    """The open store of a command: what it refuses ends in one line. See `serving.store.opened`."""
    from serving.store import opened

    return opened(url, existing=existing, refused=UserError)


@click.group(context_settings=HELP)
def keys() -> None:
    """Make, list and revoke API keys of the gateway.

    A gateway asks for them when it is started with --auth=keys.
    """


@keys.command()
@click.argument("name")
@STORE
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Until it expires.")
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="Its limit.")
@click.option("--tokens-per-day", type=click.IntRange(min=1), help="Its quota of new tokens.")
@click.option("--admin", is_flag=True, help="It may manage keys and see everybody's requests.")
def create(
    name: str,
    url: str,
    days: float | None,
    requests_per_minute: int | None,
    tokens_per_day: int | None,
    admin: bool,
) -> None:
    """Make a key called NAME and print its secret, which is not kept."""
    try:
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    except (OverflowError, ValueError):
        raise UserError(f"expected fewer days. Received: {days:g}") from None
    with opened(url) as store:
        key, secret = store.keys.create(
            name,
            expires=expires,
            requests_per_minute=requests_per_minute,
            tokens_per_day=tokens_per_day,
            admin=admin,
        )
    click.echo(secret)
    click.echo(f"key {key.id}; the secret above is shown this once", err=True)


@keys.command("list")
@STORE
def list_command(url: str) -> None:
    """Show all keys, without their secrets."""
    now = datetime.now(UTC)
    rows = []
    with opened(url, existing=True) as store:
        for key in store.keys.list():
            limits = [str(one or "any") for one in (key.requests_per_minute, key.tokens_per_day)]
            state = key.problem(now) or ("admin" if key.admin else "good")
            rows.append([key.id, key.name, key.prefix, f"{key.created:%Y-%m-%d}", *limits, state])
    print_table(("id", "name", "begins", "made", "a minute", "tokens a day", "state"), rows)


@keys.command()
@click.argument("key_id")
@STORE
def revoke(key_id: str, url: str) -> None:
    """Revoke the key of the id KEY_ID for good; gateways notice within seconds."""
    with opened(url, existing=True) as store:
        if not store.keys.revoke(key_id):
            raise UserError(f"expected the id of a key (loomline keys list). Received: {key_id}")
    click.echo(f"revoked {key_id}")


@click.command(context_settings=HELP)
@STORE
@click.option(
    "--days", type=click.FloatRange(min=0), required=True, help="Keep what is younger than this."
)
@click.option("--with-feedback", is_flag=True, help="Delete requests with feedback, too.")
def purge(url: str, days: float, with_feedback: bool) -> None:
    """Delete old requests, their answers and the usage of keys from the store."""
    try:
        before = datetime.now(UTC) - timedelta(days=days)
    except (OverflowError, ValueError):
        raise UserError(f"expected fewer days. Received: {days:g}") from None
    with opened(url, existing=True) as store:
        counts = store.purge(older_than=before, keep_feedback=not with_feedback)
    click.echo("deleted " + ", ".join(f"{count} {name}" for name, count in counts.items()))

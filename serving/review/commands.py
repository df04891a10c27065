"""`loomline reviewers`: whose approval counts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from serving.commands import HELP, UserError, print_table

_PATH = click.Path(dir_okay=False, path_type=Path)
APPROVERS = click.option(
    "--approvers",
    type=_PATH,
    default=Path("approvers.json"),
    show_default=True,
    help="The file of reviewers, which push.approvers names.",
)
KEY = click.option(
    "--key",
    "key_path",
    type=_PATH,
    help="The reviewer's private key.  [default: $LOOMLINE_REVIEW_KEY or "
    "~/.config/loomline/reviewer.key]",
)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Ends with one line and exit code 2 where a key, a file or the store refuses."""
    from serving.review.errors import ReviewError
    from serving.store.errors import StoreError

    try:
        yield
    except (ReviewError, StoreError) as error:
        raise UserError(str(error)) from None


@click.group(context_settings=HELP)
def reviewers() -> None:
    """Add, list and revoke the people whose approval counts.

    Their public keys stand in a file that belongs into version control, so that who may approve is
    itself reviewed. Private keys stay with their owners.
    """


@reviewers.command()
@click.argument("name")
@APPROVERS
@KEY
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Until the key expires.")
def add(name: str, approvers: Path, key_path: Path | None, days: float | None) -> None:
    """List NAME as a reviewer, with the key there is, or else a new one."""
    from serving.review import reviewers as listed
    from serving.review.signing import default_key_path, load_key, make_key, public_bytes

    path = key_path or default_key_path()
    with one_line():
        try:
            expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        except OverflowError:
            raise UserError(f"expected fewer days. Received: {days:g}") from None
        new = not path.exists()
        listed.read(approvers)
        key = make_key(path) if new else load_key(path)
        reviewer = listed.add(approvers, name, public_bytes(key), expires)
    click.echo(f"{name} may approve, with the key {reviewer.key_id} in {approvers}")
    if new:
        click.echo(f"the new private key is {path}; whoever has it approves as {name}", err=True)


@reviewers.command("list")
@APPROVERS
def list_command(approvers: Path) -> None:
    """Show who may approve."""
    from serving.review.reviewers import read

    with one_line():
        now = datetime.now(UTC)
        rows = [
            [one.key_id, one.name, one.added[:10], (one.expires or "never")[:10], one.state(now)]
            for one in read(approvers)
        ]
    print_table(("key", "name", "added", "expires", "state"), rows)


@reviewers.command()
@click.argument("key_id")
@APPROVERS
def revoke(key_id: str, approvers: Path) -> None:
    """Make the key KEY_ID count for nothing, also where it has signed already."""
    from serving.review import reviewers as listed

    with one_line():
        reviewer = listed.revoke(approvers, key_id)
    click.echo(f"revoked {reviewer.name}'s key {key_id}")

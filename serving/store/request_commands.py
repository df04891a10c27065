"""`loomline requests`: the serving log as a file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click

from serving.commands import HELP, UserError
from serving.store.commands import STORE, opened

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A time as ISO 8601; without a zone it is UTC."""

    name = "time"

    def convert(self, value: object, _: object, __: object) -> datetime:
        """Reads it."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            raise UserError(
                f"expected a time such as 2026-11-28T12:00. Received: {value!r}"
            ) from None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@click.group(context_settings=HELP)
def requests() -> None:
    """Hand the serving log on."""


@requests.command()
@STORE
@click.option("--model", default="text", show_default=True, help="Of this model.")
@click.option("--since", type=Moment(), help="From this time on (UTC).  [default: from the first]")
@click.option("--until", type=Moment(), help="Before this time (UTC).  [default: now]")
@click.option(
    "--to",
    "destination",
    type=click.Path(path_type=Path),
    help="File to write.  [default: standard output]",
)
def export(
    url: str,
    model: str,
    since: datetime | None,
    until: datetime | None,
    destination: Path | None,
) -> None:
    """Write requests and feedback, a line of JSON each, as `loomline monitor --log` reads them."""
    from serving.store.log_file import line

    start, end = since or _EARLIEST, until or datetime.now(UTC)
    count = 0
    with opened(url, existing=True) as store, _writing(destination) as stream:
        for source in (store.requests.between, store.feedback.between):
            for record in source(model, start, end):
                stream.write(line(record) + "\n")
                count += 1
    click.echo(f"wrote {count:,} records", err=True)


@contextlib.contextmanager
def _writing(destination: Path | None) -> Iterator[TextIO]:
    if destination is None:
        yield sys.stdout
        return
    try:
        with destination.open("w", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        raise UserError(
            f"expected a file that can be written at {destination}. Received: {error.strerror}"
        ) from None

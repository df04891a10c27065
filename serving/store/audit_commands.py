"""`loomline audit`: who did what to which model, and whether the log is what was written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.commands import HELP, UserError, print_table
from serving.store.commands import STORE, opened

if TYPE_CHECKING:
    from serving.store import AuditEntry


@click.group(context_settings=HELP)
def audit() -> None:
    """Read and verify the append-only log of approvals and pushes."""


@audit.command("list")
@STORE
@click.option("--subject", help="Of this MODEL/RUN only.")
def list_command(url: str, subject: str | None) -> None:
    """Show the entries, oldest first."""
    with opened(url, existing=True) as store:
        rows = [_row(entry) for entry in store.audit.entries(subject=subject)]
    print_table(("id", "time", "actor", "event", "subject", "details"), rows)


def _row(entry: AuditEntry) -> list[str]:
    content = entry.read()
    details = content.get("details") or {}
    shown = ", ".join(
        f"{name}: {_short(value)}" for name, value in sorted(details.items()) if value
    )
    words = [str(content.get(name, "?")) for name in ("actor", "event", "subject")]
    time = str(content.get("time", "?"))[:19].replace("T", " ")
    return [str(entry.id), time, *(_line(word) for word in words), _line(shown)]


def _short(value: object) -> str:
    """Of a digest the beginning is enough to tell it from another."""
    text = str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


def _line(text: str) -> str:
    """Without what could move the cursor of whoever reads it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


@audit.command()
@STORE
@click.option(
    "--to",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write, a line of JSON for each entry.",
)
def export(url: str, path: Path) -> None:
    """Write all entries to a file, to be kept where the store's owner cannot change it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with opened(url, existing=True) as store, partial.open("w", encoding="utf-8") as stream:
            for entry in store.audit.entries():
                line = {
                    "id": entry.id,
                    "content": entry.content,
                    "previous": entry.previous,
                    "digest": entry.digest,
                }
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"expected to write {path}. Received: {error.strerror}") from None
    click.echo(f"{path}: {count} entries")


@audit.command()
@STORE
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Verify an exported file instead of the store.",
)
@click.option(
    "--models",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Also hold the log against the approvals of the versions in this folder of models, each "
    "of which keeps the digest that the log had then.",
)
@click.option(
    "--against",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also hold the log against this file, exported earlier and kept elsewhere.",
)
def verify(url: str, path: Path | None, models: Path | None, against: Path | None) -> None:
    """Check that no entry was changed, left out or added in between.

    That entries at the end were cut off, or the whole log was written anew, shows against what is
    kept elsewhere: with --against an exported file, with --models the signed approvals.
    """
    from serving.store import TamperedError
    from serving.store.audit import checked, read_export
    from serving.store.errors import StoreError

    kept = list(_kept(models)) if models else []
    approvals = len(kept)
    digests: dict[int, str] = {}
    count, newest = 0, ""

    def watch(entries: Iterator[AuditEntry]) -> None:
        nonlocal count, newest
        for entry in checked(entries):
            count, newest = entry.id, entry.digest
            if entry.id in wanted:
                digests[entry.id] = entry.digest

    try:
        if against is not None:
            kept += [(one.id, one.digest, against) for one in checked(read_export(against))]
        wanted = {number for number, _, _ in kept}
        if path is not None:
            watch(read_export(path))
        else:
            with opened(url, existing=True) as store:
                watch(store.audit.entries())
        for number, digest, where in kept:
            if digests.get(number) != digest:
                found = digests.get(number, "none")[:12]
                raise TamperedError(
                    f"expected entry {number} of the audit log to be {digest[:12]}, as "
                    f"{where} says. Received: {found}; the log was cut off or written anew"
                )
    except StoreError as error:
        raise UserError(str(error)) from None
    held = [f"{approvals} approvals"] if models else []
    held += [f"{len(kept) - approvals} exported entries"] if against else []
    told = f", and hold against {' and '.join(held)}" if held else ""
    click.echo(f"{count} entries, unbroken{told}; the newest is {newest[:12] or 'none'}")


def _kept(models: Path) -> Iterator[tuple[int, str, Path]]:
    """Entries that approvals keep: id, digest, and where that stands."""
    from serving.review.signing import predicate_of

    for path in sorted(models.glob("*/*/loomline/approval.json")):
        entry = predicate_of(path.read_text("utf-8", "replace")).get("audit_log")
        if isinstance(entry, dict):
            yield int(entry.get("id", 0)), str(entry.get("digest")), path

"""`loomline outputs`: what a model answered, to be told from what people wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.commands import HELP, UserError
from serving.store.commands import STORE, opened

if TYPE_CHECKING:
    from serving.store import RequestRecord, Store

_PAGE = 1000


@click.command(context_settings=HELP)
@STORE
@click.option("--model", default="text", show_default=True, help="Of this model only.")
@click.option(
    "--to",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write, a line of JSON for each answer.",
)
def outputs(url: str, model: str, path: Path) -> None:
    """Write the texts that the gateway recorded, for `validate.known_outputs`.

    A line has prompt, text, provenance (model:NAME:VERSION) and created. What the gateway masked or
    did not keep cannot be told.
    """
    partial, count = path.with_name(f".{path.name}.{os.getpid()}"), 0
    try:
        with opened(url, existing=True) as store, partial.open("w", encoding="utf-8") as stream:
            for line in _lines(store, model):
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
        partial.replace(path)
    except OSError as error:
        raise UserError(f"expected to write {path}. Received: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"{path}: {count} outputs")


def _lines(store: Store, model: str) -> Iterator[dict[str, str]]:
    """The answers that are texts, newest first, a page in memory at a time."""
    last: str | None = None
    while True:
        page = store.requests.recent(_PAGE, model=model, before=last)
        for record in page:
            text = (record.outputs or {}).get("text")
            if record.status == "ok" and isinstance(text, str) and text:
                yield _line(record, text)
        if len(page) < _PAGE:
            return
        last = page[-1].id


def _line(record: RequestRecord, text: str) -> dict[str, str]:
    prompt = record.inputs.get("prompt")
    return {
        "prompt": prompt if isinstance(prompt, str) else "",
        "text": text,
        "provenance": f"model:{record.model}:{record.version or 0}",
        "created": record.created.isoformat(),
    }

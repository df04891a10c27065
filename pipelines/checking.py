"""The command that runs a model under the TensorFlow versions of model servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from serving.commands import HELP

DIFFERS_EXIT_CODE = 3


@click.command(context_settings=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--tensorflow",
    "versions",
    multiple=True,
    metavar="VERSION",
    help="TensorFlow version to run under; may be given again.  [default: 2.19 and 2.20]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for serving_check.json.  [default: loomline/ in a SavedModel, or a run's model "
    "folder itself]",
)
def check(model: Path, versions: tuple[str, ...], output: Path | None) -> None:
    """Check that MODEL answers equally where TensorFlow Serving runs it.

    MODEL is a SavedModel, a pushed version, or the model folder of a run. Its warmup requests and
    fixed ones are answered by the TensorFlow that is installed here and, with XLA off, by older
    ones in environments of their own, which are made on first use (1.5 GB each). Texts and integers
    must be equal, floats up to the tolerance that is shown.

    Exit codes: 0 all answers are equal, 3 some are not, 2 something to mend (one line says what).
    """
    from components.serving_check.check import run
    from components.serving_check.environments import available_versions

    saved_model, written = _places(model, output)
    _import_quietly()
    content = run(saved_model, versions or available_versions(), written)
    _show(content)
    click.echo(f"written to {written / 'serving_check.json'}")
    equal = all(found["equal"] for found in content["versions"].values())
    sys.exit(0 if equal else DIFFERS_EXIT_CODE)


def _places(path: Path, output: Path | None) -> tuple[Path, Path]:
    """The SavedModel, and the folder to write to; both exist."""
    from components.artifacts import PROVENANCE_FOLDER, Model
    from components.errors import ConfigError, ModelError

    places = ((path, path / PROVENANCE_FOLDER), (Model(path).saved_model, path))
    found = [place for place in places if (place[0] / "saved_model.pb").is_file()]
    if not found:
        raise ModelError(
            f"expected a SavedModel, a pushed version or a run's model folder at {path}. Received: "
            f"{'no saved_model.pb there' if path.is_dir() else 'no such folder'}"
        )
    saved_model, written = found[0][0], output or found[0][1]
    try:
        written.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"expected a folder for --output. Received: {error}") from None
    return saved_model, written


def _import_quietly() -> None:
    """Imports TensorFlow without the lines that it prints before its log level counts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _show(content: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    headers = ("TensorFlow", "signature", "requests", "largest difference", "verdict", "seconds")
    table = Table(*headers, box=None, padding=(0, 2, 0, 0))
    for column in table.columns[2:4] + table.columns[5:]:
        column.justify = "right"
    notes = []
    for version, found in content["versions"].items():
        for name, verdict in found["signatures"].items():
            colour = "green" if verdict["verdict"] == "equal" else "red"
            table.add_row(
                str(found["tensorflow"] or version),
                name,
                str(verdict["requests"]),
                f"{verdict['largest_difference']:.1e}",
                f"[{colour}]{verdict['verdict']}[/]",
                f"{verdict['seconds']:.2f}",
            )
            if verdict["reason"]:
                notes.append(f"{version} {name}: {verdict['reason']}")
    console.print(table)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    tolerance = content["tolerance"]
    console.print(
        f"compared with TensorFlow {content['current']}; floats may differ by "
        f"{tolerance['absolute']:g} and {tolerance['relative']:g} of their size",
        soft_wrap=True,
    )

"""`loomline sample`: rows of a served table model, as a file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from serving.commands import HELP, UserError

_SECONDS_BETWEEN_LINES = 0.5


@click.group(context_settings=HELP)
def sample() -> None:
    """Write what a served model generates into a file."""


@sample.command("table")
@click.option("--rows", type=click.IntRange(min=1), required=True, help="How many to write.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File, *.parquet or *.csv."
)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="What every row has, such as carrier=UA; an empty value is a missing one. May be given "
    "again.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="1 for what the model has learnt; lower for more usual rows.",
)
@click.option(
    "--seed",
    type=click.IntRange(-(2**63), 2**63 - 1),
    default=0,
    show_default=True,
    help="The same seed gives the same rows.",
)
@click.option(
    "--batch-rows",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Rows of one call to the server.",
)
@click.option(
    "--server",
    "address",
    default="127.0.0.1:8500",
    show_default=True,
    help="HOST:PORT of the model server.",
)
@click.option("--model", default="table", show_default=True, help="Name of the model there.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds that one call may take.",
)
def sample_table_command(
    rows: int,
    out: Path,
    conditions: tuple[str, ...],
    temperature: float,
    seed: int,
    batch_rows: int,
    address: str,
    model: str,
    timeout: float,
) -> None:
    """Write rows that a served table model generates, as many as you like.

    Types, missing values and precision are those of the table that the model has learnt. Rows
    stream to the file, so memory stays flat; the file appears when it is whole.
    """
    from serving.client import ClientError
    from serving.sampling import SamplingError, sample_table

    printed = time.monotonic()

    def progress(written: int, wanted: int) -> None:
        nonlocal printed
        if written < wanted and time.monotonic() - printed < _SECONDS_BETWEEN_LINES:
            return
        printed = time.monotonic()
        click.echo(f"progress: {written:,} of {wanted:,} rows", err=True)

    try:
        done = sample_table(
            address,
            model,
            rows,
            out,
            conditions=conditions,
            temperature=temperature,
            seed=seed,
            batch_rows=batch_rows,
            timeout=timeout,
            progress=progress,
        )
    except (ClientError, SamplingError) as error:
        raise UserError(str(error)) from None
    click.echo(
        f"{done.path}: {done.rows:,} rows, {done.bytes / 1e6:.1f} MB, by version {done.version}, "
        f"{done.rows / done.seconds:,.0f} rows a second"
    )


@sample.command("image")
@click.option("--label", "labels", multiple=True, help="Class to draw; may be given again.")
@click.option(
    "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Images of each."
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the PNG files."
)
@click.option(
    "--set",
    "parameters",
    multiple=True,
    metavar="NAME=NUMBER",
    help="A parameter of the model's family, such as guidance=3; may be given again.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Of the first image; then one more each."
)
@click.option(
    "--server",
    "address",
    default="127.0.0.1:8500",
    show_default=True,
    help="HOST:PORT of the model server.",
)
@click.option("--model", default="image", show_default=True, help="Name of the model there.")
def sample_images_command(
    labels: tuple[str, ...],
    count: int,
    out: Path,
    parameters: tuple[str, ...],
    seed: int,
    address: str,
    model: str,
) -> None:
    """Write images that a served model draws, as PNG files.

    Without a label each image's class is drawn from its seed.
    """
    from serving.client import ClientError
    from serving.sampling import SamplingError
    from serving.sampling.images import sample_images

    chosen: dict[str, float] = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        try:
            chosen[name] = float(value)
        except ValueError:
            raise UserError(f"--set expects NAME=NUMBER. Received: {parameter!r}") from None
    asked = [label for label in labels or ("",) for _ in range(count)]
    try:
        files = sample_images(address, model, asked, out, seed=seed, parameters=chosen)
    except (ClientError, SamplingError) as error:
        raise UserError(str(error)) from None
    click.echo(f"{out}: {len(files)} images, {files[0].name} to {files[-1].name}")

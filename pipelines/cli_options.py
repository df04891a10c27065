"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.argument("config", default="text")
PROFILE = click.option(
    "--profile",
    default="quick",
    show_default=True,
    help="Entry of the file's profiles: quick (2 CPU cores) or full (an accelerator).",
)
SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override one value of the configuration; may be given again. Example: "
    "--set train.layers=6",
)
OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for artifacts, cache, models and reports.  [default: runs/CONFIG]",
)
PIPELINE = click.option(
    "--pipeline",
    default="training",
    show_default=True,
    help="Which pipeline; `loomline compile --all` names them.",
)
HARDWARE = click.option(
    "--hardware",
    default="cpu",
    show_default=True,
    help="Where the steps run: cpu, gpu, tpu, workers, or the path of a YAML file.",
)
SPOT = click.option(
    "--spot", is_flag=True, help="Run the model's steps on nodes that may be taken away."
)
IMAGE = click.option(
    "--image",
    envvar="LOOMLINE_IMAGE",
    default="",
    help="Image of every step; NAME@sha256:... pins it.  [default: the hardware's; env: "
    "LOOMLINE_IMAGE]",
)
VOLUME = click.option(
    "--volume",
    envvar="LOOMLINE_VOLUME",
    default="",
    help="Where the steps see the cluster's volume.  [default: the hardware's, /loomline; env: "
    "LOOMLINE_VOLUME]",
)

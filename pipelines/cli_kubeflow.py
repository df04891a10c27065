"""`loomline compile` and `loomline submit`: pipelines for Kubeflow, and their runs there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.errors import ConfigError
from pipelines.cli_options import CONFIG, HARDWARE, IMAGE, PIPELINE, PROFILE, SET, SPOT
from serving.commands import HELP

if TYPE_CHECKING:
    from pipelines.compilation import Package


@click.command("compile", context_settings=HELP)
@CONFIG
@PROFILE
@SET
@PIPELINE
@HARDWARE
@SPOT
@IMAGE
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Every pipeline, for every configuration that ships with Loomline, into the folder --to.",
)
@click.option(
    "--to",
    "destination",
    type=click.Path(path_type=Path),
    help="YAML file to write.  [default: build/CONFIG-PROFILE.yaml; with --all the folder build]",
)
def compile_command(
    config: str,
    profile: str,
    overrides: tuple[str, ...],
    pipeline: str,
    hardware: str,
    spot: bool,
    image: str,
    everything: bool,
    destination: Path | None,
) -> None:
    """Compile pipelines to YAML for Kubeflow.

    The configuration's values become the defaults of the pipeline's parameters, each of which can
    be changed in the Kubeflow UI; so do those of the hardware that Kubeflow can change when a run
    starts. The same inputs give the same bytes, and the file carries their digest.
    """
    from pipelines.config import available_configs
    from pipelines.registry import PIPELINES

    if everything:
        folder = destination or Path("build")
        for name in available_configs():
            for kind in PIPELINES:
                target = folder / f"{kind}-{name}-{profile}-{hardware_name(hardware)}.yaml"
                _compile(name, profile, overrides, kind, hardware, spot, image, target)
        return
    target = destination or Path("build") / f"{Path(config).stem}-{profile}.yaml"
    _compile(config, profile, overrides, pipeline, hardware, spot, image, target)


def hardware_name(hardware: str) -> str:
    """What a profile of hardware is called in the name of a file."""
    return Path(hardware).stem


def _compile(
    config: str,
    profile: str,
    overrides: tuple[str, ...],
    pipeline: str,
    hardware: str,
    spot: bool,
    image: str,
    target: Path,
) -> Package:
    from pipelines.compilation import compile_config
    from pipelines.config import load_config
    from pipelines.hardware import load_hardware

    placed = load_hardware(hardware, spot)
    if image:
        placed = placed.model_copy(update={"image": image})
    if target.is_dir():
        raise ConfigError(f"--to expects the name of a file. Received: {target}, a folder")
    package = compile_config(
        load_config(config, profile, overrides), target, pipeline=pipeline, hardware=placed
    )
    named = f"{Path(config).stem}, {profile}, on {hardware_name(hardware)}"
    click.echo(f"compiled {package.name} {package.version} ({named}) to {target}")
    return package

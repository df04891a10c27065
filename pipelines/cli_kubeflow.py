"""`loomline compile`: pipelines for Kubeflow, as YAML."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.errors import ConfigError
from pipelines.cli_options import CONFIG, HARDWARE, IMAGE, PIPELINE, PROFILE, SET, SPOT, VOLUME
from serving.commands import HELP

if TYPE_CHECKING:
    from pipelines.compilation import Package


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What a person chose of what decides a compiled pipeline."""

    config: str
    profile: str
    pipeline: str
    hardware: str
    spot: bool
    image: str
    volume: str

    @property
    def label(self) -> str:
        """The choice in words that a file may be named for, such as text-quick."""
        return f"{Path(self.config).stem}-{self.profile}"

    def compile(self, overrides: tuple[str, ...], target: Path) -> Package:
        """Writes the compiled pipeline.

        Raises:
            ConfigError: a choice or an override is wrong, or the target is a folder.
        """
        from pipelines.compilation import compile_config
        from pipelines.config import load_config
        from pipelines.hardware import load_hardware

        hardware = load_hardware(self.hardware, self.spot, self.image, self.volume)
        if target.is_dir():
            raise ConfigError(f"--to expects the name of a file. Received: {target}, a folder")
        config = load_config(self.config, self.profile, overrides)
        return compile_config(
            config,
            target,
            pipeline=self.pipeline,
            hardware=hardware,
            name=self.config,
            profile=self.profile,
            overrides=overrides,
        )

    def tell(self, package: Package) -> None:
        """Says what was compiled."""
        named = f"{Path(self.config).stem}, {self.profile}, on {Path(self.hardware).stem}"
        click.echo(f"compiled {package.name} {package.version} ({named})")


@click.command("compile", context_settings=HELP)
@CONFIG
@PROFILE
@SET
@PIPELINE
@HARDWARE
@SPOT
@IMAGE
@VOLUME
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
    volume: str,
    everything: bool,
    destination: Path | None,
) -> None:
    """Compile pipelines to YAML for Kubeflow.

    The configuration's values become the defaults of the pipeline's parameters, each of which can
    be changed in the Kubeflow UI; so do those of the hardware that Kubeflow can change when a run
    starts. The same inputs give the same bytes, and the file carries their digest.
    """
    from pipelines import registry
    from pipelines.config import available_configs

    chosen = Chosen(config, profile, pipeline, hardware, spot, image, volume)
    if not everything:
        target = destination or Path("build") / f"{chosen.label}.yaml"
        chosen.tell(chosen.compile(overrides, target))
        click.echo(f"to {target}")
        return
    folder = destination or Path("build")
    for name in available_configs():
        for kind in registry.PIPELINES:
            one = dataclasses.replace(chosen, config=name, pipeline=kind)
            target = folder / f"{kind}-{one.label}-{Path(hardware).stem}.yaml"
            one.tell(one.compile(overrides, target))
            click.echo(f"to {target}")

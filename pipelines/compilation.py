"""Compiles the pipelines to the YAML that Kubeflow Pipelines runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.image import IMAGE
from pipelines.config import Config
from pipelines.parameters import RUN_DEFAULTS


def compile_training(config: Config, destination: Path, image: str = IMAGE) -> None:
    """Writes the compiled pipeline, whose parameters default to the configuration's values.

    Args:
        config: where the defaults come from.
        destination: the YAML file to write.
        image: the image of every step; a digest ('name@sha256:...') pins it.
    """
    from pipelines.training import training

    parameters = {**config.parameters(), **RUN_DEFAULTS}
    _compile(training(config.kind), parameters, destination, image)


def compile_monitoring(
    config: Config,
    name: str,
    profile: str,
    overrides: Sequence[str],
    destination: Path,
    image: str = IMAGE,
) -> None:
    """Writes the compiled monitoring pipeline, for a recurring run.

    Args:
        config: where the defaults come from.
        name, profile, overrides: what a retraining loads, inside the image.
        destination: the YAML file to write.
        image: the image of every step, those of a retraining included.
    """
    from pipelines.monitoring.parameters import on_cluster
    from pipelines.monitoring.pipeline import monitoring

    parameters = on_cluster(config, name, profile, overrides, "" if image == IMAGE else image)
    _compile(monitoring(config.kind), parameters, destination, image)


def _compile(pipeline: Any, parameters: dict[str, Any], destination: Path, image: str) -> None:
    from kfp import compiler

    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{os.getpid()}.{destination.name}")
    compiler.Compiler().compile(pipeline, str(partial), pipeline_parameters=parameters)
    text = partial.read_text("utf-8")
    if image != IMAGE:
        partial.write_text(text.replace(f"image: {IMAGE}", f"image: {image}"), "utf-8")
    partial.replace(destination)

"""Compiles the training pipeline to the YAML that Kubeflow Pipelines runs."""

from __future__ import annotations

import os
from pathlib import Path

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
    from kfp import compiler

    from pipelines.training import training

    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{os.getpid()}.{destination.name}")
    parameters = {**config.parameters(), **RUN_DEFAULTS}
    pipeline = training(config.kind)
    compiler.Compiler().compile(pipeline, str(partial), pipeline_parameters=parameters)
    text = partial.read_text("utf-8")
    if image != IMAGE:
        partial.write_text(text.replace(f"image: {IMAGE}", f"image: {image}"), "utf-8")
    partial.replace(destination)

"""The pipelines that can be compiled and submitted, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from components.errors import ConfigError
from pipelines.config import Config
from pipelines.hardware import Hardware
from pipelines.parameters import RUN_DEFAULTS


@dataclasses.dataclass(frozen=True)
class Definition:
    """A pipeline that is ready to be compiled.

    Attributes:
        pipeline: a function decorated with `dsl.pipeline`.
        parameters: the values that its parameters default to, all of them.
    """

    pipeline: Any
    parameters: dict[str, Any]


def _training(config: Config, hardware: Hardware) -> Definition:
    # Imported here: loading a pipeline loads kfp.
    from pipelines.training import cluster_defaults, training

    parameters = {**config.parameters(), **RUN_DEFAULTS, **cluster_defaults(hardware)}
    if hardware.volume:
        mount = hardware.volume.mount
        parameters["checkpoints"] = f"{mount}/checkpoints"
        parameters["push_base_path"] = parameters["push_base_path"] or f"{mount}/models"
    return Definition(training(config.kind, hardware), parameters)


# Another pipeline is one line here: compile, submit and CI take it from there.
PIPELINES: Mapping[str, Callable[[Config, Hardware], Definition]] = {"training": _training}


def definition_of(name: str, config: Config, hardware: Hardware) -> Definition:
    """The pipeline of that name for a configuration and hardware.

    Raises:
        ConfigError: there is none.
    """
    if name not in PIPELINES:
        raise ConfigError(f"no pipeline {name!r}: expected one of {', '.join(PIPELINES)}")
    return PIPELINES[name](config, hardware)

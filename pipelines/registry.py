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


@dataclasses.dataclass(frozen=True)
class Use:
    """What a pipeline is compiled for.

    Attributes:
        config: the configuration, whose values its parameters default to.
        hardware: where its steps run.
        name, profile, overrides: what the configuration was loaded from, for a pipeline that
            loads it again on the cluster; see `load_config`.
    """

    config: Config
    hardware: Hardware
    name: str = ""
    profile: str = "quick"
    overrides: tuple[str, ...] = ()


def _training(use: Use) -> Definition:
    # Imported here: loading a pipeline loads kfp.
    from pipelines.training import FOUND_OUT, cluster_defaults, training

    config, hardware = use.config, use.hardware
    parameters = {**config.parameters(), **RUN_DEFAULTS, **cluster_defaults(hardware)}
    for name in FOUND_OUT:
        del parameters[name]
    if hardware.volume:
        mount = hardware.volume.mount
        parameters["checkpoints"] = f"{mount}/checkpoints"
        for name in ("push_base_path", "push_waiting"):
            parameters[name] = parameters[name] or f"{mount}/models"
    return Definition(training(config.kind, hardware), parameters)


def _monitoring(use: Use) -> Definition:
    from pipelines.hardware.placing import defaults
    from pipelines.monitoring.parameters import on_cluster
    from pipelines.monitoring.pipeline import monitoring

    hardware = use.hardware
    nodes = hardware.model_dump(mode="json", exclude_none=True)
    parameters = {
        **on_cluster(use.config, use.name, use.profile, use.overrides, nodes),
        **defaults(hardware),
    }
    if hardware.volume:
        mount = hardware.volume.mount
        parameters["models"] = parameters["models"] or f"{mount}/models"
        parameters["training_output"] = f"{mount}/records"
    return Definition(monitoring(use.config.kind, hardware), parameters)


# Another pipeline is one line here: compile, submit and CI take it from there.
PIPELINES: Mapping[str, Callable[[Use], Definition]] = {
    "training": _training,
    "monitoring": _monitoring,
}


def definition_of(name: str, use: Use) -> Definition:
    """The pipeline of that name, for what it is compiled for.

    Raises:
        ConfigError: there is none.
    """
    if name not in PIPELINES:
        raise ConfigError(f"no pipeline {name!r}: expected one of {', '.join(PIPELINES)}")
    return PIPELINES[name](use)

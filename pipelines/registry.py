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
    _check_workers(config, hardware)
    parameters = {**config.parameters(), **RUN_DEFAULTS, **cluster_defaults(hardware)}
    for name in FOUND_OUT:
        del parameters[name]
    if hardware.workers:
        # What is learnt does not depend on it.
        parameters["train_distribution"] = "multi_worker"
    if hardware.volume:
        mount = hardware.volume.mount
        parameters["checkpoints"] = f"{mount}/checkpoints"
        for name in ("push_base_path", "push_waiting"):
            parameters[name] = parameters[name] or f"{mount}/models"
    return Definition(training(config.kind, hardware), parameters)


def _check_workers(config: Config, hardware: Hardware) -> None:
    """Raises ConfigError where the configuration and the hardware differ about who trains."""
    chosen = getattr(config.train, "distribution", None)
    if hardware.workers is None:
        if chosen == "multi_worker":
            raise ConfigError(
                "train.distribution=multi_worker expects a profile of hardware with workers, such "
                "as --hardware workers. Received: one without"
            )
        return
    if chosen is None:
        raise ConfigError(
            f"workers in the profile of hardware train text only. Received: {config.modality}, "
            "whose families are trained by one process: take a profile without workers"
        )
    if chosen not in ("single", "multi_worker"):
        raise ConfigError(
            "train.distribution: expected multi_worker where the profile of hardware has workers. "
            f"Received: {chosen}"
        )
    batch = int(getattr(config.train, "batch_size", 0))
    if batch % hardware.replicas:
        raise ConfigError(
            f"train.batch_size: expected a multiple of the {hardware.replicas} devices that share "
            f"it. Received: {batch}"
        )


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

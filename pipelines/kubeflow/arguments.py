"""The arguments of a run on a cluster: what a person overrides, and what keeps its cache honest."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from components.artifacts import digest_files
from components.errors import ConfigError, DataError
from components.validate.suite import suite_path
from pipelines.compilation import Package
from pipelines.config import Config
from pipelines.digests import code_digest, files_of, inputs_fingerprint
from pipelines.provenance import provenance_of

# Of a pipeline that may start another by the same configuration: the overrides of that one.
_HANDED_ON = "training_set"


def overridden(package: Package, config: Config, overrides: Iterable[str]) -> dict[str, Any]:
    """The parameters that --set names, as the configuration has them."""
    overrides = list(overrides)
    if _HANDED_ON in package.parameters:
        return _of_monitoring(config, overrides) if overrides else {}
    parameters = config.parameters()
    # `gate.policy` is a file of rules, which have taken the rules' place.
    keys = [item.partition("=")[0].strip() for item in overrides]
    named = ["_".join(key.replace("gate.policy", "gate.rules").split(".")[:2]) for key in keys]
    return {name: parameters[name] for name in named if name in parameters}


def _of_monitoring(config: Config, overrides: list[str]) -> dict[str, Any]:
    from pipelines.monitoring.parameters import chosen

    models = {"models": config.push.base_path} if config.push.base_path else {}
    return {**chosen(config), **models, _HANDED_ON: overrides}


def parsed(items: Iterable[str]) -> dict[str, Any]:
    """Parameters as a person writes them: NAME=VALUE, the value in YAML.

    Raises:
        ConfigError: an item is of another form.
    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--param expects NAME=VALUE. Received: {item!r}")
        try:
            found[name.strip()] = yaml.safe_load(value) if value.strip() else ""
        except yaml.YAMLError:
            raise ConfigError(f"--param {name}: the value is not YAML. Received: {value!r}") \
                from None  # fmt: skip
    return found


def as_declared(package: Package, arguments: dict[str, Any]) -> dict[str, Any]:
    """Values that YAML read as numbers, where the pipeline wants texts, such as a year."""
    kinds = {name: spec.get("parameterType") for name, spec in package.parameters.items()}
    return {
        name: str(value)
        if kinds.get(name) == "STRING" and isinstance(value, int | float)
        else value
        for name, value in arguments.items()
    }


def of_this_run(package: Package, config: Config, run: str, records: str) -> dict[str, Any]:
    """What tells a run apart: digests, so that no cache hides a change, and where its records go.

    Data that this machine cannot read have a digest that is never the same, and are read anew.

    Args:
        package: the compiled pipeline; what it has no parameter for is left out.
        config: the configuration with its overrides.
        run: the run's name.
        records: the folder of all runs' records on the cluster; empty for none.

    Raises:
        ConfigError: there is no such kind of source, or no such suite.
    """
    try:
        source = config.kind.snapshot_digest(config.source)
    except (DataError, OSError):
        source = _never_the_same()
    prompts = Path(config.drift.prompts) if config.drift.prompts else None
    asked = "" if prompts is None else _never_the_same()
    if prompts is not None and prompts.is_file():
        asked = digest_files(prompts)
    code = _code_digest(config)
    fingerprint = inputs_fingerprint(config, source, code)
    values: dict[str, Any] = {
        "source_digest": source,
        "prompts_digest": asked,
        "code_digest": code,
        "records": f"{records.rstrip('/')}/{run}" if records else "",
        "provenance": provenance_of(config, run, source, code, fingerprint, ""),
    }
    return {name: value for name, value in values.items() if name in package.parameters}


def _never_the_same() -> str:
    return f"unknown-{uuid.uuid4().hex}"


def _code_digest(config: Config) -> str:
    """The digest of the code, to which the files that the configuration names belong.

    Where one of them is not on this machine it may be one of the cluster's, whose content nobody
    here knows: then nothing is answered from the cache.
    """
    try:
        return code_digest(*files_of(config))
    except ConfigError:
        # A name that no suite has is a mistake.
        if "/" not in config.validation.suite:
            suite_path(config.validation.suite)
        return _never_the_same()

"""Reads a pipeline's configuration: a YAML file, a profile, overrides, all checked by name."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from components.drift.options import DriftOptions
from components.errors import ConfigError
from components.gate.options import GateOptions, Rule
from components.guards.options import GuardOptions
from components.monitor.options import MonitorOptions, MonitorRule
from components.options import explain
from components.push.options import PushOptions
from components.validate.options import DataGuardOptions, ValidateOptions
from pipelines.modalities import MODALITIES, Modality, modality_of

CONFIGS = Path(__file__).parent / "configs"


class Config(BaseModel):
    """One ready-made use of the training pipeline; the modality decides what its sections take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: str = Field(description="What the data is: text, image or table.")
    ingest: SerializeAsAny[BaseModel]
    validation: ValidateOptions = Field(default=ValidateOptions(), alias="validate")
    transform: SerializeAsAny[BaseModel]
    train: SerializeAsAny[BaseModel]
    evaluate: SerializeAsAny[BaseModel]
    drift: DriftOptions = DriftOptions()
    gate: GateOptions
    push: PushOptions = PushOptions()
    monitoring: MonitorOptions = MonitorOptions()

    @pydantic.model_validator(mode="after")
    def _approval_has_approvers(self) -> Self:
        if (self.gate.approval == "manual") != bool(self.push.approvers):
            raise ValueError(
                "expected gate.approval: manual and push.approvers (a file of reviewers) together. "
                f"Received: gate.approval: {self.gate.approval} and push.approvers: "
                f"{self.push.approvers!r}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _rules_speak_of_known_figures(self) -> Self:
        problems = self.gate.unknown(self.modality)
        if problems:
            raise ValueError(f"gate.rules: {'; '.join(problems)}")
        return self

    @property
    def kind(self) -> Modality:
        """The modality itself."""
        return MODALITIES[self.modality]

    @property
    def source(self) -> str:
        """URI of the data."""
        return str(getattr(self.ingest, "source"))  # noqa: B009 - every modality's options have it

    def parameters(self) -> dict[str, Any]:
        """The pipeline parameters that the configuration sets, named SECTION_FIELD."""
        dumped = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {
            f"{section}_{field}": dumped[section][field]
            for section, options in self.kind.sections.items()
            for field in options.model_fields
        }

    def digest(self) -> str:
        """Identifies the configuration by its content."""
        canonical = json.dumps(self.parameters(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


@functools.cache
def _model(modality: str) -> type[Config]:
    """The configuration of a modality, whose sections are checked by that modality's options."""
    kind = MODALITIES[modality]
    own: dict[str, Any] = {
        "ingest": (kind.ingest, ...),
        "transform": (kind.transform, Field(default_factory=kind.transform)),
        "train": (kind.train, Field(default_factory=kind.train)),
        "evaluate": (kind.evaluate, Field(default_factory=kind.evaluate)),
    }
    return pydantic.create_model("Config", __base__=Config, **own)


def available_configs() -> list[str]:
    """Names of the configurations that ship with Loomline."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def load_config(
    name: str, profile: str = "quick", overrides: Iterable[str] = (), text: str | None = None
) -> Config:
    """Reads a configuration.

    Args:
        name: a shipped configuration's name, such as 'text', or the path of a YAML file.
        profile: which entry of the file's `profiles` is laid over the rest.
        overrides: 'section.key=value' items that win over the file; values are YAML.
        text: YAML to read instead of the file, for tests and tools.

    Raises:
        ConfigError: no such file or profile, an unknown key, or a value that does not fit.
    """
    content = _parse(text, name) if text is not None else _read(name)
    profiles = content.pop("profiles", None) or {}
    if not isinstance(profiles, dict) or profile not in profiles:
        accepted = ", ".join(profiles) or "none"
        raise ConfigError(f"{name}: unknown profile {profile!r}. Accepted: {accepted}")
    _merge(content, profiles[profile] or {}, name)
    for override in overrides:
        _merge(content, _override(override), f"--set {override}")
    _lay_policy_in(content)
    kind = modality_of(content.get("modality"), f"{name}: modality")
    try:
        return _model(kind.name).model_validate(content)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{name}: " + "; ".join(_explain(error, kind))) from None


def read_policy(path: Path) -> list[Any]:
    """The rules of a policy file, unchecked: YAML with the key `rules`.

    Raises:
        ConfigError: there is no such file, or it is of another form.
    """
    wanted = f"gate.policy: expected a YAML file with the key rules at {path}"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        cause = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise ConfigError(f"{wanted}. Received: {cause}") from None
    if not isinstance(content, dict) or set(content) != {"rules"}:
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ConfigError(f"{wanted}, and no other. Received: {keys}")
    rules = content["rules"]
    if not isinstance(rules, list):
        raise ConfigError(f"{wanted}, a list. Received: {rules!r}")
    return rules


def load_policy(name: str, modality: str) -> tuple[list[Rule], str]:
    """Reads the rules of a policy file or of a configuration, and checks them.

    Args:
        name: the path of a policy file, or what `load_config` takes.
        modality: whose figures a policy file speaks of.

    Returns:
        The rules, and the modality.

    Raises:
        ConfigError: it is neither, or a rule is wrong.
    """
    path = Path(name)
    if path.is_file() and "modality" not in _parse(path.read_text("utf-8", "replace"), name):
        kind = modality_of(modality, "--modality")
        try:
            options = GateOptions.model_validate({"rules": read_policy(path)})
        except pydantic.ValidationError as error:
            raise ConfigError(f"{name}: " + "; ".join(explain(error))) from None
        problems = options.unknown(kind.name)
        if problems:
            raise ConfigError(f"{name}: {'; '.join(problems)}")
        return options.rules, kind.name
    config = load_config(name)
    return config.gate.rules, config.modality


def _lay_policy_in(content: dict[str, Any]) -> None:
    """Puts the rules of `gate.policy` in the place of `gate.rules`, so that they travel along."""
    gate = content.get("gate")
    if isinstance(gate, dict) and "policy" in gate:
        path = gate.pop("policy")
        if path:
            gate["rules"] = read_policy(Path(str(path)))


def _read(name: str) -> dict[str, Any]:
    path = CONFIGS / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise ConfigError(
            f"no configuration {name!r}: expected the path of a YAML file or one of "
            f"{', '.join(available_configs())}"
        )
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: expected a readable file in UTF-8. Received: {error}") from None
    return _parse(text, name)


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: expected a mapping. Received: {type(content).__name__}")
    return content


def _override(item: str) -> dict[str, Any]:
    path, equals, value = item.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set expects section.key=value. Received: {item!r}")
    try:
        # YAML reads nothing as null; a person who writes nothing means an empty text.
        nested: Any = yaml.safe_load(value) if value.strip() else ""
    except yaml.YAMLError:
        raise ConfigError(f"--set {path}: the value is not YAML. Received: {value!r}") from None
    for key in reversed(keys):
        nested = {key: nested}
    result: dict[str, Any] = nested
    return result


def _merge(content: dict[str, Any], layer: Mapping[str, Any], where: str) -> None:
    if not isinstance(layer, Mapping):
        raise ConfigError(f"{where}: expected a mapping. Received: {layer!r}")
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), dict):
            _merge(content[key], value, f"{where}.{key}")
        else:
            content[key] = dict(value) if isinstance(value, Mapping) else value


def _explain(error: pydantic.ValidationError, kind: Modality) -> list[str]:
    unknown = [problem for problem in error.errors() if problem["type"] == "extra_forbidden"]
    if not unknown:
        return explain(error)
    return [_unknown_key(tuple(map(str, problem["loc"])), kind) for problem in unknown]


def _unknown_key(location: tuple[str, ...], kind: Modality) -> str:
    *parents, key = location
    accepted = _accepted(parents, kind)
    close = difflib.get_close_matches(key, accepted, n=1)
    prefix = "".join(f"{part}." for part in parents)
    hint = f" Did you mean {prefix}{close[0]}?" if close else ""
    return f"unknown key {prefix}{key}.{hint} Accepted: {', '.join(accepted)}"


def _accepted(parents: list[str], kind: Modality) -> list[str]:
    if not parents:
        return ["modality", *kind.sections, "monitoring", "profiles"]
    if parents[:2] == ["monitoring", "rules"]:
        return list(MonitorRule.model_fields)
    if parents == ["monitoring"]:
        return list(MonitorOptions.model_fields)
    if parents[:2] == ["gate", "rules"]:
        return list(Rule.model_fields)
    if parents[1:2] == ["guards"]:
        return list((DataGuardOptions if parents[0] == "validate" else GuardOptions).model_fields)
    if parents == ["gate"]:
        return [*GateOptions.model_fields, "policy"]
    return list(kind.sections[parents[0]].model_fields)

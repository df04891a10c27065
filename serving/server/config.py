"""Which models are served: ModelServerConfig from a file, a call or two flags, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.errors import ConfigError, invalid_argument

_FLAG = "--model_config_file"
_PLATFORM = "tensorflow"


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions under a base path are wanted.

    Attributes:
        count: the newest so many; None where another rule holds.
        versions: exactly these; None where another rule holds. Without both: all.
    """

    count: int | None = None
    versions: frozenset[int] | None = None

    def choose(self, found: Iterable[int]) -> set[int]:
        """The versions that are wanted among those that were found."""
        if self.versions is not None:
            return set(self.versions.intersection(found))
        return set(sorted(found, reverse=True)[: self.count])


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One model as configured.

    Attributes:
        base_path: an absolute path, a gs:// or an s3:// URI; its numeric folders are versions.
        labels: version numbers by label.
    """

    name: str
    base_path: str
    policy: VersionPolicy
    labels: Mapping[str, int]


def single_model(name: str, base_path: str) -> Any:
    """The ModelServerConfig that `--model_name` and `--model_base_path` stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    absolute = base_path if "://" in base_path else str(Path(base_path).absolute())
    config.model_config_list.config.add(name=name, base_path=absolute, model_platform=_PLATFORM)
    return config


def read_model_config(path: Path) -> Any:
    """Reads a ModelServerConfig in protobuf's text format.

    Raises:
        ConfigError: the file cannot be read or is no such message, or it asks for a custom config.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"expected {_FLAG} to name a readable file. Received: {path}: {reason}"
        ) from None
    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise ConfigError(
            f"expected {path} ({_FLAG}) to hold a ModelServerConfig in protobuf's text format, "
            f"as in: model_config_list {{ config {{ name: ... }} }}. "
            f"Received: {' '.join(str(error).split())}"
        ) from None
    if config.WhichOneof("config") == "custom_model_config":
        raise ConfigError(
            f"expected {path} ({_FLAG}) to hold a model_config_list. Received: "
            "custom_model_config, which TensorFlow Serving's binary does not support either"
        )
    return config


def model_configs(config: Any, before: Collection[str] = ()) -> dict[str, ModelConfig]:
    """Checks a ModelServerConfig's list as TensorFlow Serving does.

    Args:
        config: the ModelServerConfig.
        before: names of the models that are configured now.

    Returns:
        Models by name.

    Raises:
        StatusError: INVALID_ARGUMENT with TensorFlow Serving's words, where it has any.
    """
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise invalid_argument(
                f"Illegal to list model {entry.name} multiple times in config list"
            )
        _check(entry, known=entry.name in before)
        models[entry.name] = ModelConfig(
            entry.name,
            entry.base_path,
            _policy(entry.model_version_policy),
            dict(entry.version_labels),
        )
    return models


def _check(entry: Any, *, known: bool) -> None:
    if not entry.name:
        raise invalid_argument(
            f"Expected every model to have a name; got name= for base_path()={entry.base_path}"
        )
    scheme = entry.base_path.partition("://")[0] if "://" in entry.base_path else ""
    if not scheme and not Path(entry.base_path).is_absolute():
        raise invalid_argument(
            f"Expected model {entry.name} to have an absolute path or URI; "
            f"got base_path()={entry.base_path}"
        )
    if scheme not in ("", "gs", "s3"):
        raise invalid_argument(
            f"Expected model {entry.name} to have an absolute path, a gs:// or an s3:// URI; "
            f"this server reads no others. Got base_path()={entry.base_path}"
        )
    platform = _platform(entry)
    if platform != _PLATFORM and known:
        raise invalid_argument(
            f"Illegal to change a model's platform. For model {entry.name} platform was "
            f"{_PLATFORM} and new platform requested is {platform}"
        )
    if platform != _PLATFORM:
        raise invalid_argument(f"Model {entry.name} requests unsupported platform {platform}")


def _platform(entry: Any) -> str:
    if entry.model_type == model_server_config_pb2.MODEL_TYPE_UNSPECIFIED:
        if not entry.model_platform:
            raise invalid_argument(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                "ModelServerConfig::model_platform."
            )
        return str(entry.model_platform)
    if entry.model_platform:
        raise invalid_argument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform."
        )
    if entry.model_type != model_server_config_pb2.TENSORFLOW:
        raise invalid_argument(
            f"ModelServerConfig::model_type choice {entry.model_type} not supported."
        )
    return _PLATFORM


def _policy(policy: Any) -> VersionPolicy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy()
    if choice == "specific":
        return VersionPolicy(versions=frozenset(policy.specific.versions))
    return VersionPolicy(count=max(policy.latest.num_versions, 1))

"""`--monitoring_config_file`: whether and where metrics are offered over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from serving.server.errors import ConfigError

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_FLAG = "--monitoring_config_file"
_FIELD = descriptor_pb2.FieldDescriptorProto


def prometheus_path(file: Path) -> str | None:
    """Reads a MonitoringConfig in protobuf's text format.

    Returns:
        The path of the metrics, or None where they are off.

    Raises:
        ConfigError: the file cannot be read, or is no such message.
    """
    try:
        config = text_format.Parse(file.read_text("utf-8"), _message())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"expected {_FLAG} to name a readable file. Received: {file}: {reason}"
        ) from None
    except text_format.ParseError as error:
        raise ConfigError(
            f"expected {file} ({_FLAG}) to hold a MonitoringConfig in protobuf's text format, as "
            f"in: prometheus_config {{ enable: true }}. Received: {' '.join(str(error).split())}"
        ) from None
    if not config.prometheus_config.enable:
        return None
    path = config.prometheus_config.path or DEFAULT_PATH
    return path if path.startswith("/") else f"/{path}"


def _message() -> Any:
    """An empty MonitoringConfig; tensorflow-serving-api leaves its module out."""
    file = descriptor_pb2.FileDescriptorProto(
        name="loomline/monitoring_config.proto", package="tensorflow.serving", syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    optional = _FIELD.LABEL_OPTIONAL
    prometheus.field.add(name="enable", number=1, type=_FIELD.TYPE_BOOL, label=optional)
    prometheus.field.add(name="path", number=2, type=_FIELD.TYPE_STRING, label=optional)
    file.message_type.add(name="MonitoringConfig").field.add(
        name="prometheus_config",
        number=1,
        label=optional,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".tensorflow.serving.PrometheusConfig",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    name = "tensorflow.serving.MonitoringConfig"
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()

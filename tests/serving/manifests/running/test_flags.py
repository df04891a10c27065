"""Every overlay's arguments and files are what the programs take, without starting them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import text_format

from pipelines.cli import main
from serving.client.messages import ModelServerConfig
from serving.gateway import flags as gateway_flags
from serving.server.batching_parameters import read_batching_parameters
from serving.server.flags import parse_flags
from serving.server.monitoring_config import prometheus_path

# The embedded server takes them and does nothing; TensorFlow Serving on a GPU does.
WITHOUT_EFFECT = {"per_process_gpu_memory_fraction"}


def test_the_model_server(rendered: Any, node: Callable[..., Any]) -> None:
    one = node(rendered)
    command, _ = one.prepare("model-server")
    flags = parse_flags(command[3:])
    assert set(flags.without_effect) <= WITHOUT_EFFECT
    text = flags.model_config_file.read_text("utf-8")
    config = text_format.Parse(text, ModelServerConfig())
    assert [model.name for model in config.model_config_list.config] == ["text"]
    for model in config.model_config_list.config:
        place = model.base_path
        assert place.startswith(("gs://", str(one.path("/models")))), place
    assert prometheus_path(flags.monitoring_config_file) == "/monitoring/prometheus/metrics"
    if flags.enable_batching:
        parameters = read_batching_parameters(flags.batching_parameters_file)
        assert parameters.max_batch_size == parameters.allowed_batch_sizes[-1]


def test_the_gateway(rendered: Any, node: Callable[..., Any]) -> None:
    secrets = {
        "loomline-database": {"password": "", "ca.crt": ""},
        "loomline-reviewer": {"key": ""},
    }
    command, _ = node(rendered, secrets).prepare("gateway")
    settings = gateway_flags.parse(command[3:], {})
    assert settings.auth == "keys"
    assert settings.models == ("text",)
    assert settings.store.startswith(("postgresql+psycopg://", "sqlite:////"))
    grace = rendered.pod("gateway").spec["terminationGracePeriodSeconds"]
    # What waits is written after the last request has been answered.
    assert settings.lame_duck_seconds + settings.grace_seconds + 10 <= grace
    # A probe asks the model server, too.
    wait = rendered.pod("gateway").container["readinessProbe"]["timeoutSeconds"]
    assert settings.status_timeout < wait


def test_the_jobs(overlay: Callable[..., Any], node: Callable[..., Any]) -> None:
    rendered = overlay("monitoring", "approvals", "monitoring-retrain", "retraining")
    secrets = {"loomline-database": {"password": "", "ca.crt": ""}}
    names = [one["metadata"]["name"] for one in rendered.of("CronJob")]
    assert names
    for name in names:
        command, _ = node(rendered, secrets).prepare(name)
        job, *arguments = command[3:]
        # Reads the command line, and does nothing.
        main.commands[job].make_context(job, arguments)

"""TensorFlow Serving's flags: all are taken, mistakes end with exit code 2."""

from __future__ import annotations

import pytest

from serving.server.flags import parse_flags

# Every flag of tensorflow_serving/model_servers/main.cc.
FLAGS = {
    "port": "8500",
    "grpc_socket_path": "/tmp/socket",
    "rest_api_port": "8501",
    "rest_api_num_threads": "4",
    "rest_api_timeout_in_ms": "1000",
    "rest_api_enable_cors_support": "true",
    "enable_batching": "true",
    "allow_version_labels_for_unavailable_models": "true",
    "batching_parameters_file": "/config/batching",
    "enable_per_model_batching_parameters": "true",
    "model_config_file": "/config/models",
    "model_config_file_poll_wait_seconds": "60",
    "model_name": "text",
    "model_base_path": "/models/text",
    "num_load_threads": "2",
    "num_unload_threads": "2",
    "max_num_load_retries": "0",
    "load_retry_interval_micros": "-1",
    "file_system_poll_wait_seconds": "30",
    "flush_filesystem_caches": "false",
    "tensorflow_session_parallelism": "0",
    "tensorflow_session_config_file": "/config/session",
    "tensorflow_intra_op_parallelism": "2",
    "tensorflow_inter_op_parallelism": "2",
    "use_alts_credentials": "false",
    "ssl_config_file": "/config/ssl",
    "platform_config_file": "/config/platform",
    "per_process_gpu_memory_fraction": "0.5",
    "saved_model_tags": "serve",
    "grpc_channel_arguments": "grpc.max_connection_age_ms=2000,grpc.primary_user_agent=x",
    "grpc_max_threads": "16",
    "enable_model_warmup": "false",
    "num_request_iterations_for_warmup": "3",
    "monitoring_config_file": "/config/monitoring",
    "remove_unused_fields_from_bundle_metagraph": "true",
    "prefer_tflite_model": "false",
    "num_tflite_pools": "2",
    "num_tflite_interpreters_per_pool": "1",
    "enable_signature_method_name_check": "true",
    "xla_cpu_compilation_enabled": "true",
    "xla_gpu_compilation_enabled": "true",
    "enable_profiler": "false",
    "thread_pool_factory_config_file": "/config/threads",
    "mixed_precision": "bfloat16",
    "skip_initialize_tpu": "true",
    "enable_grpc_healthcheck_service": "true",
    "enable_serialization_as_tensor_content": "true",
}
WITHOUT_EFFECT = {
    "enable_per_model_batching_parameters",
    "flush_filesystem_caches",
    "tensorflow_session_config_file",
    "use_alts_credentials",
    "platform_config_file",
    "per_process_gpu_memory_fraction",
    "saved_model_tags",
    "remove_unused_fields_from_bundle_metagraph",
    "prefer_tflite_model",
    "num_tflite_pools",
    "num_tflite_interpreters_per_pool",
    "enable_signature_method_name_check",
    "enable_profiler",
    "thread_pool_factory_config_file",
    "mixed_precision",
    "skip_initialize_tpu",
    "enable_grpc_healthcheck_service",
    "enable_serialization_as_tensor_content",
}


def test_every_flag_of_tensorflow_serving_is_taken() -> None:
    flags = parse_flags([f"--{name}={value}" for name, value in FLAGS.items()])
    assert set(flags.without_effect) == WITHOUT_EFFECT
    assert flags.grpc_channel_arguments == [
        ("grpc.max_connection_age_ms", 2000),
        ("grpc.primary_user_agent", "x"),
    ]
    assert not flags.enable_model_warmup
    assert flags.rest_api_enable_cors_support
    assert flags.allow_version_labels_for_unavailable_models


def test_defaults_are_tensorflow_servings_but_for_the_host() -> None:
    flags = parse_flags(["--model_base_path=/models/text"])
    assert (flags.port, flags.rest_api_port, flags.rest_api_timeout_in_ms) == (8500, 0, 30_000)
    assert (flags.model_name, flags.file_system_poll_wait_seconds) == ("default", 1.0)
    assert (flags.max_num_load_retries, flags.load_retry_interval_micros) == (5, 60_000_000)
    assert flags.model_config_file_poll_wait_seconds == 0
    assert flags.enable_model_warmup
    assert not flags.enable_batching
    assert not flags.xla_cpu_compilation_enabled
    assert flags.without_effect == []
    assert flags.host == "127.0.0.1"


@pytest.mark.parametrize("spelling", ["--enable_batching", "--enable_batching=1"])
def test_a_switch_needs_no_value(spelling: str) -> None:
    assert parse_flags(["--model_base_path=x", spelling]).enable_batching


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--prot=1"], "--prot=1"),
        (["--enable_xla=maybe"], "expected true or false. Received: maybe"),
        (["--port=many"], "expected a whole number from 0 to 65535. Received: many"),
        (["--port=65536"], "expected a whole number from 0 to 65535"),
        (["--max_num_load_retries=-1"], "expected a whole number from 0"),
        (["--grpc_channel_arguments=keepalive"], "expected NAME=VALUE"),
        (["--batching_parameters_file=x"], "expected --enable_batching"),
        (["--rest_api_port=8500"], "to differ from --port"),
        (["--use_alts_credentials=true"], "which this server does not offer"),
        (
            [f"--tensorflow_{n}_parallelism=1" for n in ("session", "intra_op", "inter_op")],
            "Received: all of them",
        ),
    ],
)
def test_a_mistake_ends_with_exit_code_2_and_says_what_was_received(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_flags(["--model_base_path=x", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert reason in told.err
    assert "usage: python -m serving.server --model_base_path" in told.err
    assert told.out == ""


def test_a_model_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_flags(["--port=1"])
    assert ended.value.code == 2
    assert "expected --model_base_path or --model_config_file" in capsys.readouterr().err


def test_version_prints_versions_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_flags(["--version"])
    assert ended.value.code == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Loomline ModelServer: ")
    assert second.startswith("TensorFlow Library: 2.")

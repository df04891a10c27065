"""The server put together from its flags: models, gRPC, health, REST and metrics."""

from __future__ import annotations

import argparse
import gc
import logging
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from serving.server.config import read_model_config, single_model
from serving.server.errors import ConfigError, StatusError
from serving.server.models import ModelManager
from serving.server.pacing import settle
from serving.server.reloading import ConfigFile
from serving.server.workers import Settings

logger = logging.getLogger(__name__)

GRACE_SECONDS = 25.0
_CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Two servers on one port would answer in turns: a second one must fail instead.
    ("grpc.so_reuseport", 0),
]


class App:
    """One server process: everything that listens, and the models behind it."""

    def __init__(self, flags: argparse.Namespace) -> None:
        """Checks the configuration, takes the ports, and imports TensorFlow.

        Raises:
            ConfigError: a flag or a file that it names makes no sense, or a port is taken.
        """
        # Mistakes are told before TensorFlow is imported, which takes seconds.
        self._flags = flags
        self._models = ModelManager(_settings(flags))
        _configure(self._models, _model_server_config(flags))
        credentials = _credentials(flags)
        batching = _batching_parameters(flags)
        self._monitoring_path = _monitoring_path(flags)
        pool = futures.ThreadPoolExecutor(flags.grpc_max_threads, thread_name_prefix="request")
        options = [*_CHANNEL_OPTIONS, *flags.grpc_channel_arguments]
        self._server = grpc.server(pool, options=options)
        self._port = _listen(self._server, flags, credentials)

        _set_up_tensorflow(flags)
        from serving.server.health import Health
        from serving.server.metrics import ServerMetrics

        self._health, self._metrics = Health(), ServerMetrics()
        self._models.report_to(self._health, self._metrics)
        self._add_services(batching)
        self._config_file = ConfigFile(
            flags.model_config_file or Path(), self._models, _config_poll_seconds(flags)
        )
        # What is imported stays: collecting garbage after an unload need not look through it,
        # which would hold up every request for 0.4 s.
        gc.freeze()

    def _add_services(self, batching: Any) -> None:
        from serving.server.batching import Batcher
        from serving.server.inference import Inference
        from serving.server.model_service import ModelCalls
        from serving.server.reflection import add_reflection
        from serving.server.services import add_services

        batcher = None if batching is None else Batcher(batching, metrics=self._metrics)
        self._inference = Inference(self._models, metrics=self._metrics, batcher=batcher)
        self._calls = ModelCalls(self._models)
        add_services(self._server, self._inference, self._calls)
        self._health.add_to(self._server)
        add_reflection(self._server)

    def start(self) -> None:
        """Listens, says where, and starts to load models.

        Raises:
            ConfigError: the REST port is taken.
        """
        settle()
        self._rest = self._start_rest() if self._flags.rest_api_port else None
        self._server.start()
        print(f"Serving on {self._flags.host}:{self._port}", flush=True)
        if self._rest is not None:
            print(f"Serving REST on {self._flags.host}:{self._rest.port}", flush=True)
        self._models.start()
        self._config_file.start()

    def _start_rest(self) -> Any:
        from serving.server.rest import start_rest

        flags = self._flags
        try:
            return start_rest(
                self._inference,
                self._calls,
                self._metrics,
                flags.host,
                max(flags.rest_api_port, 0),
                flags.rest_api_timeout_in_ms / 1000,
                flags.rest_api_num_threads,
                self._monitoring_path,
                cors=flags.rest_api_enable_cors_support,
            )
        except OSError as error:
            raise ConfigError(
                f"expected {flags.host}:{flags.rest_api_port} to be free to listen on. Received: "
                f"{error.strerror or error}. Choose another --rest_api_port"
            ) from None

    def stop(self) -> None:
        """Takes no new requests and finishes those under way, within the grace period."""
        self._health.stop()
        self._config_file.stop()
        self._models.stop()
        finished = self._server.stop(GRACE_SECONDS)
        if self._rest is not None:
            self._rest.stop(GRACE_SECONDS)
        finished.wait()
        self._models.close()


def _model_server_config(flags: argparse.Namespace) -> Any:
    if flags.model_config_file is None:
        config = single_model(flags.model_name, flags.model_base_path)
        (model,) = config.model_config_list.config
        if "://" not in flags.model_base_path and not Path(flags.model_base_path).is_absolute():
            logger.warning(
                "--model_base_path is relative, which TensorFlow Serving refuses: taking %s",
                model.base_path,
            )
        return config
    if flags.model_base_path:
        logger.info("--model_config_file is given: --model_name and --model_base_path are ignored")
    return read_model_config(flags.model_config_file)


def _configure(models: ModelManager, config: Any) -> None:
    try:
        models.configure(config)
    except StatusError as error:
        advice = ""
        if error.code == grpc.StatusCode.FAILED_PRECONDITION:
            advice = ". At start no version is available yet: add "
            advice += "--allow_version_labels_for_unavailable_models"
        raise ConfigError(f"{error.message}{advice}") from None


def _config_poll_seconds(flags: argparse.Namespace) -> float:
    given = flags.model_config_file is not None
    return float(flags.model_config_file_poll_wait_seconds) if given else 0.0


def _credentials(flags: argparse.Namespace) -> grpc.ServerCredentials | None:
    from serving.server.tls import server_credentials

    return None if flags.ssl_config_file is None else server_credentials(flags.ssl_config_file)


def _batching_parameters(flags: argparse.Namespace) -> Any:
    from serving.server.batching_parameters import read_batching_parameters

    return (
        read_batching_parameters(flags.batching_parameters_file) if flags.enable_batching else None
    )


def _monitoring_path(flags: argparse.Namespace) -> str | None:
    from serving.server.monitoring_config import prometheus_path

    file = flags.monitoring_config_file
    return None if file is None else prometheus_path(file)


def _listen(
    server: grpc.Server, flags: argparse.Namespace, credentials: grpc.ServerCredentials | None
) -> int:
    """Takes the addresses; the number of the gRPC port."""

    def add(address: str) -> int:
        try:
            if credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, credentials)
        except RuntimeError:
            raise ConfigError(
                f"expected {address} to be free to listen on. Received: it is taken or not "
                "allowed. Choose another --port, or stop the server that holds it"
            ) from None

    port = add(f"{flags.host}:{flags.port}")
    if flags.grpc_socket_path:
        add(f"unix:{flags.grpc_socket_path}")
    return port


def _settings(flags: argparse.Namespace) -> Settings:
    iterations = max(flags.num_request_iterations_for_warmup, 1)
    return Settings(
        poll_seconds=flags.file_system_poll_wait_seconds,
        max_retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
        load_threads=flags.num_load_threads,
        unload_threads=flags.num_unload_threads,
        warmup_iterations=iterations if flags.enable_model_warmup else 0,
        labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        cache=flags.model_cache_path,
    )


def _set_up_tensorflow(flags: argparse.Namespace) -> None:
    import tensorflow as tf

    from serving.server.xla import disable_xla

    if not (flags.xla_cpu_compilation_enabled or flags.xla_gpu_compilation_enabled):
        disable_xla()
    session = flags.tensorflow_session_parallelism
    tf.config.threading.set_intra_op_parallelism_threads(
        flags.tensorflow_intra_op_parallelism or session
    )
    tf.config.threading.set_inter_op_parallelism_threads(
        flags.tensorflow_inter_op_parallelism or session
    )

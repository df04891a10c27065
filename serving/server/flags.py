"""The command line: TensorFlow Serving's flags, and a few of ours."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.server.flag_types import (
    boolean,
    channel_arguments,
    count,
    port,
    positive,
    rest_port,
)

_THREADS_PER_CORE = 4
_USAGE = """\
python -m serving.server --model_base_path=FOLDER [--model_name=NAME] [--FLAG=VALUE ...]
       python -m serving.server --model_config_file=FILE [--FLAG=VALUE ...]"""
_EPILOG = """\
For laptops, CI and tests. Production manifests run the real TensorFlow Serving image, whose flags
these are: every flag of that binary is accepted, and those without effect here are named in the
log. The binary listens on 0.0.0.0; this server listens on 127.0.0.1 unless --host says otherwise.

It prints "Serving on HOST:PORT" once it listens, and "Serving REST on HOST:PORT" where a
--rest_api_port is given; both before models are loaded: ask the gRPC health service, or
GetModelStatus, whether they are. It logs to standard error. A mistake in the flags or in a file
that they name ends it with exit code 2 and one line.

SIGTERM or Ctrl-C: health turns to NOT_SERVING, no new requests are taken, those under way are
finished within 25 seconds, and it exits with 0. TensorFlow Serving's binary has no such handling.
"""
_PARALLELISM = ("session", "intra_op", "inter_op")
# Accepted, so that a manifest need not change with the image.
_WITHOUT_EFFECT = (
    "enable_grpc_healthcheck_service",
    "enable_per_model_batching_parameters",
    "enable_profiler",
    "enable_serialization_as_tensor_content",
    "enable_signature_method_name_check",
    "flush_filesystem_caches",
    "mixed_precision",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "per_process_gpu_memory_fraction",
    "platform_config_file",
    "prefer_tflite_model",
    "remove_unused_fields_from_bundle_metagraph",
    "saved_model_tags",
    "skip_initialize_tpu",
    "tensorflow_session_config_file",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
    "use_tflite_model",
)


def parse_flags(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; a mistake ends the process with exit code 2.

    Returns:
        The flags by name, and `without_effect`: the names given that change nothing here.
    """
    parser = argparse.ArgumentParser(
        prog="python -m serving.server",
        usage=_USAGE,
        description="Serves SavedModels over TensorFlow Serving's protocol.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=_versions(), help="print the versions and end"
    )
    _add_addresses(parser)
    _add_models(parser)
    _add_running(parser)
    for name in _WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    flags.without_effect = [n for n in _WITHOUT_EFFECT if getattr(flags, n) is not None]
    _check(parser, flags)
    return flags


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("addresses").add_argument
    cores = os.cpu_count() or 1
    add(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1)",
    )
    add(
        "--port",
        type=port,
        metavar="PORT",
        default=8500,
        help="for gRPC; 0 picks a free one (default 8500)",
    )
    add(
        "--grpc_socket_path",
        metavar="PATH",
        default="",
        help="a UNIX socket to listen on for gRPC, besides",
    )
    add(
        "--rest_api_port",
        type=rest_port,
        metavar="PORT",
        default=0,
        help="for REST; 0 is no REST, -1 picks a free one (default 0)",
    )
    add(
        "--rest_api_num_threads",
        type=positive,
        metavar="N",
        default=_THREADS_PER_CORE * cores,
        help="requests that run at the same time (default 4 per core)",
    )
    add(
        "--rest_api_timeout_in_ms",
        type=positive,
        metavar="N",
        default=30_000,
        help="later answers are 504 (default 30000)",
    )
    _switch(add, "rest_api_enable_cors_support", "let web pages of other sites read REST answers")
    add(
        "--ssl_config_file",
        type=Path,
        metavar="FILE",
        help="an SSLConfig in text format: TLS, or mTLS, for gRPC",
    )
    add(
        "--monitoring_config_file",
        type=Path,
        metavar="FILE",
        help="a MonitoringConfig in text format: metrics on the REST port",
    )
    add(
        "--grpc_channel_arguments",
        type=channel_arguments,
        metavar="NAME=VALUE,...",
        default=[],
        help="options of the gRPC server",
    )
    add(
        "--grpc_max_threads",
        type=positive,
        metavar="N",
        default=_THREADS_PER_CORE * cores,
        help="requests that run at the same time (default 4 per core)",
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("models").add_argument
    add("--model_name", metavar="NAME", default="default", help="what requests call the model")
    add(
        "--model_base_path",
        metavar="FOLDER",
        default="",
        help="folder of numeric version folders, or a gs:// or s3:// URI",
    )
    add(
        "--model_config_file",
        type=Path,
        metavar="FILE",
        help="a ModelServerConfig in text format; --model_name and --model_base_path then count "
        "for nothing",
    )
    add(
        "--model_config_file_poll_wait_seconds",
        type=float,
        metavar="SECONDS",
        default=0.0,
        help="pause between readings of that file; 0 reads it once (default 0)",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        metavar="SECONDS",
        default=1.0,
        help="pause between looks at the base paths; 0 looks once, below 0 never (default 1)",
    )
    _switch(
        add,
        "allow_version_labels_for_unavailable_models",
        "let labels that are new name any version",
    )
    add(
        "--num_load_threads",
        type=count,
        metavar="N",
        default=0,
        help="loads at the same time (default one)",
    )
    add("--num_unload_threads", type=count, metavar="N", default=0, help="unloads at the same time")
    add(
        "--max_num_load_retries",
        type=count,
        metavar="N",
        default=5,
        help="further attempts at a version that failed to load (default 5)",
    )
    add(
        "--load_retry_interval_micros",
        type=int,
        metavar="N",
        default=60_000_000,
        help="pause between those attempts (default 60000000)",
    )
    _switch(add, "enable_model_warmup", "replay a model's warmup requests", default=True)
    add(
        "--num_request_iterations_for_warmup",
        type=int,
        metavar="N",
        default=0,
        help="how often each of them is replayed; 0 is once",
    )
    add(
        "--model_cache_path",
        type=Path,
        metavar="FOLDER",
        help="folder for copies of models from gs:// and s3:// (default: in the folder for "
        "temporary files)",
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("running").add_argument
    _switch(
        add,
        "enable_batching",
        "join concurrent requests into batches; every input of a request must then have the same "
        "first dimension",
    )
    add(
        "--batching_parameters_file",
        type=Path,
        metavar="FILE",
        help="a BatchingParameters in text format",
    )
    for name in _PARALLELISM:
        add(
            f"--tensorflow_{name}_parallelism",
            type=count,
            metavar="N",
            default=0,
            help="threads; 0 is auto",
        )
    _switch(
        add,
        "xla_cpu_compilation_enabled",
        "let models compile with XLA; off, as in stock TensorFlow Serving, unless given",
        alias="enable_xla",
    )
    _switch(add, "xla_gpu_compilation_enabled", "likewise")


def _switch(
    add: Callable[..., object],
    name: str,
    text: str,
    *,
    default: bool = False,
    alias: str | None = None,
) -> None:
    names = [f"--{name}", f"--{alias}"] if alias else [f"--{name}"]
    shown = f"{text} (default {str(default).lower()})"
    add(
        *names,
        type=boolean,
        metavar="true|false",
        nargs="?",
        const=True,
        default=default,
        help=shown,
    )


def _check(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> None:
    """What single flags cannot tell, as TensorFlow Serving checks it."""
    if not flags.model_base_path and flags.model_config_file is None:
        parser.error("expected --model_base_path or --model_config_file. Received: neither of them")
    if flags.batching_parameters_file is not None and not flags.enable_batching:
        parser.error(
            "expected --enable_batching with --batching_parameters_file. Received: the file alone"
        )
    parallelism = [getattr(flags, f"tensorflow_{n}_parallelism") for n in _PARALLELISM]
    if all(parallelism):
        parser.error(
            "expected --tensorflow_session_parallelism, or the intra_op and inter_op ones. "
            "Received: all of them"
        )
    if flags.rest_api_port > 0 and flags.rest_api_port == flags.port:
        parser.error(
            "expected --rest_api_port to differ from --port. Received: "
            f"{flags.port} for both of them"
        )
    if flags.use_alts_credentials not in (None, "false", "0"):
        parser.error(
            "expected --ssl_config_file for a secure port. Received: --use_alts_credentials, which "
            "this server does not offer"
        )


def _versions() -> str:
    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    return (
        f"Loomline ModelServer: {version('loomline')}\nTensorFlow Library: {version('tensorflow')}"
    )

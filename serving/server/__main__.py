"""`python -m serving.server`: flags, start and stop of the embedded model server."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from pathlib import Path

import grpc

_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Two servers on one port would answer in turns: a second one must fail instead.
    ("grpc.so_reuseport", 0),
]
_DRAIN_SECONDS = 25.0
_THREADS_PER_CORE = 4
_EPILOG = """\
For laptops, CI and tests. Production manifests run the real TensorFlow Serving image, whose
flags these are. It prints one line, "Serving on HOST:PORT", once it listens, waits for a first
version if there is none yet, and logs to standard error. SIGTERM or Ctrl-C: it takes no new
requests, finishes those under way and exits with 0.
"""


def _flag(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false. Received: {text}")


def parse_flags(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; a mistake ends the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.server",
        description="Serves the latest version of a SavedModel over TensorFlow Serving's protocol.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=int, default=8500, help="gRPC port; 0 picks a free one (default 8500)")
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--model_name", default="default", help="what requests call the model")
    add("--model_base_path", type=Path, required=True, help="folder of numeric version folders")
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="pause between looks at the base path (default 1)",
    )
    add(
        "--max_num_load_retries",
        type=int,
        default=5,
        help="further attempts at a version that failed to load (default 5)",
    )
    add(
        "--load_retry_interval_micros",
        type=int,
        default=60_000_000,
        help="pause between those attempts (default 60000000)",
    )
    add(
        "--grpc_max_threads",
        type=int,
        default=_THREADS_PER_CORE * (os.cpu_count() or 1),
        help="requests that run at the same time (default 4 per core)",
    )
    add(
        "--xla_cpu_compilation_enabled",
        "--enable_xla",
        type=_flag,
        nargs="?",
        const=True,
        default=False,
        help="let models compile with XLA; off, as in stock TensorFlow Serving, unless given",
    )
    return parser.parse_args(arguments)


def _on_stop(action: Callable[[], None]) -> None:
    """Does this on SIGTERM and Ctrl-C from now on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: action())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until it is told to stop; returns the exit code."""
    flags = parse_flags(arguments)
    # Before anything is served there is nothing to finish, and imports take seconds.
    _on_stop(lambda: os._exit(0))
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    pool = futures.ThreadPoolExecutor(flags.grpc_max_threads, thread_name_prefix="request")
    server = grpc.server(pool, options=_CHANNEL_OPTIONS)
    address = f"{flags.host}:{flags.port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        print(
            f"error: expected {address} to be free to listen on. Received: it is taken or not "
            "allowed. Choose another --port, or stop the server that holds it",
            file=sys.stderr,
        )
        return 2
    # TensorFlow takes seconds to import: mistakes are told before it.
    from serving.server.models import ModelManager
    from serving.server.services import add_services
    from serving.server.xla import disable_xla

    if not flags.xla_cpu_compilation_enabled:
        disable_xla()
    models = ModelManager(
        flags.model_name,
        flags.model_base_path,
        poll_seconds=flags.file_system_poll_wait_seconds,
        max_retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
    )
    add_services(server, models)
    stop = threading.Event()
    _on_stop(stop.set)
    server.start()
    print(f"Serving on {flags.host}:{port}", flush=True)
    models.start()
    stop.wait()
    models.stop()
    server.stop(_DRAIN_SECONDS).wait()
    logging.getLogger(__name__).info("stopped")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A load may be under way in TensorFlow's threads; taking them down in order can hang.
    os._exit(code)

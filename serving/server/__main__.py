"""`python -m serving.server`: starts the embedded model server, and stops it in order."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from serving.server.errors import ConfigError
from serving.server.flags import parse_flags

logger = logging.getLogger(__name__)


def _on_stop(action: Callable[[], None]) -> None:
    """Does this on SIGTERM and Ctrl-C from now on, however often they come."""
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
    if flags.without_effect:
        names = ", ".join(f"--{name}" for name in flags.without_effect)
        logger.info("accepted and without effect here: %s", names)
    try:
        _serve(flags)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _serve(flags: argparse.Namespace) -> None:
    from serving.server.app import App

    app = App(flags)
    stop = threading.Event()
    _on_stop(stop.set)
    app.start()
    stop.wait()
    app.stop()
    logger.info("stopped")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A load may be under way in TensorFlow's threads; taking them down in order can hang.
    os._exit(code)

"""Turns XLA compilation off for the whole process, as stock TensorFlow Serving does.

TensorFlow Serving calls `tensorflow::DisableXlaCompilation()` at start unless it is given
`--xla_cpu_compilation_enabled`. Doing the same here lets a model that would fail there fail
on a laptop first.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

_LIBRARY = "libtensorflow_cc.so.2"
_SYMBOL = "_ZN10tensorflow21DisableXlaCompilationEv"


def disable_xla() -> None:
    """Makes every later XLA compilation in this process fail.

    Raises:
        RuntimeError: this build of TensorFlow does not offer it.
    """
    import tensorflow as tf

    library = Path(tf.sysconfig.get_lib()) / _LIBRARY
    try:
        # The library is loaded already: this opens the same copy, not a second one.
        ctypes.CDLL(str(library))[_SYMBOL]()
    except (OSError, AttributeError) as error:
        raise RuntimeError(
            f"expected {_LIBRARY} to offer DisableXlaCompilation. Received: {error}. "
            "Start with --xla_cpu_compilation_enabled to serve with XLA on"
        ) from None

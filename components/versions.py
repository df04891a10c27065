"""Which version of a package is installed, whatever its distribution is called."""

from __future__ import annotations

import importlib.metadata

# TensorFlow is published under other names for some hardware.
_OTHER_NAMES = {"tensorflow": ("tensorflow-cpu",)}


def installed_version(package: str) -> str:
    """The installed version of a package.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed.
    """
    for name in _OTHER_NAMES.get(package, ()):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return importlib.metadata.version(package)

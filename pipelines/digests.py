"""Digests that keep the cache honest: of the code, and of everything that makes a model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

from pipelines.config import Config

# A newer version of any of these may change what a step computes.
PACKAGES = (
    "apache-beam",
    "evidently",
    "great-expectations",
    "keras",
    "numpy",
    "pandas",
    "pyarrow",
    "tensorflow",
    "tensorflow-transform",
    "tfx-bsl",
)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that the steps compute with."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def code_digest(*others: Path) -> str:
    """SHA-256 over the steps' code and data files and the versions of their packages.

    Args:
        others: files that count as code as well, by their content.
    """
    root = Path(__file__).parent.parent / "components"
    digest = hashlib.sha256(json.dumps(package_versions(), sort_keys=True).encode())
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in others:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def inputs_fingerprint(config: Config, source_digest: str, code: str) -> str:
    """Identifies what a run computes: the same data, code and configuration, the same model.

    Where models are published does not change what they are, so `push` does not count.
    """
    parameters = {
        name: value for name, value in config.parameters().items() if not name.startswith("push_")
    }
    canonical = json.dumps([parameters, source_digest, code], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()

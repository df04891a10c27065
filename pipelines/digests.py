"""Digests that keep the cache honest: of the code, and of everything that makes a model."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path

from components.errors import ConfigError
from components.guards.options import WORDS, GuardOptions
from components.validate.suite import suite_path
from components.versions import installed_version
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
    return {name: installed_version(name) for name in PACKAGES}


def code_digest(*others: Path, content: str = "") -> str:
    """SHA-256 over the steps' code and data files and the versions of their packages.

    Args:
        others: files that count as code as well, by their content.
        content: identifies the image that holds the code and the packages, where the steps run in
            containers; empty for the code of this environment.
    """
    if content:
        return _with_files(hashlib.sha256(content.encode()), others)
    root = Path(__file__).parent.parent / "components"
    digest = hashlib.sha256(json.dumps(package_versions(), sort_keys=True).encode())
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return _with_files(digest, others)


def _with_files(digest: hashlib._Hash, files: Iterable[Path]) -> str:
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def files_of(config: Config) -> list[Path]:
    """The files that a configuration names and that decide what steps do, as their code does.

    They are an expectation suite, known outputs, and of guards the lists of words and the modules
    of scorers that are not ours.

    Raises:
        ConfigError: one is not there.
    """
    validation = config.validation
    named = {"validate.known_outputs": validation.known_outputs}
    files = [suite_path(validation.suite)]
    guards = [*validation.guards, *getattr(config.evaluate, "guards", [])]
    for guard in guards:
        lists = guard.options.get("lists", []) if guard.scorer == WORDS else []
        # Names of lists that ship with Loomline are no paths.
        named[f"guard {guard.name!r}"] = [one for one in lists if Path(one).suffix]
        files += _module_file(guard)
    for where, names in named.items():
        for name in map(Path, names):
            if not name.is_file():
                raise ConfigError(f"{where}: expected a file at {name}. Received: none there")
            files.append(name)
    return files


def _module_file(guard: GuardOptions) -> list[Path]:
    """The module of a scorer that is not part of Loomline, whose code has a digest already."""
    name = guard.scorer.rpartition(".")[0]
    if name.startswith("components."):
        return []
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"guard {guard.name!r}: expected a module {name} that can be imported. Received: none; "
            "put its folder on PYTHONPATH"
        )
    return [Path(spec.origin)] if Path(spec.origin).is_file() else []


def inputs_fingerprint(config: Config, source_digest: str, code: str) -> str:
    """Identifies what a run computes: the same data, code and configuration, the same model.

    Where models are published does not change what they are, so `push` does not count.
    """
    parameters = {
        name: value for name, value in config.parameters().items() if not name.startswith("push_")
    }
    canonical = json.dumps([parameters, source_digest, code], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()

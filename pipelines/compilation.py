"""Compiles pipelines to the YAML that Kubeflow runs: the same inputs give the same bytes.

A compiled file carries the digest of its content, which names its version on a cluster, and which
an edited file no longer has.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from components.errors import ConfigError
from pipelines.config import Config
from pipelines.hardware import Hardware, load_hardware
from pipelines.hardware.places import check_places
from pipelines.registry import Use, definition_of

DIGEST_PREFIX = "# Digest: sha256:"
# Go's YAML takes these for numbers where PyYAML does not, such as 1e5.
_NUMBER_ELSEWHERE = re.compile(r"[-+]?[0-9][0-9_.]*[eE][-+]?[0-9]+|0o?[0-7]+|[-+]?[0-9_]+")


@dataclasses.dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
        path: the YAML file.
        name: the pipeline's name.
        digest: SHA-256 of its content, hexadecimal.
        parameters: the pipeline's parameters, each with its type and its default.
        mount: where its steps see the cluster's volume; empty where they have none.
    """

    path: Path
    name: str
    digest: str
    parameters: dict[str, dict[str, Any]]
    mount: str = ""

    @property
    def version(self) -> str:
        """What the version is called on a cluster."""
        return f"{importlib.metadata.version('loomline')}-{self.digest[:12]}"


def compile_config(
    config: Config,
    destination: Path,
    *,
    pipeline: str = "training",
    hardware: Hardware | None = None,
    name: str = "",
    profile: str = "quick",
    overrides: tuple[str, ...] = (),
) -> Package:
    """Writes a compiled pipeline, whose parameters default to the configuration's values.

    Args:
        config: where the defaults come from.
        destination: the YAML file to write.
        pipeline: which of `pipelines.registry.PIPELINES`.
        hardware: where the steps run; None for ordinary nodes.
        name, profile, overrides: what the configuration was loaded from.

    Raises:
        ConfigError: there is no such pipeline, or a folder that has to outlive a run would not.
    """
    from kfp import compiler

    use = Use(config, hardware or load_hardware("cpu"), name, profile, overrides)
    definition = definition_of(pipeline, use)
    check_places(use.hardware.volume.mount if use.hardware.volume else "", definition.parameters)
    with tempfile.TemporaryDirectory(prefix="loomline-") as folder:
        raw = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(
            definition.pipeline, str(raw), pipeline_parameters=definition.parameters
        )
        documents = _documents(raw.read_text("utf-8"), raw)
    return _written(documents, destination)


def read_package(path: Path, edited: bool = False) -> Package:
    """Reads a compiled pipeline.

    Args:
        path: the YAML file.
        edited: take a file whose content is not what it was when it was compiled.

    Raises:
        ConfigError: it is none, or it was edited.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a compiled pipeline at {path}. Received: {error}") from None
    documents = _documents(text, path)
    package = _package(path, documents)
    noted = re.search(rf"(?m)^{DIGEST_PREFIX}([0-9a-f]{{64}})$", text)
    if not edited and (noted is None or noted[1] != package.digest):
        received = f"sha256:{package.digest}" if noted else "no digest"
        expected = f"sha256:{noted[1]}" if noted else "of its content"
        raise ConfigError(
            f"{path}: expected the digest that `loomline compile` wrote, {expected}. Received: "
            f"{received}. The file was edited: change the configuration and compile it again, or "
            "take it as it is with --edited"
        )
    return package


def uncached(package: Package, destination: Path) -> Package:
    """Writes a compiled pipeline none of whose steps is answered from a cache.

    A recurring run needs it: nobody tells it the digest of the data of the day.
    """
    documents = _documents(package.path.read_text("utf-8"), package.path)
    spec = documents[0]
    for component in [spec["root"], *spec["components"].values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}
    return _written(documents, destination)


def content_digest(documents: list[Any]) -> str:
    """SHA-256 of what a compiled pipeline says, whatever its layout."""
    canonical = json.dumps(documents, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _written(documents: list[Any], destination: Path) -> Package:
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{os.getpid()}.{destination.name}")
    partial.write_text(_head(documents) + _dumped(documents), "utf-8")
    partial.replace(destination)
    return _package(destination, documents)


def _package(path: Path, documents: list[Any]) -> Package:
    spec = documents[0]
    inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    name = spec["pipelineInfo"]["name"]
    return Package(path, name, content_digest(documents), inputs, _mount(documents))


def _mount(documents: list[Any]) -> str:
    """Where the steps see the volume: all of them at one place."""
    platforms = (documents[1] if len(documents) > 1 else {}).get("platforms", {})
    executors = platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    mounts = (one["mountPath"] for each in executors.values() for one in each.get("pvcMount", ()))
    return str(next(mounts, ""))


def _documents(text: str, path: Path) -> list[Any]:
    """The pipeline and, where there is one, what is special to Kubernetes."""
    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        documents[0]["pipelineInfo"]["name"], documents[0]["root"]["dag"]
    except (yaml.YAMLError, IndexError, KeyError, TypeError) as error:
        cause = " ".join(str(error).split())
        raise ConfigError(
            f"{path}: expected a pipeline compiled by `loomline compile`. Received: {cause}"
        ) from None
    return documents


def _head(documents: list[Any]) -> str:
    version = importlib.metadata.version("loomline")
    return (
        f"# {documents[0]['pipelineInfo']['name']}, compiled by Loomline {version}. To change it, "
        "change the configuration\n# and compile it again: `loomline submit` refuses a file that "
        f"no longer has its digest.\n{DIGEST_PREFIX}{content_digest(documents)}\n"
    )


def _dumped(documents: list[Any]) -> str:
    text: str = yaml.dump_all(
        documents, Dumper=_dumper(), sort_keys=True, width=1 << 16, allow_unicode=True
    )
    return text


def _dumper() -> Any:
    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]
        pass

    def text(dumper: Any, value: str) -> Any:
        style = None
        if "\n" in value:
            style = "|"
        elif _NUMBER_ELSEWHERE.fullmatch(value):
            style = "'"
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper

"""Runs the steps of a local run in containers of the image that a cluster runs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import ConfigError, SetupError
from pipelines.processes import STEP_VARIABLES

_LABEL = "loomline.output"
_MANY_FOLDERS = 32


@dataclasses.dataclass(frozen=True)
class Containers:
    """What the containers of a run are made of.

    Attributes:
        image: name of the image.
        output: the run's output folder; containers that a killed run left behind carry its name.
        writable: folders that steps write to, at the same paths inside.
        readable: files and folders that they read.
        network: whether steps reach the network; what a run on one machine needs is mounted.
    """

    image: str
    output: Path
    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    network: bool = False

    def runner(self) -> Any:
        """kfp's runner."""
        from kfp import local

        return local.DockerRunner(**self.arguments())

    def arguments(self) -> dict[str, Any]:
        """The least that a step needs, as the engine's client takes it."""
        return {
            # What the steps write belongs to whoever started the run.
            "user": f"{os.getuid()}:{os.getgid()}",
            "read_only": True,
            "tmpfs": {"/tmp": "mode=1777"},
            # Relative paths mean the same inside.
            "working_dir": str(Path.cwd()),
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "environment": dict(STEP_VARIABLES),
            "labels": {_LABEL: str(self.output)},
            **({} if self.network else {"network_mode": "none"}),
        }

    def volumes(self) -> dict[str, dict[str, str]]:
        """The mounts, as the engine's client takes them."""
        readable = {str(path): {"bind": str(path), "mode": "ro"} for path in self.readable}
        writable = {str(path): {"bind": str(path), "mode": "rw"} for path in self.writable}
        return readable | writable

    def stop_leftovers(self) -> None:
        """Removes the containers of a run that was killed; the lock says that it is not at work."""
        filters = {"label": f"{_LABEL}={self.output}"}
        with engine() as client:
            for left in client.containers.list(all=True, filters=filters):
                left.remove(force=True)

    @contextlib.contextmanager
    def started(
        self, client: Any, command: Sequence[str], arguments: Mapping[str, Any]
    ) -> Iterator[Any]:
        """A container at work, which is gone afterwards.

        kfp's own way has the engine remove it, and takes a step whose container is gone before
        its exit code was asked for as one that succeeded.
        """
        container = client.containers.run(
            self.image, list(command), detach=True, volumes=self.volumes(), **arguments
        )
        try:
            yield container
        finally:
            container.remove(force=True)


@contextlib.contextmanager
def engine() -> Iterator[Any]:
    """A client of the engine that DOCKER_HOST names, or of this machine's.

    Raises:
        SetupError: the package `docker` is missing, or no engine answers.
    """
    try:
        import docker
    except ImportError:
        raise SetupError(
            "expected the package docker. Received: it is not installed; "
            "pip install 'loomline[container]'"
        ) from None
    where = os.environ.get("DOCKER_HOST", "the default socket")
    with contextlib.ExitStack() as stack:
        try:
            client = stack.enter_context(contextlib.closing(docker.from_env()))
            client.ping()
        except (docker.errors.DockerException, OSError) as error:
            cause = " ".join(str(error).split())
            raise SetupError(f"expected a Docker engine at {where}. Received: {cause}") from None
        yield client


def image_id(image: str) -> str:
    """The digest of an image's content, which counts as the code of its steps.

    Raises:
        ConfigError: the engine has no such image.
        SetupError: there is no engine.
    """
    with engine() as client:
        import docker

        try:
            return str(client.images.get(image).id)
        except docker.errors.NotFound:
            have = sorted(tag for each in client.images.list() for tag in each.tags)
            raise ConfigError(
                f"--image expects an image that the engine has, such as make image builds. "
                f"Received: {image}; it has {', '.join(have) or 'none'}"
            ) from None


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of an output that comes in pieces of any size."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace") + "\n"
    if rest:
        yield rest.decode("utf-8", "replace") + "\n"


def folders_of(files: Iterable[Path]) -> tuple[Path, ...]:
    """The folders to mount so that a container sees these files; packages are inside of it."""
    prefix = Path(sys.prefix).resolve()
    parents = {path.absolute().parent for path in files}
    outside = sorted(path for path in parents if not path.resolve().is_relative_to(prefix))
    if len(outside) > _MANY_FOLDERS:
        return (Path(os.path.commonpath(outside)),)
    return tuple(path for path in outside if not any(other in path.parents for other in outside))

"""The image of the steps, where a Docker engine has it; `make test-image` sees to both."""

import os
import subprocess
from collections.abc import Callable, Sequence

import pytest

from components.errors import LoomlineError
from container.build import tag
from pipelines.containers import image_id

Inside = Callable[..., subprocess.CompletedProcess[str]]


def _image(variant: str) -> str:
    try:
        image_id(tag(variant))
    except LoomlineError as error:
        pytest.skip(f"the image {tag(variant)}: {error} (make test-image)")
    return tag(variant)


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image for processors."""
    return _image("cpu")


@pytest.fixture(scope="session")
def tfx_image() -> str:
    """The name of the image with the whole of TFX."""
    return _image("tfx")


def run_inside(
    image: str, command: Sequence[str], *options: str, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a container that is as locked down as those of the steps."""
    locked = ["--read-only", "--tmpfs=/tmp", "--network=none", "--cap-drop=ALL"]
    return subprocess.run(
        ["docker", "run", "--rm", *locked, *options, image, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=os.environ,
    )


@pytest.fixture(scope="session")
def inside(image: str) -> Inside:
    """Runs a command in a container of the image for processors."""

    def run(*command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        return run_inside(image, command, *options)

    return run

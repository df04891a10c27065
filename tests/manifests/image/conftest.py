"""The image of the steps, where a Docker engine has it; `make test-image` sees to both."""

import subprocess
from collections.abc import Callable, Sequence

import pytest

from components.errors import LoomlineError
from manifests.image.build import tag
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


def _inside(image: str) -> Inside:
    def run(*command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        locked = ["--read-only", "--tmpfs=/tmp:mode=1777", "--network=none", "--cap-drop=ALL"]
        return subprocess.run(
            ["docker", "run", "--rm", *locked, *options, image, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )

    return run


@pytest.fixture(scope="session")
def inside(image: str) -> Inside:
    """Runs a command in a container of the image for processors."""
    return _inside(image)


@pytest.fixture(scope="session")
def inside_tfx() -> Inside:
    """Runs a command in a container of the image with the whole of TFX."""
    return _inside(_image("tfx"))

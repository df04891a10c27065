"""Builds the image of every step with the Docker engine at hand.

    python -m manifests.image.build [cpu|tfx|gpu|tpu] [docker build's own options]

What this machine's pip and uv are told, such as a private index or certificate, is passed on as
secrets, of which the image keeps nothing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from components.errors import ConfigError, LoomlineError, SetupError
from components.image import IMAGE
from manifests.image.dates import date_image

ROOT = Path(__file__).parents[2]
VARIANTS = ("cpu", "tfx", "gpu", "tpu")


def tag(variant: str) -> str:
    """The name of a variant's image; the one that pipelines name by default is for processors."""
    return IMAGE if variant == "cpu" else f"{IMAGE}-{variant}"


def build(variant: str, options: Sequence[str] = (), name: str = "") -> str:
    """Builds a variant.

    Args:
        variant: one of `VARIANTS`.
        options: options of `docker build`.
        name: the image's name, if not the usual one.

    Returns:
        The image's name.

    Raises:
        ConfigError: there is no such variant.
        SetupError: there is no docker command, or the build failed.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"expected one of {', '.join(VARIANTS)}. Received: {variant!r}")
    name = name or tag(variant)
    date = _git("log", "-1", "--format=%ct") or "0"
    with tempfile.TemporaryDirectory() as folder:
        secrets = [f"--secret=id={key},src={path}" for key, path in _secrets(Path(folder))]
        command = [
            "docker",
            "build",
            f"--file={ROOT / 'Dockerfile.component'}",
            f"--tag={name}",
            f"--build-arg=VARIANT={variant}",
            f"--build-arg=REVISION={_git('describe', '--always', '--dirty')}",
            f"--build-arg=SOURCE_DATE_EPOCH={date}",
            *secrets,
            *_of_the_machine(os.environ),
            *options,
            str(ROOT),
        ]
        try:
            subprocess.run(command, check=True, env={**os.environ, "DOCKER_BUILDKIT": "1"})
        except FileNotFoundError:
            raise SetupError("expected the command docker. Received: there is none") from None
        except subprocess.CalledProcessError as error:
            raise SetupError(
                f"docker build ended with {error.returncode}; its last lines say why"
            ) from None
    date_image(name, int(date))
    return name


def _of_the_machine(environment: Mapping[str, str]) -> list[str]:
    """What an engine without a registry or a bridge needs; see `manifests.image.engine`."""
    options = []
    if base := environment.get("LOOMLINE_IMAGE_BASE"):
        options.append(f"--build-arg=BASE={base}")
    if network := environment.get("LOOMLINE_BUILD_NETWORK"):
        options.append(f"--network={network}")
    return options


def _secrets(folder: Path) -> Iterator[tuple[str, Path]]:
    home = Path.home()
    if index := os.environ.get("PIP_INDEX_URL"):
        (folder / "pip.conf").write_text(f"[global]\nindex-url = {index}\n", "utf-8")
    if index := os.environ.get("UV_DEFAULT_INDEX"):
        (folder / "uv.toml").write_text(f'[[index]]\nurl = "{index}"\ndefault = true\n', "utf-8")
    candidates = {
        "pip": [
            folder / "pip.conf",
            Path(os.environ.get("PIP_CONFIG_FILE", home / ".config/pip/pip.conf")),
            Path("/etc/pip.conf"),
        ],
        "uv": [folder / "uv.toml", home / ".config/uv/uv.toml", Path("/etc/uv/uv.toml")],
        "certificates": [Path(os.environ.get("SSL_CERT_FILE", folder / "none"))],
    }
    for key, paths in candidates.items():
        if found := next((path for path in paths if path.is_file()), None):
            yield key, found


def _git(*arguments: str) -> str:
    """What git says, or nothing where the code is not in git."""
    command = ["git", "-C", str(ROOT), *arguments]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def main() -> None:
    """Builds what the arguments name."""
    variant, *options = sys.argv[1:] or ["cpu"]
    try:
        print(build(variant, options))
    except LoomlineError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

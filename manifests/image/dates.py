"""Gives an image the date of its inputs where the engine wrote the time of the build into it.

An image's digest covers the times in its configuration. BuildKit takes them from SOURCE_DATE_EPOCH
since 0.11; the one in Docker 20.10, which Debian 12 has, does not. Its engine loads an image from a
configuration alone when it has all layers, so no layer is read or written for this.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from datetime import UTC, datetime
from typing import Any

from components.errors import SetupError


def date_image(name: str, seconds: int) -> None:
    """Sets the date of an image and of its steps.

    Args:
        name: one of the image's names; all of them go over to what it becomes.
        seconds: since 1970.

    Raises:
        SetupError: the engine has no such image, or does not take what is made of it.
    """
    (image,) = json.loads(_docker("image", "inspect", name))
    date = datetime.fromtimestamp(seconds, UTC)
    if datetime.fromisoformat(image["Created"]) == date:
        return
    format_ = "--format={{json .}}"
    told = _docker("history", "--no-trunc", "--human=false", format_, name).splitlines()
    steps = [json.loads(line) for line in reversed(told)]
    configuration = _configuration(image, steps, date)
    _docker("image", "load", "--quiet", stdin=_archive(image["RepoTags"], configuration))
    (dated,) = json.loads(_docker("image", "inspect", name))
    if dated["Id"] != image["Id"]:
        # What it was before has no name any more. Cached layers stay.
        _docker("image", "rm", "--no-prune", image["Id"])


def _configuration(
    image: dict[str, Any], steps: list[dict[str, str]], date: datetime
) -> dict[str, Any]:
    layers = image["RootFS"]["Layers"]
    created = date.isoformat().replace("+00:00", "Z")
    history: list[dict[str, Any]] = []
    for step in steps:
        # Of a cached step the engine tells when it was cached.
        history.append({"created": created, "created_by": step["CreatedBy"]})
        if step["Comment"]:
            history[-1]["comment"] = step["Comment"]
        if step["Size"] == "0":
            history[-1]["empty_layer"] = True
    if sum("empty_layer" not in step for step in history) != len(layers):
        # Which step made which layer is not told; no history is better than a wrong one.
        history = []
    return {
        "architecture": image["Architecture"],
        "os": image["Os"],
        "created": created,
        "config": {key: value for key, value in image["Config"].items() if value},
        "history": history,
        "rootfs": {"type": "layers", "diff_ids": layers},
    }


def _archive(names: list[str], configuration: dict[str, Any]) -> bytes:
    """What `docker image load` reads, without the layers, which the engine has."""
    layers = [f"{index}.tar" for index in range(len(configuration["rootfs"]["diff_ids"]))]
    manifest = [{"Config": "config.json", "RepoTags": names, "Layers": layers}]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for file, content in (("config.json", configuration), ("manifest.json", manifest)):
            data = json.dumps(content, sort_keys=True).encode()
            member = tarfile.TarInfo(file)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _docker(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise SetupError(f"docker {' '.join(arguments[:2])}: {' '.join(said)}")
    return done.stdout.decode("utf-8")

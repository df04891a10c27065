"""The image's build is locked, knows the machine's pip only as secrets, and says what is wrong."""

import re
import stat
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.errors import SetupError
from components.image import IMAGE
from manifests.image.build import ROOT, VARIANTS, _git, build, tag
from pipelines.hardware import load_hardware

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for the docker command writes its arguments and its secrets."""
    seconds = int(_git("log", "-1", "--format=%ct") or 0)
    date = datetime.fromtimestamp(seconds, UTC).isoformat()
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        # An engine that took the date of the image from SOURCE_DATE_EPOCH.
        'test "$1" = build || { printf "[{\\"Created\\": \\"%s\\"}]" '
        f'"{date}"; exit; }}\n'
        f'for word in "$@"; do echo "$word" >> {tmp_path}/arguments; done\n'
        f'for word in "$@"; do case "$word" in --secret=*) cat "${{word##*src=}}" >> '
        f"{tmp_path}/secrets;; esac; done\n",
        "utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def test_an_index_is_a_secret_and_no_argument(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = "https://somebody:password@index.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    assert build("tfx", ["--no-cache"]) == f"{IMAGE}-tfx"
    arguments = (told / "arguments").read_text("utf-8")
    assert "index.example" not in arguments
    assert (told / "secrets").read_text("utf-8").count(index) == 2
    assert {"--build-arg=VARIANT=tfx", "--no-cache", f"--tag={IMAGE}-tfx"} <= set(
        arguments.splitlines()
    )


def test_a_machine_without_a_registry_names_its_base(
    told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMLINE_IMAGE_BASE", "mine:1")
    monkeypatch.setenv("LOOMLINE_BUILD_NETWORK", "host")
    build("cpu")
    arguments = (told / "arguments").read_text("utf-8").splitlines()
    assert {"--build-arg=BASE=mine:1", "--network=host"} <= set(arguments)


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "manifests.image.build", "arm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: expected one of cpu, tfx, gpu, tpu. Received: 'arm'\n"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="the command docker"):
        build("cpu")


@pytest.mark.parametrize("variant", [*VARIANTS, "tools"])
def test_every_package_of_a_lock_has_hashes_and_no_index(variant: str) -> None:
    lock = (ROOT / "requirements" / f"image-{variant}.txt").read_text("utf-8")
    pinned = re.findall(r"^[a-z0-9][\w.-]*(?:\[[\w,-]+\])?==\S+( \\)?", lock, re.MULTILINE)
    assert len(pinned) > 20
    assert all(pinned)
    assert not re.search(r"^-", lock, re.MULTILINE)
    assert "://" not in lock


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_lock_has_all_that_the_pipeline_asks_for(variant: str) -> None:
    lock = (ROOT / "requirements" / f"image-{variant}.txt").read_text("utf-8")
    pinned = set(re.findall(r"^([a-z0-9][\w.-]*)(?:\[|==)", lock, re.MULTILINE))
    asked = PYPROJECT["project"]["optional-dependencies"]["pipeline"]
    names = {re.split(r"[\[<>=]", item)[0].lower() for item in asked} - {"loomline"}
    instead = {"tensorflow": "tensorflow" if variant == "gpu" else "tensorflow-cpu"}
    assert {instead.get(name, name) for name in names} <= pinned
    assert tag(variant).startswith(IMAGE)


def test_profiles_and_manifests_name_the_images_that_are_built() -> None:
    for variant in ("cpu", "gpu", "tpu"):
        assert load_hardware(variant).image == tag(variant)
    named = {
        name
        for path in (ROOT / "manifests").rglob("*.yaml")
        for name in re.findall(r"image: (loomline/\S+)", path.read_text("utf-8"))
    }
    assert named == {tag("cpu")}

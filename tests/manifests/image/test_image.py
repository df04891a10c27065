"""The image is what it says: small, unprivileged, without build tools, listed, precompiled."""

import io
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from manifests.image.build import build
from manifests.image.dates import date_image
from pipelines.containers import engine, image_id
from pipelines.local import STEP_IMPORTS

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

Inside = Callable[..., subprocess.CompletedProcess[str]]
GIGABYTE = 1_000_000_000
STEPS = (
    "components.drift.drift",
    "components.drift.image.pictures",
    "components.evaluate.evaluate",
    "components.gate.gate",
    "components.ingest.ingest",
    "components.push.push",
    "components.summarize.summarize",
    "components.train.train",
    "components.transform.transform",
    "components.validate.validate",
)


@pytest.fixture(scope="module")
def attributes(image: str) -> dict[str, Any]:
    with engine() as client:
        found: dict[str, Any] = client.images.get(image).attrs
        return found


def test_it_is_below_two_and_a_half_gigabytes(attributes: dict[str, Any]) -> None:
    assert attributes["Size"] < 2.5 * GIGABYTE


def test_it_says_what_it_is(attributes: dict[str, Any]) -> None:
    labels = attributes["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "Loomline component (cpu)"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.revision"] not in ("", "unknown")


def test_nothing_of_the_machine_that_built_it_is_in_it(attributes: dict[str, Any]) -> None:
    recorded = json.dumps(attributes["Config"]["Env"])
    assert not any(word in recorded for word in ("PIP_", "UV_", "INDEX", "PROXY", "SSL_"))


def test_it_runs_as_nobody_in_particular(inside: Inside) -> None:
    assert inside("id", "-u").stdout.strip() == "10001"
    # Whoever a cluster or a caller chooses.
    done = inside("loomline", "config", "text", options=["--user=54321:54321"])
    assert done.returncode == 0, done.stderr
    assert "vocabulary_size" in done.stdout


def test_no_build_tool_is_left(inside: Inside) -> None:
    script = "for tool in gcc cc g++ make ld git curl uv cyclonedx-py; do command -v $tool; done"
    assert inside("sh", "-c", script).stdout == ""
    assert inside("python3", "-m", "pip", "--version").returncode != 0


def test_the_packages_and_debians_are_listed(inside: Inside) -> None:
    listed = json.loads(inside("cat", "/opt/loomline/sbom.cdx.json").stdout)
    assert listed["bomFormat"] == "CycloneDX"
    names = {component["name"].lower().replace("_", "-") for component in listed["components"]}
    assert {"tensorflow-cpu", "keras", "kfp", "libc6"} <= names
    script = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    found = inside("python3", "-c", script).stdout.split()
    installed = {name.lower().replace("_", "-") for name in found}
    # The code itself is what the list is about.
    assert installed - names <= {"loomline"}


def test_the_steps_import_from_bytecode_that_nothing_checks(inside: Inside) -> None:
    modules = [*STEPS, *(name for names in STEP_IMPORTS.values() for name in names)]
    script = (
        "import importlib, importlib.util, pathlib, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "known = [m for m in list(sys.modules.values()) if getattr(m, '__spec__', None)]\n"
        "files = {m.__spec__.cached for m in known if m.__spec__.cached}\n"
        "ours = [pathlib.Path(f) for f in files if f.startswith('/opt/loomline')]\n"
        "missing = [f for f in ours if not f.is_file()]\n"
        "print(len(ours), len(missing), *missing[:5])\n"
        "flags = {f.read_bytes()[4] for f in ours if f.is_file()}\n"
        "print(flags)\n"
    )
    done = inside("python3", "-c", script)
    assert done.returncode == 0, done.stderr
    counts, flags = done.stdout.strip().splitlines()[-2:]
    total, missing, *examples = counts.split()
    assert int(total) > 3000
    # A few modules of cloud clients are compiled when they are imported.
    assert int(missing) < 0.02 * int(total), examples
    assert flags == "{1}"


def test_what_it_wrote_in_building_has_one_date(inside: Inside) -> None:
    other = "-newermt 1980-01-02 -o ! -newermt 1979-12-31"
    script = f"find /opt/loomline {other} | head -3"
    assert inside("sh", "-c", script).stdout == ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_build_from_nothing_gives_the_same_digest(image: str) -> None:
    # From the cache, where the image is what the tree would make now.
    first = build("cpu", ["--quiet"], name=f"{image}-first")
    second = build("cpu", ["--quiet", "--no-cache"], name=f"{image}-second")
    try:
        assert image_id(second) == image_id(first)
    finally:
        with engine() as client:
            for name in (first, second):
                client.images.remove(name)


def test_an_image_gets_the_date_of_its_inputs_by_all_its_names(image: str) -> None:
    names = (f"{image}-dated", f"{image}-dated-too")
    seconds = int(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp())
    with engine() as client:
        made = io.BytesIO(f"FROM {image}\nLABEL purpose=dated\n".encode())
        before, _ = client.images.build(fileobj=made, tag=names[0])
        before.tag(names[1])
        before.reload()
        try:
            date_image(names[0], seconds)
            dated, also = (client.images.get(name) for name in names)
            assert also.id == dated.id != before.id
            assert dated.attrs["Created"] == "2001-02-03T04:05:06Z"
            assert {step["Created"] for step in dated.history()} == {seconds}
            for key in ("RootFS", "Architecture", "Os"):
                assert dated.attrs[key] == before.attrs[key]
            for key in ("Cmd", "Env", "Labels", "User"):
                assert dated.attrs["Config"][key] == before.attrs["Config"][key]
            assert not [found for found in client.images.list() if found.id == before.id]
            assert client.containers.run(names[0], ["id", "-u"], remove=True, network_mode="none")
        finally:
            for name in names:
                client.images.remove(name)

"""Steps run in containers of the image: they see what they are given, and end with the run."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from kfp import dsl

from pipelines.containers import Containers, engine
from pipelines.steps import StepRecord, run_pipeline

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

IMAGE = "loomline/component-python:test"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def look(folder: str, outside: str, found: dsl.Output[dsl.Artifact]) -> None:
    """Writes what a step can see and do."""
    import json
    import os
    import platform
    import socket
    from pathlib import Path

    def writes(path: str) -> bool:
        try:
            (Path(path) / "written").write_text("x", "utf-8")
        except OSError:
            return False
        return True

    print("progress: looking")
    seen = {
        "libc": platform.libc_ver()[1],
        "uid": os.getuid(),
        "writes": {path: writes(path) for path in ("/", "/opt/loomline", "/tmp", folder)},
        "outside": Path(outside).exists(),
        "interfaces": [name for _, name in socket.if_nameindex()],
    }
    Path(found.path).write_text(json.dumps(seen), "utf-8")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refuse() -> None:
    """Ends as a user's mistake does, at once."""
    from components.errors import DataError, one_line_errors

    with one_line_errors():
        raise DataError("expected data. Received: none")


@dsl.pipeline(name="looking")
def looking(folder: str, outside: str) -> None:
    """Looks around."""
    look(folder=folder, outside=outside)


@dsl.pipeline(name="refusing")
def refusing() -> None:
    """Fails."""
    refuse().set_caching_options(False)


class Deaf:
    def started(self, step: StepRecord) -> None: ...

    def progressed(self, step: StepRecord) -> None: ...

    def finished(self, step: StepRecord) -> None: ...


def run(pipeline: object, arguments: dict[str, str], image: str, folder: Path) -> StepRecord:
    output = folder / "output"
    output.mkdir(exist_ok=True)
    (step,) = run_pipeline(
        pipeline,  # type: ignore[arg-type]
        arguments,
        pipeline_root=output / "artifacts",
        cache_root=output / "cache",
        logs=output / "logs",
        listener=Deaf(),
        containers=Containers(image, output, (output,)),
    )
    return step


def test_a_step_sees_and_may_what_it_is_given(image: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    output = str(tmp_path / "output")
    step = run(looking, {"folder": output, "outside": str(outside)}, image, tmp_path)
    assert step.state == "succeeded", Path(step.log).read_text("utf-8")
    assert step.note == "looking"
    artifact = Path(step.outputs["found"])
    seen = json.loads(artifact.read_text("utf-8"))
    assert tuple(map(int, seen["libc"].split("."))) >= (2, 41)
    assert seen["uid"] == os.getuid() == artifact.stat().st_uid
    assert seen["writes"] == {"/": False, "/opt/loomline": False, "/tmp": True, output: True}
    assert not seen["outside"]
    assert seen["interfaces"] == ["lo"]


@pytest.mark.parametrize("attempt", range(3))
def test_a_step_that_fails_at_once_has_failed(image: str, tmp_path: Path, attempt: int) -> None:
    # kfp's own way sometimes finds the container gone, and takes that for success.
    step = run(refusing, {}, image, tmp_path)
    assert step.state == "failed"
    assert step.error == "expected data. Received: none"


SLEEPER = """
    from pathlib import Path
    from kfp import dsl
    from pipelines.containers import Containers
    from pipelines.steps import run_pipeline

    @dsl.component(base_image="{image}", install_kfp_package=False)
    def sleep(marker: str) -> None:
        import time
        open(marker, "w").write("here")
        time.sleep(300)

    @dsl.pipeline(name="sleeper")
    def sleeper(marker: str) -> None:
        sleep(marker=marker)

    class Deaf:
        def started(self, step): pass
        def progressed(self, step): pass
        def finished(self, step): pass

    root = Path({root!r})
    run_pipeline(sleeper, {{"marker": str(root / "marker")}}, pipeline_root=root / "a",
                 cache_root=root / "c", logs=root / "l", listener=Deaf(),
                 containers=Containers("{image}", root, (root,)))
"""


def at_work(output: Path) -> int:
    with engine() as client:
        return len(client.containers.list(filters={"label": f"loomline.output={output}"}))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_container_outlives_a_run(image: str, tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "sleeper.py"
    script.write_text(textwrap.dedent(SLEEPER.format(image=image, root=str(tmp_path))), "utf-8")
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "marker").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert at_work(tmp_path) == 1
    finally:
        parent.send_signal(how)
        parent.wait(60)
    if how == signal.SIGKILL:
        # Nobody was left to end it; the next run in the folder does, before it starts.
        Containers(image, tmp_path, (tmp_path,)).stop_leftovers()
    assert at_work(tmp_path) == 0

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
from pipelines.early_containers import EarlyContainers
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


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def lead() -> None:
    """Takes its time."""
    import time

    time.sleep(5)


@dsl.pipeline(name="leading")
def leading(folder: str) -> None:
    """Looks around in its turn."""
    first = lead().set_caching_options(False)
    look(folder=folder, outside="/nowhere").set_caching_options(False).after(first)


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


def run(
    pipeline: object,
    arguments: dict[str, str],
    image: str,
    folder: Path,
    imports: dict[str, tuple[str, ...]] | None = None,
) -> StepRecord:
    output = folder / "output"
    output.mkdir(exist_ok=True)
    *_, step = run_pipeline(
        pipeline,  # type: ignore[arg-type]
        arguments,
        pipeline_root=output / "artifacts",
        cache_root=output / "cache",
        logs=output / "logs",
        listener=Deaf(),
        imports=imports,
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


def test_a_container_imports_before_its_turn_and_may_no_more(image: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    imports = {"lead": (), "look": ("sqlite3", "no_such_module")}
    step = run(leading, {"folder": str(output)}, image, tmp_path, imports)
    assert step.state == "succeeded", Path(step.log).read_text("utf-8")
    assert "imports are done" in Path(step.log).read_text("utf-8")
    # Its imports passed in the time of the step before.
    assert step.seconds < 4
    seen = json.loads(Path(step.outputs["found"]).read_text("utf-8"))
    assert seen["uid"] == os.getuid()
    written = {"/": False, "/opt/loomline": False, "/tmp": True, str(output): True}
    assert seen["writes"] == written
    assert seen["interfaces"] == ["lo"]
    assert of_the_run(output) == []


def test_a_container_whose_turn_never_comes_is_removed(image: str, tmp_path: Path) -> None:
    run(refusing, {}, image, tmp_path, {"refuse": (), "look": ()})
    assert of_the_run(tmp_path / "output") == []


def test_a_step_whose_waiting_container_has_died_gets_another(image: str, tmp_path: Path) -> None:
    containers = Containers(image, tmp_path, (tmp_path,))
    arguments = containers.arguments()
    early = EarlyContainers(containers, tmp_path, {"one": (), "two": ()})
    try:
        with engine() as client:
            with early.started("one", client, ["sleep", "60"], arguments) as one:
                deadline = time.monotonic() + 60
                while len(at_work := of_the_run(tmp_path, "running")) < 2:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                (waiting,) = set(at_work) - {one.id}
                client.containers.get(waiting).kill()
            with early.started("two", client, ["true"], arguments) as two:
                assert two.id != waiting
                assert two.wait()["StatusCode"] == 0
    finally:
        early.stop()
    assert of_the_run(tmp_path) == []


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
    def sleep() -> None:
        import time
        time.sleep(300)

    @dsl.pipeline(name="sleeper")
    def sleeper() -> None:
        sleep()

    class Deaf:
        def started(self, step): pass
        def progressed(self, step): pass
        def finished(self, step): pass

    root = Path({root!r})
    run_pipeline(sleeper, {{}}, pipeline_root=root / "a",
                 cache_root=root / "c", logs=root / "l", listener=Deaf(),
                 imports={{"sleep": (), "later": ()}},
                 containers=Containers("{image}", root, (root,)))
"""


def of_the_run(output: Path, status: str = "") -> list[str]:
    """The containers of a run, whatever has become of them."""
    filters = {"label": f"loomline.output={output}", **({"status": status} if status else {})}
    with engine() as client:
        return [found.id for found in client.containers.list(all=True, filters=filters)]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_container_outlives_a_run(image: str, tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "sleeper.py"
    script.write_text(textwrap.dedent(SLEEPER.format(image=image, root=str(tmp_path))), "utf-8")
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        # The step at work, and the one that waits for its turn.
        while len(of_the_run(tmp_path, "running")) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(of_the_run(tmp_path, "running")) == 2
    finally:
        parent.send_signal(how)
        parent.wait(60)
    if how == signal.SIGKILL:
        # Who waits notices; nobody is left to end the step at work.
        while len(of_the_run(tmp_path, "running")) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(of_the_run(tmp_path, "running")) == 1
        # The next run in the folder does, before it starts.
        Containers(image, tmp_path, (tmp_path,)).stop_leftovers()
    assert of_the_run(tmp_path) == []

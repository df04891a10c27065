"""Steps run as real subprocesses of kfp.local, are cached, and are told of as they go."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from kfp import dsl

from pipelines.steps import StepRecord, run_pipeline

IMAGE = "loomline/component-python:test"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def greet(name: str, greeting: dsl.Output[dsl.Artifact]) -> bool:
    """Writes a greeting."""
    from components.errors import DataError, one_line_errors

    print("progress: greeting")
    with one_line_errors():
        if name == "nobody":
            raise DataError("expected a name. Received: nobody")
    if name == "defect":
        raise ZeroDivisionError
    with open(greeting.path, "w") as stream:
        stream.write(f"hello {name}")
    return name != "stranger"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def shout(greeting: dsl.Input[dsl.Artifact], target: str) -> None:
    """Writes the greeting in capitals."""
    with open(greeting.path) as source, open(target, "w") as stream:
        stream.write(source.read().upper())


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def leave(status: dsl.PipelineTaskFinalStatus, target: str) -> None:
    """Writes how the run ended."""
    with open(target, "w") as stream:
        stream.write(status.state)


@dsl.pipeline(name="greeting")
def greeting(name: str, target: str, ended: str) -> None:
    """Greets."""
    with dsl.ExitHandler(leave(target=ended).set_caching_options(False)):
        greeted = greet(name=name)
        with dsl.If(greeted.outputs["Output"] == True):  # noqa: E712
            shout(greeting=greeted.outputs["greeting"], target=target).set_caching_options(False)


class Heard:
    """Remembers what a listener is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def started(self, step: StepRecord) -> None:
        self.events.append(("started", step.name))

    def progressed(self, step: StepRecord) -> None:
        self.events.append(("progressed", step.note))

    def finished(self, step: StepRecord) -> None:
        self.events.append(("finished", step.name))


def run(
    folder: Path,
    name: str,
    heard: Heard | None = None,
    imports: dict[str, tuple[str, ...]] | None = None,
) -> dict[str, StepRecord]:
    steps = run_pipeline(
        greeting,
        {"name": name, "target": str(folder / "shout"), "ended": str(folder / "ended")},
        pipeline_root=folder / "artifacts",
        cache_root=folder / "cache",
        logs=folder / f"logs-{name}",
        listener=heard or Heard(),
        imports=imports,
    )
    return {step.name: step for step in steps}


def test_a_run_is_reported_cached_and_repeated(tmp_path: Path) -> None:
    heard = Heard()
    first = run(tmp_path, "you", heard)
    assert (tmp_path / "shout").read_text() == "HELLO YOU"
    assert (tmp_path / "ended").read_text() == "SUCCEEDED"
    assert ("progressed", "greeting") in heard.events
    assert not first["greet"].cached
    assert "progress: greeting" in Path(first["greet"].log).read_text()

    (tmp_path / "shout").unlink()
    again = run(tmp_path, "you")
    assert again["greet"].cached
    assert not again["shout"].cached
    assert (tmp_path / "shout").read_text() == "HELLO YOU"


def test_a_step_may_import_before_its_turn(tmp_path: Path) -> None:
    steps = run(tmp_path, "you", imports={"greet": (), "shout": ("wave",)})
    assert (tmp_path / "shout").read_text() == "HELLO YOU"
    assert steps["shout"].waited > 0
    assert steps["greet"].waited == 0


def test_an_import_that_fails_early_does_not_stop_the_step(tmp_path: Path) -> None:
    run(tmp_path, "you", imports={"greet": (), "shout": ("no_such_module",)})
    assert (tmp_path / "shout").read_text() == "HELLO YOU"


def test_no_early_process_outlives_the_run(tmp_path: Path) -> None:
    run(tmp_path, "stranger", imports={"greet": (), "shout": ("wave",)})
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert str(tmp_path) not in process.read_text("utf-8", "replace")


def test_a_condition_that_is_false_skips_its_steps(tmp_path: Path) -> None:
    steps = run(tmp_path, "stranger")
    assert "shout" not in steps
    assert not (tmp_path / "shout").exists()
    assert (tmp_path / "ended").read_text() == "SUCCEEDED"


def test_a_user_error_reaches_the_record_in_one_line(tmp_path: Path) -> None:
    steps = run(tmp_path, "nobody")
    assert steps["greet"].state == "failed"
    assert steps["greet"].error == "expected a name. Received: nobody"
    assert "shout" not in steps
    assert (tmp_path / "ended").read_text() == "FAILED"


def test_a_defect_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    steps = run(tmp_path, "defect")
    assert steps["greet"].state == "failed"
    assert steps["greet"].error == ""
    assert "ZeroDivisionError" in Path(steps["greet"].log).read_text()


def test_a_deleted_artifact_is_made_anew(tmp_path: Path) -> None:
    first = run(tmp_path, "you")
    Path(first["greet"].outputs["greeting"]).unlink()
    assert not run(tmp_path, "you")["greet"].cached


@pytest.mark.slow
def test_a_step_dies_with_the_run_that_started_it(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    script = tmp_path / "sleeper.py"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from kfp import dsl
        from pipelines.steps import run_pipeline

        @dsl.component(base_image="{IMAGE}", install_kfp_package=False)
        def sleep(marker: str) -> None:
            import os, time
            open(marker, "w").write(str(os.getpid()))
            time.sleep(120)

        @dsl.pipeline(name="sleeper")
        def sleeper(marker: str) -> None:
            sleep(marker=marker)

        class Deaf:
            def started(self, step): pass
            def progressed(self, step): pass
            def finished(self, step): pass

        root = Path({str(tmp_path)!r})
        run_pipeline(sleeper, {{"marker": {str(marker)!r}}}, pipeline_root=root / "a",
                     cache_root=root / "c", logs=root / "l", listener=Deaf())
        """)
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        deadline = time.monotonic() + 60
        while not (marker.exists() and marker.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        child = int(marker.read_text())
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"

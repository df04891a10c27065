"""How large the images are, and how long a step takes to start in one, against the local step.

    make image && make bench NAME=image_size
    make bench NAME=image_size ARGS=--rebuild    # also: does a second build give the same bytes?

Sizes are what the engine says of the variants that it has, uncompressed. A start is the wall time
of a step that does nothing but import what the pipeline's step of that name imports first, run by
`kfp.local` in a process and in a container in turn; `gate` imports nothing, so its row is the bare
price of a container. `start_STEP` is that of a step whose turn comes in a run: its process or its
container waits since the step before, which takes long enough. `cold_STEP` is that of the first
step of a run, which nothing waits for. A goal is an upper bound.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kfp import dsl

from benchmarks.common import alternate, conclude
from components.errors import LoomlineError
from components.image import IMAGE
from manifests.image.build import VARIANTS, build, tag
from pipelines.containers import Containers, engine, image_id
from pipelines.local import STEP_IMPORTS
from pipelines.steps import StepRecord, run_pipeline

PAIRS = 3
GOAL_GB = 2.5
GOAL_START = 1.3
# Long enough for every import on two idle cores.
BEFORE_SECONDS = 10.0
BEFORE, START = "before", "start"
STARTS = ("ingest", "validate", "transform", "train", "evaluate", "drift", "gate")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def start(modules: list) -> None:
    """Imports what it is told."""
    import importlib

    for module in modules:
        importlib.import_module(module)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def before(seconds: float) -> None:
    """Takes a while."""
    import time

    time.sleep(seconds)


@dsl.pipeline(name="cold")
def cold(modules: list) -> None:
    """One step that starts."""
    start(modules=modules).set_caching_options(False)


@dsl.pipeline(name="in-turn")
def in_turn(modules: list, seconds: float) -> None:
    """A step that starts after another one."""
    first = before(seconds=seconds).set_caching_options(False)
    start(modules=modules).set_caching_options(False).after(first)


class _Deaf:
    def started(self, step: StepRecord) -> None: ...

    def progressed(self, step: StepRecord) -> None: ...

    def finished(self, step: StepRecord) -> None: ...


def main() -> None:
    try:
        figures = {f"{variant}_gb": size for variant, size in sizes().items()}
        goals = {"cpu_gb": GOAL_GB}
        for name, ratio in starts().items():
            figures[name] = ratio
            goals[name] = GOAL_START
        if "--rebuild" in sys.argv[1:]:
            figures["rebuilt_differs"] = float(rebuilt())
            goals["rebuilt_differs"] = 0.0
    except LoomlineError as error:
        sys.exit(f"error: {error}")
    conclude("image_size", figures, goals, lower_is_better=True)


def sizes() -> dict[str, float]:
    """Gigabytes of each variant that the engine has.

    Raises:
        LoomlineError: there is no engine, or it lacks the image for processors.
    """
    image_id(tag("cpu"))
    found = {}
    with engine() as client:
        tags = {name: image for image in client.images.list() for name in image.tags}
        for variant in VARIANTS:
            image = tags.get(tag(variant))
            if image is None:
                print(f"  {variant:<4} not built here")
                continue
            found[variant] = image.attrs["Size"] / 1e9
            print(f"  {variant:<4} {found[variant]:.2f} GB")
    return found


def starts() -> dict[str, float]:
    """Name of the figure -> median over pairs of the time in a container over that in a process."""
    ratios = {}
    print(f"  {'start':<16} process  container  ratio   medians of {PAIRS}")
    for step in STARTS:
        modules = STEP_IMPORTS[step]
        for kind in ("cold", "start") if step != STARTS[0] else ("cold",):

            def in_process(modules: Sequence[str] = modules, kind: str = kind) -> float:
                return seconds(modules, kind, contained=False)

            def in_container(modules: Sequence[str] = modules, kind: str = kind) -> float:
                return seconds(modules, kind, contained=True)

            # The first of each reads files that later ones find in memory.
            in_container(), in_process()
            pairs = alternate(PAIRS, in_container, in_process)
            name = f"{kind}_{step}"
            ratios[name] = statistics.median(ours / theirs for ours, theirs in pairs)
            ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
            print(f"  {name:<16} {theirs:6.2f} s   {ours:6.2f} s   {ratios[name]:.2f}", flush=True)
    return ratios


def seconds(modules: Sequence[str], kind: str, contained: bool) -> float:
    """Wall time of one step that imports these modules, alone or in its turn."""
    with tempfile.TemporaryDirectory(prefix="loomline-start-") as name:
        folder = Path(name).resolve()
        arguments = {"modules": list(modules)}
        steps = run_pipeline(
            cold if kind == "cold" else in_turn,
            arguments if kind == "cold" else {**arguments, "seconds": BEFORE_SECONDS},
            pipeline_root=folder / "artifacts",
            cache_root=folder / "cache",
            logs=folder / "logs",
            listener=_Deaf(),
            imports={BEFORE: (), START: modules},
            containers=Containers(tag("cpu"), folder, (folder,)) if contained else None,
        )
        if steps[-1].state != "succeeded":
            raise SystemExit(Path(steps[-1].log).read_text("utf-8"))
        return steps[-1].seconds


def rebuilt() -> bool:
    """Whether a build from nothing gives another image than the same build from the cache."""
    first = image_id(build("cpu", ["--quiet"]))
    name = f"{tag('cpu')}-again"
    second = image_id(build("cpu", ["--no-cache", "--quiet"], name=name))
    subprocess.run(["docker", "rmi", name], check=True, stdout=subprocess.DEVNULL)
    print(f"  {first}\n  {second}, built again from nothing")
    return first != second


if __name__ == "__main__":
    main()

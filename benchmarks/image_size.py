"""How large the images are, and how long a step takes to start in one, against the local step.

    make image && make bench NAME=image_size
    make bench NAME=image_size ARGS=--rebuild    # also: does a second build give the same bytes?

Sizes are what the engine says of the variants that it has, uncompressed. A start is the wall time
of a step that does nothing but import what the pipeline's step of that name imports first, run by
`kfp.local` in a process and in a container in turn, three pairs; `gate` imports nothing, so its
row is the bare price of a container. A goal is an upper bound.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
STARTS = {**STEP_IMPORTS, "gate": ()}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def start(modules: list) -> None:
    """Imports what it is told."""
    import importlib

    for module in modules:
        importlib.import_module(module)


@dsl.pipeline(name="start")
def starting(modules: list) -> None:
    """One step that starts."""
    start(modules=modules).set_caching_options(False)


class _Deaf:
    def started(self, step: StepRecord) -> None: ...

    def progressed(self, step: StepRecord) -> None: ...

    def finished(self, step: StepRecord) -> None: ...


def main() -> None:
    try:
        figures = {f"{variant}_gb": size for variant, size in sizes().items()}
        goals = {"cpu_gb": GOAL_GB}
        for step, ratio in starts().items():
            figures[f"start_{step}"] = ratio
            goals[f"start_{step}"] = GOAL_START
        if "--rebuild" in sys.argv[1:]:
            figures["layers_that_differ"] = float(rebuilt())
            goals["layers_that_differ"] = 0.0
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
    """Step -> median over pairs of the time in a container over that in a process."""
    ratios = {}
    print("  start       process  container  ratio")
    for step, modules in STARTS.items():

        def in_process(modules: Sequence[str] = modules) -> float:
            return seconds(modules, contained=False)

        def in_container(modules: Sequence[str] = modules) -> float:
            return seconds(modules, contained=True)

        # The first of each reads files that later ones find in memory.
        in_container(), in_process()
        pairs = alternate(PAIRS, in_container, in_process)
        ratios[step] = statistics.median(ours / theirs for ours, theirs in pairs)
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"  {step:<10} {theirs:6.2f} s   {ours:6.2f} s   {ratios[step]:.2f}")
    return ratios


def seconds(modules: Sequence[str], contained: bool) -> float:
    """Wall time of one step that imports these modules."""
    with tempfile.TemporaryDirectory(prefix="loomline-start-") as name:
        folder = Path(name).resolve()
        (step,) = run_pipeline(
            starting,
            {"modules": list(modules)},
            pipeline_root=folder / "artifacts",
            cache_root=folder / "cache",
            logs=folder / "logs",
            listener=_Deaf(),
            containers=Containers(tag("cpu"), folder, (folder,)) if contained else None,
        )
        if step.state != "succeeded":
            raise SystemExit(Path(step.log).read_text("utf-8"))
        return step.seconds


def rebuilt() -> int:
    """How many layers of a build from nothing differ from those of the image at hand."""
    again = build("cpu", ["--no-cache", "--quiet"], name=f"{tag('cpu')}-again")
    first, second = (_layers(name) for name in (tag("cpu"), again))
    subprocess.run(["docker", "rmi", again], check=True, stdout=subprocess.DEVNULL, env=os.environ)
    print(
        f"  {len(second)} layers, built again: " + ("the same" if first == second else "different")
    )
    return sum(one != other for one, other in zip(first, second, strict=True))


def _layers(name: str) -> list[Any]:
    with engine() as client:
        layers: list[Any] = client.images.get(name).attrs["RootFS"]["Layers"]
        return layers


if __name__ == "__main__":
    main()

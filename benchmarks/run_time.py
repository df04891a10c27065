"""Times `make run` as a new user has it: a fresh clone, a fresh environment, then once more.

    make bench NAME=run_time

Packages come from the installer's cache, so run `make setup` before on a new machine. The share of
orchestration and imports is what the first run spends outside the steps' own work: the time
between and around steps, the wait for imports that were begun early, and every other import that
the steps make, as Python itself accounts for it. A goal is an upper bound.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, conclude
from components.artifacts import read_json

GOALS = {"first_seconds": 300.0, "again_seconds": 15.0, "overhead_share": 0.15}
IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| ")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="loomline-run-time-") as folder:
        clone = Path(folder) / "loomline"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        setup = timed_make(clone, "setup")
        first = timed_make(clone, "run", {"PYTHONPROFILEIMPORTTIME": "1"})
        share = overhead_share(clone / "runs" / "text" / "latest")
        again = timed_make(clone, "run")
        cached = cached_steps(clone / "runs" / "text" / "latest")
    print(f"environment {setup:.1f} s, first run {first:.1f} s, again {again:.1f} s ({cached})")
    figures = {
        "first_seconds": setup + first,
        "again_seconds": again,
        "overhead_share": share,
    }
    conclude("run_time", figures, GOALS, lower_is_better=True)


def timed_make(clone: Path, target: str, environment: dict[str, str] | None = None) -> float:
    """Seconds that a make target takes; its output goes to a file beside the clone."""
    log = clone.parent / f"{target}.log"
    start = time.monotonic()
    with log.open("a", encoding="utf-8") as stream:
        done = subprocess.run(
            ["make", target],
            cwd=clone,
            stdout=stream,
            stderr=stream,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    if done.returncode:
        sys.exit(f"make {target} failed:\n{log.read_text('utf-8')[-3000:]}")
    return time.monotonic() - start


def overhead_share(records: Path) -> float:
    """Share of the run's wall time that is orchestration or imports."""
    summary = read_json(records / "summary.json")
    steps: list[dict[str, Any]] = summary["steps"]
    working = 0.0
    for step in steps:
        imports = step["waited"] + (import_seconds(Path(step["log"])) if step["log"] else 0.0)
        print(f"  {step['name']:<10} {step['seconds']:6.1f} s, imports {imports:4.1f} s")
        working += max(0.0, step["seconds"] - imports)
    return 1.0 - working / float(summary["seconds"])


def import_seconds(log: Path) -> float:
    """Seconds that a step's process spent importing modules."""
    microseconds = sum(int(found) for found in IMPORT_LINE.findall(log.read_text("utf-8")))
    return microseconds / 1e6


def cached_steps(records: Path) -> str:
    """Which steps of a run were not answered from the cache."""
    steps = read_json(records / "summary.json")["steps"]
    return "ran: " + ", ".join(step["name"] for step in steps if not step["cached"])


if __name__ == "__main__":
    main()

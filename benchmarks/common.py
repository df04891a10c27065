"""What the benchmarks share: peers in processes of their own, alternating pairs, the last line."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
THREADS = 2
# What `components.train.learner.keep_freed_memory` does for our side; it speeds peers up as well.
KEEP_MEMORY = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647"

Measurement = TypeVar("Measurement")


class Worker:
    """A process that reads one JSON request a line and answers each with one JSON line.

    Args:
        command: the program and its arguments.
        environment: variables to set beside the inherited ones.
    """

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **thread_limits(), **(environment or {})},
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a request and waits for its answer.

        Raises:
            RuntimeError: the process ended instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"the worker ended with exit code {self._process.wait()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def peer(script: str, *arguments: object) -> Worker:
    """Starts a peer of `benchmarks/peers/` in the environment that has PyTorch.

    Raises:
        SystemExit: that environment is not there.
    """
    if not PEER_PYTHON.is_file():
        raise SystemExit(f"error: expected {PEER_PYTHON}; run `make bench NAME=...` to set it up")
    program = ROOT / "benchmarks" / "peers" / script
    return Worker([PEER_PYTHON, program, *map(str, arguments)], {"GLIBC_TUNABLES": KEEP_MEMORY})


def ours(script: str, *arguments: object) -> Worker:
    """Starts a program of `benchmarks/` in the environment of the project."""
    return Worker(
        [sys.executable, ROOT / "benchmarks" / script, *map(str, arguments)],
        {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def thread_limits(threads: int = THREADS) -> dict[str, str]:
    """Environment that gives OpenMP, MKL and TensorFlow the same number of threads."""
    names = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    )
    return dict.fromkeys(names, str(threads))


def alternate(
    pairs: int, ours: Callable[[], Measurement], theirs: Callable[[], Measurement]
) -> list[tuple[Measurement, Measurement]]:
    """Measures both sides in turn; who goes first changes from pair to pair.

    A machine's speed drifts within minutes, so only the two halves of a pair compare.
    """
    measured = []
    for index in range(pairs):
        if index % 2:
            second = theirs()
            measured.append((ours(), second))
        else:
            first = ours()
            measured.append((first, theirs()))
    return measured


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Median over the pairs of ours divided by theirs."""
    return statistics.median(mine / peer for mine, peer in pairs)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table for people; floats get three significant places."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def conclude(
    benchmark: str,
    figures: Mapping[str, float],
    goal: Mapping[str, float],
    lower_is_better: bool | Collection[str] = False,
) -> None:
    """Says of each figure whether it meets its goal, then prints the JSON line, last of all.

    Args:
        benchmark: its name.
        figures: what was measured, by name.
        goal: bounds of those figures that have one.
        lower_is_better: of all figures, or the names of those whose goal is an upper bound.
    """
    met = True
    lower = set(goal if lower_is_better is True else lower_is_better or ())
    for name, bound in goal.items():
        reached = figures[name] <= bound if name in lower else figures[name] >= bound
        met = met and reached
        word = "meets" if reached else "MISSES"
        print(f"{name}: {figures[name]:.3f} {word} its goal of {bound:g}")
    rounded = {name: round(value, 4) for name, value in figures.items()}
    line = {"benchmark": benchmark, "figures": rounded, "goal": dict(goal), "met": met}
    print(json.dumps(line), flush=True)

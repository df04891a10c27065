"""Two workers of one thread each against one worker of two threads, and 64 workers on paper.

Run by `make bench NAME=workers`. Both sides train the same model on the same batches of 64 windows
in turn. The two workers share each step as machines would: gRPC over loopback, one all-reduce.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, alternate, conclude, median_ratio, print_table, thread_limits
from benchmarks.train_text import CONTEXT, sample_windows

LAYERS, WIDTH, HEADS, VOCABULARY, BATCH = 4, 128, 4, 2048, 64
PAIRS, STEPS, WARM_STEPS = 4, 8, 2
MANY = 64
# Of the network between machines, on paper: 10 Gbit/s Ethernet with 90% of it used, and what one
# message takes from process to process.
BYTES_PER_SECOND, MESSAGE_SECONDS = 10e9 / 8 * 0.9, 50e-6


def main() -> None:
    """Measures both sides, and prints the table, the estimate and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--worker", choices=["single", "multi_worker"], help=argparse.SUPPRESS)
    parser.add_argument("--windows", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.windows)
        return
    with tempfile.TemporaryDirectory() as name:
        windows = Path(name) / "windows.npy"
        np.save(windows, sample_windows(BATCH * (WARM_STEPS + arguments.pairs * STEPS)))
        one, two = Side("single", 1, windows), Side("multi_worker", 2, windows)
        for side in (one, two):
            side.ask(WARM_STEPS)
        measured = alternate(arguments.pairs, lambda: two.ask(STEPS), lambda: one.ask(STEPS))
        for side in (one, two):
            side.close()
    ratio = median_ratio([(single["wall"], both["wall"]) for both, single in measured])
    rows: list[list[object]] = []
    for label, index in (("two workers, 1 thread each", 0), ("one worker, 2 threads", 1)):
        wall = statistics.median(pair[index]["wall"] for pair in measured)
        speed = STEPS * BATCH * CONTEXT / wall
        rows.append([label, speed, 1000 * wall / STEPS, measured[-1][index]["loss"]])
    print_table(
        f"Sharing a step, {arguments.pairs} pairs", ["", "tokens/s", "ms a step", "loss"], rows
    )
    size = measured[0][0]["bytes"]
    step = statistics.median(pair[1]["wall"] for pair in measured) / STEPS
    efficiency = print_estimate(size, step)
    figures = {"two_workers": ratio, "on_paper_64": efficiency, "all_reduce_bytes": float(size)}
    conclude("workers", figures, {"two_workers": 0.85})


def print_estimate(size: int, step: float) -> float:
    """Prints what 64 machines like this one would reach, each with the same share as now.

    Args:
        size: bytes of the buffer that is reduced in each step.
        step: seconds of a step of one worker alone, the update included, which is not shared.

    Returns:
        Throughput of 64 workers divided by 64 times that of one.
    """
    sent = 2 * (MANY - 1) / MANY * size
    reduce = sent / BYTES_PER_SECOND + 2 * (MANY - 1) * MESSAGE_SECONDS
    efficiency = step / (step + reduce)
    print(
        f"On paper, {MANY} workers with {BATCH} windows each ({MANY * BATCH:,} in a batch):\n"
        f"  ring all-reduce of B = {size:,} bytes in float32, each worker sends 2 (n - 1) / n B = "
        f"{sent:,.0f} bytes in 2 (n - 1) = {2 * (MANY - 1)} messages;\n"
        f"  at {BYTES_PER_SECOND / 1e9:.3g} GB/s (10 Gbit/s, 90% used) and "
        f"{MESSAGE_SECONDS * 1e6:.0f} us a message: {1000 * reduce:.1f} ms;\n"
        f"  a step of one worker alone takes {1000 * step:.1f} ms (measured, two threads);\n"
        f"  nothing overlaps, no worker is slower than another: efficiency step / (step + reduce) "
        f"= {efficiency:.3f}, {MANY * efficiency:.1f} times one worker."
    )
    return efficiency


class Side:
    """One worker or several, which do the same steps at the same time.

    Args:
        distribution: 'single' or 'multi_worker'.
        count: of workers; the two threads are shared among them.
        windows: file of the windows that they train on.
    """

    def __init__(self, distribution: str, count: int, windows: Path) -> None:
        sockets = [socket.socket() for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        command = [sys.executable, str(Path(__file__)), "--worker", distribution]
        self._processes = []
        for index in range(count):
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            environment = {
                **os.environ,
                **thread_limits(2 // count),
                "PYTHONPATH": str(ROOT),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **({"TF_CONFIG": json.dumps(config)} if count > 1 else {}),
            }
            self._processes.append(
                subprocess.Popen(
                    [*command, "--windows", str(windows)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )

    def ask(self, steps: int) -> dict[str, Any]:
        """Has all do so many steps; the first one's answer."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
        answers = [_answer(process) for process in self._processes]
        return answers[0]

    def close(self) -> None:
        """Ends them all at once: they leave together."""
        ends = [threading.Thread(target=each.communicate) for each in self._processes]
        for end in ends:
            end.start()
        for end in ends:
            end.join()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise RuntimeError(f"a worker ended with exit code {process.wait()}")


def work(distribution: str, windows: Path) -> None:
    """One worker: the train step's own learner, a number of steps for each line of stdin."""
    from components.train.learners import distribution_of, make_learner
    from components.train.options import TrainOptions

    options = TrainOptions.model_validate(
        {
            "layers": LAYERS,
            "width": WIDTH,
            "heads": HEADS,
            "context": CONTEXT,
            "batch_size": BATCH,
            "distribution": distribution,
        }
    )
    learner = make_learner(VOCABULARY, options, distribution_of(options))
    parameters = sum(int(np.prod(v.shape)) for v in learner.model.trainable_variables)
    batches = iter(np.load(windows).reshape(-1, BATCH, CONTEXT + 1))
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            loss, _ = learner.train(next(batches))
        value = float(loss)
        wall = time.perf_counter() - started
        # The gradients and the loss in float32, as DistributedLearner sends them.
        print(json.dumps({"wall": wall, "loss": value, "bytes": 4 * (parameters + 1)}), flush=True)


if __name__ == "__main__":
    main()

"""Two workers of one thread each against one worker of two threads, and 64 workers on paper.

Run by `make bench NAME=workers`; it takes one to six minutes, by how busy the machine is. Both
sides train the same model on the same batches of 64 windows in turn. The two workers share each
step as machines would: gRPC over loopback, one all-reduce, whose bytes are read from the graph that
is run. The goal is about the wall time; the ratio of CPU times says what sharing costs where others
use the machine, too, but not what waiting for each other does.
"""

from __future__ import annotations

import argparse
import json
import math
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

from benchmarks.common import (
    ROOT,
    THREADS,
    alternate,
    conclude,
    median_ratio,
    print_table,
    thread_limits,
)
from benchmarks.train_text import CONTEXT, sample_windows

LAYERS, WIDTH, HEADS, VOCABULARY, BATCH = 4, 128, 4, 2048, 64
PAIRS, STEPS, WARM_STEPS, REDUCES = 8, 4, 2, 10
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
            side.ask({"steps": WARM_STEPS})
        request = {"steps": STEPS}
        busy = [os.getloadavg()[0]]
        measured = alternate(arguments.pairs, lambda: two.ask(request), lambda: one.ask(request))
        busy.append(os.getloadavg()[0])
        reduced = two.ask({"reduces": REDUCES})
        for side in (one, two):
            side.close()
    ratios = {
        name: median_ratio([(single[name], both[name]) for both, single in measured])
        for name in ("wall", "cpu")
    }
    rows: list[list[object]] = []
    for label, index in (("two workers, 1 thread each", 0), ("one worker, 2 threads", 1)):
        wall, cpu = (
            statistics.median(pair[index][name] for pair in measured) for name in ("wall", "cpu")
        )
        speed = STEPS * BATCH * CONTEXT / wall
        loss = measured[-1][index]["loss"]
        rows.append([label, speed, 1000 * wall / STEPS, 1000 * cpu / STEPS, loss])
    columns = ["", "tokens/s", "ms a step", "CPU ms a step", "loss"]
    print_table(f"Sharing a step, {arguments.pairs} pairs", columns, rows)
    print(f"{os.cpu_count()} cores; load average {busy[0]:.1f} before and {busy[1]:.1f} after")
    if busy[0] > 1:
        # Workers wait for each other: a core that is taken from one is taken from both.
        print("The machine was BUSY: the wall times are those of a shared machine.")
    size = measured[0][0]["bytes"]
    alone = 1000 * reduced["wall"] / REDUCES
    print(f"An all-reduce of {size:,} bytes alone, over loopback: {alone:.1f} ms")
    # Whoever else uses the machine makes the wall time longer, and the estimate too good.
    step = statistics.median(pair[1]["cpu"] for pair in measured) / STEPS / THREADS
    efficiency = print_estimate(size, step)
    figures = {
        "two_workers": ratios["wall"],
        "two_workers_cpu": ratios["cpu"],
        "on_paper_64": efficiency,
        "all_reduce_bytes": float(size),
        "all_reduce_ms": alone,
    }
    conclude("workers", figures, {"two_workers": 0.85})


def print_estimate(size: int, step: float) -> float:
    """Prints what 64 machines like this one would reach, each with the same share as now.

    Args:
        size: bytes of the buffer that is reduced in each step.
        step: seconds of a step of one worker alone if its threads never wait, the update included,
            which is not shared.

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
        f"  a step of one worker alone takes {1000 * step:.1f} ms (CPU time / {THREADS} threads);\n"
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

    def ask(self, request: dict[str, int]) -> dict[str, Any]:
        """Has all do so many steps or all-reduces.

        Returns:
            The first one's answer, with the CPU seconds of all.
        """
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        answers = [_answer(process) for process in self._processes]
        return {**answers[0], "cpu": sum(answer["cpu"] for answer in answers)}

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
    shared = distribution_of(options)
    learner = make_learner(VOCABULARY, options, shared)
    batches = iter(np.load(windows).reshape(-1, BATCH, CONTEXT + 1))
    size = 0
    for line in sys.stdin:
        request = json.loads(line)
        wall, cpu, loss = time.perf_counter(), time.process_time(), 0.0
        if "reduces" in request:
            assert shared is not None
            _reduce(shared, size, request["reduces"])
        for _ in range(request.get("steps", 0)):
            loss = float(learner.train(next(batches))[0])
        answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        size = size or _reduced_bytes(learner)
        print(json.dumps({**answer, "loss": loss, "bytes": size}), flush=True)


def _reduced_bytes(learner: Any) -> int:
    """Bytes that a step reduces over workers, by the shapes in the graph that was run."""
    [function] = learner._train._list_all_concrete_functions()
    graph = function.graph.as_graph_def(add_shapes=True)
    nodes = [node for each in graph.library.function for node in each.node_def]
    shapes = [
        [dimension.size for dimension in shape.dim]
        for node in (*graph.node, *nodes)
        if node.op.startswith("CollectiveReduce")
        for shape in node.attr["_output_shapes"].list.shape
    ]
    return sum(4 * math.prod(shape) for shape in shapes)


def _reduce(distribution: Any, size: int, times: int) -> None:
    """All-reduces a buffer of so many bytes, and nothing else."""
    import tensorflow as tf

    def once() -> Any:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.ones([size // 4]))

    run = tf.function(lambda: distribution.strategy.run(once))
    for _ in range(times):
        run()


if __name__ == "__main__":
    main()

"""What the serving benchmarks share: a small model, a server process, and clients that load it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

from benchmarks import common

PREDICT = "/tensorflow.serving.PredictionService/Predict"
MODEL = "small"
WIDTH = 64
_READY_SECONDS = 120.0


def export_small_model(path: Path) -> None:
    """Writes a SavedModel of one dense layer: what it computes is next to nothing."""
    import tensorflow as tf

    class Small(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(tf.eye(WIDTH))

        @tf.function(input_signature=[tf.TensorSpec([None, WIDTH], tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> dict[str, Any]:
            return {"y": tf.nn.relu(tf.matmul(x, self.weights))}

    small = Small()
    tf.saved_model.save(small, str(path), signatures=small.__call__)


def small_request() -> bytes:
    """A PredictRequest of one row, serialized."""
    import struct

    from serving.client import messages

    tensor = messages.TensorProto(
        dtype=1,
        tensor_shape={"dim": [{"size": 1}, {"size": WIDTH}]},
        tensor_content=struct.pack(f"<{WIDTH}f", *range(WIDTH)),
    )
    request = messages.PredictRequest(
        model_spec=messages.ModelSpec(name=MODEL), inputs={"x": tensor}
    )
    return bytes(request.SerializeToString())


@contextlib.contextmanager
def server(base_path: Path, *flags: str) -> Iterator[str]:
    """Runs Loomline's server on a free port; its address once the model answers."""
    command = [sys.executable, "-m", "serving.server", "--port=0", f"--model_name={MODEL}"]
    command += [f"--model_base_path={base_path}", "--file_system_poll_wait_seconds=0.2", *flags]
    environment = {**os.environ, **common.thread_limits(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=common.ROOT,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().removeprefix("Serving on ").strip()
            wait_for_version(address)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)


def wait_for_version(address: str, version: int | None = None) -> int:
    """Waits until the model has an available version, or this one; its number.

    Raises:
        SystemExit: it does not come in two minutes.
    """
    from serving.client import Client

    end = time.monotonic() + _READY_SECONDS
    with Client(address, model=MODEL) as client:
        while time.monotonic() < end:
            with contextlib.suppress(Exception):
                for entry in client.status():
                    if entry.state == "AVAILABLE" and version in (None, entry.version):
                        return entry.version
            time.sleep(0.1)
    raise SystemExit(f"error: {address} did not get ready in {_READY_SECONDS:g} s")


class Clients:
    """Client processes, each with one call in flight at a time."""

    def __init__(self, count: int, address: str, request: bytes, path: str = PREDICT) -> None:
        encoded = base64.b64encode(request).decode()
        self._workers = [
            common.ours("serving_load.py", address, path, encoded) for _ in range(count)
        ]
        self._pool = futures.ThreadPoolExecutor(count)

    def load(self, seconds: float) -> list[dict[str, Any]]:
        """Calls for so long, all at the same time; what each client saw."""
        ask = {"seconds": seconds}
        return list(self._pool.map(lambda worker: worker.ask(ask), self._workers))

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.__exit__(None, None, None)
        self._pool.shutdown()


def rate(seen: Sequence[dict[str, Any]]) -> float:
    """Answered calls a second of all clients together."""
    return float(sum(one["calls"] / one["seconds"] for one in seen))


def latency(seen: Sequence[dict[str, Any]]) -> float:
    """Median over the clients of their median round trip in milliseconds."""
    return float(statistics.median(one["median_ms"] for one in seen))


def _client(address: str, path: str, encoded: str) -> None:
    """Reads {"seconds"} a line from standard input; answers with what was measured."""
    import grpc

    from serving.client import messages

    message = messages.PredictRequest.FromString(base64.b64decode(encoded))
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            path,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=messages.PredictResponse.FromString,
        )
        call(message, timeout=30, wait_for_ready=True)
        for line in sys.stdin:
            measured = _calls(call, message, json.loads(line)["seconds"])
            print(json.dumps(measured), flush=True)


def _calls(call: Any, message: Any, seconds: float) -> dict[str, Any]:
    import grpc

    took: list[tuple[float, float]] = []
    errors: list[str] = []
    started = now = time.monotonic()
    while now - started < seconds:
        before = now
        try:
            call(message, timeout=30)
        except grpc.RpcError as error:
            errors.append(f"{error.code().name}: {error.details()}")
        now = time.monotonic()
        took.append((before, now - before))
    times = [length for _, length in took]
    return {
        "calls": len(took) - len(errors),
        "errors": errors[:5],
        "failed": len(errors),
        "seconds": now - started,
        "median_ms": statistics.median(times) * 1e3,
        # (monotonic start, length); one clock for all processes of the machine.
        "took": took,
    }


if __name__ == "__main__":
    _client(*sys.argv[1:])

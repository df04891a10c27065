"""Real gateway processes in front of real servers, and upstreams that misbehave."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

PREFIX = "Gateway on "


@dataclasses.dataclass(eq=False)
class Running:
    """A gateway process, a client for it, and where it keeps what."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    store: str
    http: httpx.Client

    def stop(self, seconds: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def logged(self) -> list[dict[str, Any]]:
        """The complete lines of its log; each must be JSON."""
        lines = self.log.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The log line of a request, which follows its reply."""
        deadline = time.monotonic() + 10
        while True:
            for entry in self.logged():
                if entry.get("request_id") == request_id and entry["message"] == "request":
                    return entry
            assert time.monotonic() < deadline, "the request was not logged"
            time.sleep(0.02)

    def generate(self, prompt: str = "Once", **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", None)
        return self.http.post("/v1/generate", json={"prompt": prompt, **fields}, headers=headers)

    def events(self, prompt: str = "Once", **fields: Any) -> list[tuple[str, dict[str, Any]]]:
        """The events of a stream, each as its name and its data."""
        body = {"prompt": prompt, "stream": True, **fields}
        with self.http.stream("POST", "/v1/generate", json=body) as reply:
            assert reply.status_code == 200, reply.read()
            return parse_events(reply.read().decode())

    def metric(self, line: str) -> float:
        """The value of a series of /metrics; 0 if it is not there."""
        for found in self.http.get("/metrics").text.splitlines():
            if found.rpartition(" ")[0] == line:
                return float(found.rpartition(" ")[2])
        return 0.0


def parse_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        if block and not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.fixture(scope="session")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Starts a gateway on a free port with a store of its own, or one that is given."""
    with contextlib.ExitStack() as stack:

        def start(upstream: str, *flags: str, store: str | None = None, **env: str) -> Running:
            folder = tmp_path_factory.mktemp("gateway")
            store = store or f"sqlite:///{folder / 'gateway.db'}"
            command = [sys.executable, "-m", "serving.gateway", "--port=0"]
            command += [f"--upstream={upstream}", f"--store={store}", *flags]
            with (folder / "log").open("w") as stream:
                process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=stream, text=True, env=os.environ | env
                )
            stack.callback(_end, process)
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(PREFIX), f"{line!r}\n{(folder / 'log').read_text('utf-8')}"
            url = line.removeprefix(PREFIX).strip()
            http = stack.enter_context(httpx.Client(base_url=url, timeout=30))
            return Running(process, url, folder / "log", store, http)

        yield start


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture(scope="session")
def gateway(server: Any, start_gateway: Callable[..., Running]) -> Running:
    """A gateway without keys, which no test may stop or slow down."""
    return start_gateway(server.address, "--flush-seconds=0.05")


class Hanging:
    """A gRPC server that answers no call until it is told, and notices calls that are given up."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.cancelled = threading.Event()
        self.metadata: dict[str, Any] = {}
        self._release = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, details: Any) -> Any:
        # The gateway asks by itself, too, which versions there are.
        status = details.method.endswith("/GetModelStatus")
        return grpc.unary_unary_rpc_method_handler(self._wait if status else self._hang)

    def _wait(self, request: bytes, context: Any) -> bytes:
        self._release.wait(60)
        return b""

    def _hang(self, request: bytes, context: Any) -> bytes:
        self.metadata = dict(context.invocation_metadata())
        context.add_callback(self.cancelled.set)
        self.called.set()
        return self._wait(request, context)

    def release(self) -> None:
        """Answers from now on, with nothing in it."""
        self._release.set()

    def stop(self) -> None:
        self.release()
        self._server.stop(0).wait()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """An upstream that hangs."""
    server = Hanging()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits until something holds, which it must within some seconds."""

    def until(holds: Callable[[], Any], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.02)

    return until


@pytest.fixture(scope="session")
def events() -> Callable[[str], list[tuple[str, dict[str, Any]]]]:
    """Parses a stream's text."""
    return parse_events


LABELS = ["Bag", "Coat <b>", "Sneaker"]
CATEGORIES = ["AA", "B6", "UA, United"]


def _image_module() -> Any:
    """Draws a square whose shade is the row's guidance and whose size is its class."""
    import tensorflow as tf

    names = tf.constant(LABELS)

    def specs(*names: tuple[str, Any]) -> list[Any]:
        return [tf.TensorSpec([None], dtype, name) for name, dtype in names]

    class Images(tf.Module):
        @tf.function(
            input_signature=specs(
                ("label", tf.string),
                ("seed", tf.int64),
                ("guidance", tf.float32),
                ("steps", tf.float32),
            )
        )
        def generate(self, label, seed, guidance, steps):
            rows = tf.size(label)
            guidance = tf.broadcast_to(tf.where(tf.math.is_nan(guidance), 2.0, guidance), [rows])
            message = tf.strings.join(
                ["guidance must be from 0 to 20. Received: ", tf.strings.as_string(guidance[0])]
            )
            with tf.control_dependencies(
                [tf.debugging.Assert(tf.reduce_all(guidance <= 20), [message])]
            ):
                drawn = tf.cast(tf.broadcast_to(seed, [rows]) % len(LABELS), tf.int32)
            which = tf.argmax(label[:, None] == names[None], 1, output_type=tf.int32)
            which = tf.where(label == "", drawn, which)
            steps = tf.broadcast_to(tf.where(tf.math.is_nan(steps), 50.0, steps), [rows])

            def draw(row):
                size = 4 + 3 * which[row]
                inside = tf.range(16) < size
                square = tf.cast(inside[:, None] & inside[None], tf.float32)
                shade = tf.cast(255 - 10 * guidance[row] - 0 * steps[row], tf.uint8)
                noise = tf.cast(tf.broadcast_to(seed, [rows])[row] % 60, tf.uint8)
                pixels = tf.where(square > 0, shade, noise)
                return tf.io.encode_png(tf.stack([pixels, pixels // 2, noise + 0 * pixels], -1))

            images = tf.map_fn(draw, tf.range(rows), fn_output_signature=tf.string)
            return {"image": images, "label": tf.gather(names, which)}

        @tf.function(input_signature=specs(("about", tf.string)))
        def describe(self, about):
            guidance = {"default": 2.0, "minimum": 0.0, "maximum": 20.0}
            steps = {"default": 50.0, "minimum": 1.0, "maximum": 200.0}
            facts = {
                "modality": "image",
                "labels": LABELS,
                "parameters": {"guidance": guidance, "steps": steps},
            }
            return {"json": tf.fill(tf.shape(about), json.dumps(facts))}

    module = Images()
    return module, {"generate": module.generate, "describe": module.describe}


def _table_module() -> Any:
    """Rows of a carrier, a delay that may be missing, a distance and a flag."""
    import tensorflow as tf

    class Table(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([1], tf.int32, "num_rows"),
                tf.TensorSpec([None], tf.string, "conditions"),
                tf.TensorSpec([1], tf.float32, "temperature"),
                tf.TensorSpec([1], tf.int64, "seed"),
            ]
        )
        def generate(self, num_rows, conditions, temperature, seed):
            known = tf.strings.regex_full_match(conditions, "carrier=.*")
            message = tf.strings.join(["conditions must name carrier. Received: ", *[""]])
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(known), [message])]):
                index = tf.range(num_rows[0])
            given = tf.strings.regex_replace(conditions, "^carrier=", "")
            carriers = tf.gather(tf.constant(CATEGORIES), (index + tf.cast(seed[0], tf.int32)) % 3)
            some = tf.concat([given, [""]], 0)[0]
            carrier = tf.where(tf.size(given) > 0, tf.fill(num_rows, some), carriers)
            return {
                "carrier": carrier,
                "dep_delay": tf.cast(index, tf.float32) * temperature[0] / 8,
                "dep_delay.missing": index % 4 == 3,
                "distance": tf.cast(index, tf.int64) + 2**40,
                "cancelled": index % 2 == 0,
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "about")])
        def describe(self, about):
            columns = [
                {"name": "distance", "kind": "numerical", "minimum": 80, "maximum": 4983},
                {"name": "carrier", "kind": "categorical", "categories": CATEGORIES},
                {"name": "dep_delay", "kind": "numerical"},
            ]
            return {"json": tf.fill(tf.shape(about), json.dumps({"columns": columns}))}

    module = Table()
    return module, {"generate": module.generate, "describe": module.describe}


@pytest.fixture(scope="session")
def gallery(
    start_server: Callable[..., Any],
    start_gateway: Callable[..., Running],
    tmp_path_factory: pytest.TempPathFactory,
) -> Running:
    """A gateway in front of a model of images and one of rows, and one that tells nothing."""
    import tensorflow as tf

    from serving.client import Client

    root = tmp_path_factory.mktemp("gallery")
    plain, signatures = _image_module()
    del signatures["describe"]
    for name, (module, found) in {
        "image": _image_module(),
        "table": _table_module(),
        "plain": (plain, signatures),
    }.items():
        tf.saved_model.save(module, str(root / name / "1"), signatures=found)
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{root / name}" model_platform: "tensorflow" }} '
        for name in ("image", "table", "plain")
    )
    file = root / "models.config"
    file.write_text(f"model_config_list {{ {entries} }}")
    server = start_server(root / "image", f"--model_config_file={file}")
    for name in ("image", "table", "plain"):
        with Client(server.address, model=name) as client:
            client.wait_until_available(120)
    return start_gateway(server.address, "--models=image,table,plain", "--flush-seconds=0.05")

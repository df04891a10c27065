"""The server that the soak loads, and the small text model that it serves."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from benchmarks import common

MODEL = "text"
_WIDTH = 32
_READY_SECONDS = 120.0


def export_model(path: Path) -> None:
    """Writes a SavedModel that continues a prompt byte by byte: strings in, a loop, strings out."""
    import tensorflow as tf

    class Text(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            normal = tf.random.Generator.from_seed(7).normal
            self.embedding = tf.Variable(normal([256, _WIDTH]))
            self.step = tf.Variable(normal([2 * _WIDTH, _WIDTH]) / 4)
            self.output = tf.Variable(normal([_WIDTH, 95]))

        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                tf.TensorSpec([None], tf.string, "prompt"),
                tf.TensorSpec([None], tf.int32, "max_new_tokens"),
                tf.TensorSpec([None], tf.int64, "seed"),
            ]
        )
        def generate(self, prompt: Any, max_new_tokens: Any, seed: Any) -> dict[str, Any]:
            tf.debugging.assert_positive(max_new_tokens, "max_new_tokens must be positive")
            count = tf.reduce_max(max_new_tokens)
            raw = tf.io.decode_raw(prompt, tf.uint8, fixed_length=64)
            state = tf.reduce_mean(tf.gather(self.embedding, tf.cast(raw, tf.int32)), axis=1)
            rows = tf.shape(prompt)[0]

            def body(index: Any, state: Any, tokens: Any) -> tuple[Any, Any, Any]:
                logits = tf.matmul(state, self.output)
                key = tf.stack([seed[0], tf.cast(index, tf.int64)])
                token = tf.random.stateless_categorical(logits, 1, key, tf.int32)[:, 0]
                both = tf.concat([state, tf.gather(self.embedding, token + 32)], axis=1)
                state = tf.tanh(tf.matmul(both, self.step))
                return index + 1, state, tokens.write(index, token)

            empty = tf.TensorArray(tf.int32, size=count)
            _, _, tokens = tf.while_loop(lambda i, *_: i < count, body, [0, state, empty])
            characters = tf.gather([chr(code) for code in range(32, 127)], tokens.stack())
            text = tf.strings.reduce_join(characters, axis=0)
            return {"text": text, "num_tokens": tf.fill([rows], count)}

    text = Text()
    tf.saved_model.save(text, str(path), signatures=text.generate)


class Server:
    """A running server: its addresses, its memory, and what an operator does to it."""

    def __init__(self, process: subprocess.Popen[str], address: str, rest: str) -> None:
        from tensorflow_serving.apis import model_service_pb2_grpc

        self.address = address
        self.rest = rest
        self._process = process
        self._channel = grpc.insecure_channel(address)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def resident_megabytes(self) -> float:
        """Resident memory of the process now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def wait_for(self, version: int) -> None:
        """Waits until a version is available.

        Raises:
            TimeoutError: it is not in two minutes.
        """
        from tensorflow_serving.apis import get_model_status_pb2, model_pb2

        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec())
        request.model_spec.name = MODEL
        request.model_spec.version.value = version
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(grpc.RpcError):
                (status,) = self._models.GetModelStatus(request, timeout=30).model_version_status
                if status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"version {version} was not available in {_READY_SECONDS:g} s")

    def reload(self, base_path: Path, label: int) -> None:
        """Sends the configuration again: the two latest versions, `stable` on this one."""
        from tensorflow_serving.apis import model_management_pb2

        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name=MODEL,
            base_path=str(base_path),
            model_platform="tensorflow",
            # The label stays on a version that is served until it moves to the new one.
            model_version_policy={"latest": {"num_versions": 2}},
            version_labels={"stable": label},
        )
        self._models.HandleReloadConfigRequest(request, timeout=60)

    def close(self) -> None:
        """Ends the process, if it has not ended by itself."""
        self._channel.close()
        self._process.terminate()
        self._process.wait(timeout=60)


@contextlib.contextmanager
def running(folder: Path, base_path: Path) -> Iterator[Server]:
    """Runs a server with REST and the Prometheus page; it answers with a label `stable`."""
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }\n", "utf-8")
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    command = [sys.executable, "-m", "serving.server", "--port=0", f"--rest_api_port={port}"]
    command += [f"--model_name={MODEL}", f"--model_base_path={base_path}"]
    command += [f"--monitoring_config_file={monitoring}", "--file_system_poll_wait_seconds=1"]
    environment = os.environ | common.thread_limits() | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=common.ROOT,
        env=environment,
    )
    assert process.stdout is not None
    with process.stdout:
        address = process.stdout.readline().removeprefix("Serving on ").strip()
        server = Server(process, address, f"http://127.0.0.1:{port}")
        try:
            server.wait_for(1)
            server.reload(base_path, label=1)
            yield server
        finally:
            server.close()

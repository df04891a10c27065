"""The server's process: its flags, its one line, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.client import Client, ModelNotFoundError, UnavailableError, tensors


def test_sigterm_finishes_what_is_in_flight_and_exits_0(
    tmp_path: Path,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
    predict: Callable[..., Any],
) -> None:
    publish(saved_models["first"], tmp_path / "text", 1)
    server = start_server(tmp_path / "text")
    with Client(server.address, model="text") as client:
        client.wait_until_available(60)
        answers: list[Any] = []

        def ask() -> None:
            seconds = tensors.vector([1.5], "float64")
            answers.append(predict(server.address, "slow", seconds=seconds))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.5)
        with grpc.insecure_channel(server.address) as channel:
            assert health(channel) == "SERVING"
            server.process.send_signal(signal.SIGTERM)
            # Connections that are open already are told that it stops.
            time.sleep(0.2)
            # A second one changes nothing.
            assert server.stop() == 0
        thread.join()
        assert [list(answer.outputs["done"].bool_val) for answer in answers] == [[True]]
        with pytest.raises(UnavailableError):
            client.status()
    assert server.process.stdout.read() == ""  # one line and no more


def test_sigterm_before_anything_is_served_ends_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serving.server", "--port=0", f"--model_base_path={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        status = Path(f"/proc/{process.pid}/status")
        while not catches_sigterm(status.read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""


def catches_sigterm(status: str) -> bool:
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_port_that_is_taken_is_one_line(server: Any) -> None:
    port = server.address.split(":")[1]
    command = [sys.executable, "-m", "serving.server", "--model_base_path=x", f"--port={port}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert f"error: expected 127.0.0.1:{port} to be free" in ended.stderr.splitlines()[-1]


def health(channel: grpc.Channel) -> str:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(channel)
    reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def ended(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving.server", "--port=0", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model_config_list { config { nme: 'x' } }", 'has no field named "nme"'),
        (
            "model_config_list { config { name: 'x' base_path: 'x' "
            "model_platform: 'tensorflow' } }",
            "Expected model x to have an absolute path or URI; got base_path()=x",
        ),
        (
            "model_config_list { config { name: 'x' base_path: '/x' model_platform: 'tensorflow' "
            "version_labels { key: 'stable' value: 1 } } }",
            "which is not currently available for inference. At start no version is available "
            "yet: add --allow_version_labels_for_unavailable_models",
        ),
    ],
)
def test_a_bad_config_file_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "models.config"
    file.write_text(text)
    process = ended(f"--model_config_file={file}")
    assert (process.returncode, process.stdout) == (2, "")
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    assert reason in line


def test_a_bad_monitoring_or_ssl_config_is_one_line(tmp_path: Path) -> None:
    for flag in ("monitoring_config_file", "ssl_config_file"):
        file = tmp_path / flag
        file.write_text("nonsense { }")
        process = ended("--model_base_path=/x", f"--{flag}={file}")
        assert (process.returncode, process.stdout) == (2, "")
        (line,) = process.stderr.splitlines()
        assert line.startswith(f"error: expected {file}")


def config_text(**base_paths: Path) -> str:
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for name, path in base_paths.items()
    )
    return f"model_config_list {{ {entries} }}"


def test_a_config_file_is_followed_and_a_bad_edit_leaves_the_old_one(
    tmp_path: Path,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
) -> None:
    publish(saved_models["first"], tmp_path / "a", 1)
    publish(saved_models["second"], tmp_path / "b", 2)
    file = tmp_path / "models.config"
    file.write_text(config_text(a=tmp_path / "a"))
    server = start_server(
        tmp_path / "ignored",
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=0.2",
        "--num_load_threads=2",
        "--flush_filesystem_caches=true",
        "--mixed_precision=bfloat16",
        f"--grpc_socket_path={tmp_path / 'socket'}",
    )
    with Client(server.address, model="a") as a, Client(server.address, model="b") as b:
        assert a.wait_until_available(60) == 1
        with pytest.raises(ModelNotFoundError):
            b.status()

        write(file, config_text(a=tmp_path / "a", b=tmp_path / "b"))
        assert b.wait_until_available(60) == 2
        assert b.generate("x")[0].text == "second|0|x"

        for bad in ("model_config_list { confg { } }", config_text(a=Path("relative"))):
            write(file, bad)
            time.sleep(0.6)
            assert a.generate("x")[0].text == "first|0|x"
            assert b.generate("x")[0].text == "second|0|x"
        log = server.log.read_text()
        assert log.count("is refused, and the old config goes on") == 2  # once per edit
        assert "--model_name and --model_base_path are ignored" in log
        assert (
            "accepted and without effect here: --flush_filesystem_caches, --mixed_precision" in log
        )

        with grpc.insecure_channel(f"unix:{tmp_path / 'socket'}") as channel:
            assert health(channel) == "SERVING"
        write(file, config_text(b=tmp_path / "b", c=tmp_path / "c"))
        wait_for(lambda: a.status()[0].state == "END")
        assert b.generate("x")[0].text == "second|0|x"
        with grpc.insecure_channel(server.address) as channel:
            assert health(channel) == "NOT_SERVING"  # for c has no version
    assert server.stop() == 0


def write(file: Path, text: str) -> None:
    """As an editor or a ConfigMap does it: the file is whole at any time."""
    (file.parent / "edited").write_text(text)
    (file.parent / "edited").rename(file)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_killed_while_loading_it_serves_whole_models_after_a_restart(
    tmp_path: Path,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
) -> None:
    base_path = tmp_path / "text"
    publish(saved_models["first"], base_path, 1)
    first = start_server(base_path)
    assert first.address
    publish(saved_models["second"], base_path, 2)
    first.process.kill()
    first.process.wait()
    # What a killed push leaves is no version.
    (base_path / ".3").mkdir()
    (base_path / "4").mkdir()
    second = start_server(base_path)
    with Client(second.address, model="text") as client:
        assert client.wait_until_available(60) == 2
        assert [entry.version for entry in client.status()] == [2]
        assert client.generate("x")[0].text == "second|0|x"
    assert second.stop() == 0


def test_rest_and_metrics_are_offered_where_they_are_asked_for(
    tmp_path: Path,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
) -> None:
    publish(saved_models["first"], tmp_path / "text", 1)
    (tmp_path / "monitoring").write_text(
        'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'
    )
    server = start_server(
        tmp_path / "text",
        "--rest_api_port=-1",
        "--rest_api_enable_cors_support",
        "--enable_batching",
        f"--monitoring_config_file={tmp_path / 'monitoring'}",
    )
    with Client(server.address, model="text") as client:
        client.wait_until_available(60)
    line = server.process.stdout.readline()
    assert line.startswith("Serving REST on 127.0.0.1:")
    address = line.removeprefix("Serving REST on ").strip()

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as reply:
            return str(reply.read().decode())

    status = json.loads(get("/v1/models/text"))["model_version_status"]
    assert [(entry["version"], entry["state"]) for entry in status] == [("1", "AVAILABLE")]
    loads = [line for line in get("/monitoring/prometheus/metrics").splitlines() if "load" in line]
    assert any(f'model_path="{tmp_path}/text/1"' in line for line in loads)
    taken = ended("--model_base_path=/x", f"--rest_api_port={address.split(':')[1]}")
    assert (taken.returncode, taken.stdout) == (2, "")
    assert f"expected {address} to be free to listen on" in taken.stderr.splitlines()[-1]
    assert server.stop() == 0

"""The server's process: its flags, its one line, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.client import Client, UnavailableError, tensors
from serving.server.__main__ import parse_flags


def test_flags_are_tensorflow_servings() -> None:
    flags = parse_flags(["--model_base_path=/models/text", "--model_name", "text"])
    assert (flags.port, flags.model_name, flags.model_base_path) == (
        8500,
        "text",
        Path("/models/text"),
    )
    assert not flags.xla_cpu_compilation_enabled
    for spelling in ("--xla_cpu_compilation_enabled", "--enable_xla=true"):
        assert parse_flags(["--model_base_path=x", spelling]).xla_cpu_compilation_enabled


@pytest.mark.parametrize("extra", [["--prot=1"], ["--enable_xla=maybe"], ["--port=many"]])
def test_a_mistaken_flag_ends_with_exit_code_2(
    extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_flags(["--model_base_path=x", *extra])
    assert ended.value.code == 2
    assert extra[0].split("=")[0] in capsys.readouterr().err


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

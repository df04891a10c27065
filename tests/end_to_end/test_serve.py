"""`loomline serve` starts everything on the pushed model, and stops cleanly."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FREE_PORTS = ("--port=0", "--rest-port=-1", "--http-port=0")


class Stack:
    """The command while it runs, and where it says that things are."""

    def __init__(self, output: Path, *options: str) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "serve", f"--output={output}"]
        self.process = subprocess.Popen(
            [*command, *FREE_PORTS, *options],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if "playground:" in line:
                break

    def find(self, pattern: str) -> str:
        found = re.search(pattern, self.said)
        assert found, self.said
        return found[1]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.said += self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def stack(pushed: Path) -> Iterator[Stack]:
    started = Stack(pushed)
    yield started
    if started.process.poll() is None:
        started.process.kill()


def test_the_model_answers_over_http_grpc_and_rest(stack: Stack) -> None:
    gateway = stack.find(r"playground: (http\S+)")
    asked = {"prompt": "The Congress", "max_new_tokens": 12, "seed": 3, "temperature": 0.8}
    reply = httpx.post(f"{gateway}/v1/generate", json=asked, timeout=60).json()
    assert reply["version"] == 1
    with Client(stack.find(r"gRPC +(\S+)")) as client:
        same = client.generate(
            "The Congress", max_new_tokens=12, seed=3, temperature=0.8, top_k=50, top_p=0.95
        )
    assert reply["text"] == same[0].text
    status = httpx.get(stack.find(r"REST +(http\S+)"), timeout=60).json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    assert "<title>" in httpx.get(gateway, timeout=60).text
    counted = httpx.get(stack.find(r"server metrics +(http\S+)"), timeout=60).text
    assert ':tensorflow:serving:request_count{model_name="text",status="OK"}' in counted
    counted = httpx.get(stack.find(r"gateway metrics +(http\S+)"), timeout=60).text
    assert 'loomline_gateway_calls_total{arm="",call="generate",code="OK"' in counted


def test_a_streamed_text_is_the_whole_text(stack: Stack) -> None:
    gateway = stack.find(r"playground: (http\S+)")
    asked = {"prompt": "The", "max_new_tokens": 30, "seed": 5}
    whole = httpx.post(f"{gateway}/v1/generate", json=asked, timeout=60).json()
    with httpx.stream(
        "POST", f"{gateway}/v1/generate", json={**asked, "stream": True}, timeout=60
    ) as reply:
        events = reply.read().decode().split("\n\n")
    pieces = [
        json.loads(one.split("data: ")[1]) for one in events if one.startswith("event: chunk")
    ]
    assert len(pieces) > 1
    assert "".join(piece["text"] for piece in pieces) == whole["text"]


def test_what_was_asked_and_said_about_it_is_kept_and_ctrl_c_is_clean(
    stack: Stack, pushed: Path
) -> None:
    gateway = stack.find(r"playground: (http\S+)")
    reply = httpx.post(f"{gateway}/v1/generate", json={"prompt": "We"}, timeout=60).json()
    said = {"request_id": reply["request_id"], "kind": "thumbs", "value": 1}
    assert httpx.post(f"{gateway}/v1/feedback", json=said, timeout=60).status_code == 201
    assert stack.stop() == 0
    assert "Traceback" not in stack.said

    from serving.store import open_store

    store = open_store(f"sqlite:///{pushed / 'store.sqlite'}")
    assert store.requests.get(reply["request_id"]) is not None
    assert [one.value for one in store.feedback.of_request(reply["request_id"])] == [1]
    store.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{gateway}/healthz")


def test_a_port_that_is_taken_is_one_line(pushed: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in (f"--port={port}", f"--http-port={port}"):
            command = [sys.executable, "-m", "pipelines.cli", "serve", f"--output={pushed}"]
            done = subprocess.run(
                [*command, *FREE_PORTS, option], capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 2
            assert done.stderr.startswith("error: ")
            assert done.stderr.count("\n") == 1
            assert str(port) in done.stderr

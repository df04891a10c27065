"""The commands, with a real gateway that splits real traffic."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from serving.rollout.commands import rollout
from serving.rollout.controller import Controller
from serving.store import open_store


def call(*arguments: str) -> Result:
    return CliRunner().invoke(rollout, list(arguments))


@contextlib.contextmanager
def running(world: Any, log: Path, *flags: str) -> Iterator[str]:
    """URL of a gateway in front of the server, on the store of the rollout."""
    command = [sys.executable, "-m", "serving.gateway", f"--upstream={world.address}", "--port=0"]
    command += [f"--store={world.url}", "--rollout-poll-seconds=0.2", "--flush-seconds=0.1", *flags]
    with (
        log.open("w") as stream,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True) as process,
    ):
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("Gateway on ").strip()
        process.terminate()


@pytest.fixture
def gateway(world: Any, tmp_path: Path) -> Iterator[str]:
    with running(world, tmp_path / "gateway.log") as url:
        yield url


@contextlib.contextmanager
def traffic(url: str) -> Iterator[list[tuple[int, str, int | None]]]:
    """Requests from two clients meanwhile; status, arm and version of each."""
    seen: list[tuple[int, str, int | None]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30) as http:
            while not stop.is_set():
                reply = http.post("/v1/generate", json={"prompt": "x", "max_new_tokens": 1})
                body = reply.json()
                seen.append((reply.status_code, body.get("arm", "canary"), body.get("version")))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """A candidate that loads well and then fails every request."""
    import tensorflow as tf

    names = {
        "prompt": tf.string,
        "max_new_tokens": tf.int32,
        "temperature": tf.float32,
        "top_k": tf.int32,
        "top_p": tf.float32,
        "seed": tf.int64,
    }

    class Failing(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], kind, n) for n, kind in names.items()])
        def generate(self, prompt, max_new_tokens, temperature, top_k, top_p, seed):
            with tf.control_dependencies([tf.debugging.Assert(tf.size(prompt) < 0, ["broken"])]):
                return {"text": tf.identity(prompt)}

    module = Failing()
    folder = tmp_path / "failing" / "2"
    tf.saved_model.save(module, str(folder), signatures={"generate": module.generate})
    return folder


def flags(world: Any) -> list[str]:
    return [f"--store={world.url}", f"--server={world.address}", f"--base-path={world.base_path}"]


QUICK = ["--poll-seconds=0.2", "--set=steps=[0.5]", "--set=min_samples=20"]
# Latencies of a test machine say nothing: the candidate's requests and errors decide here.
QUICK += [
    "--set=latency_factor=1000000",
    "--set=error_tolerance=0.3",
    "--set=settle_seconds=1",
    "--set=drain_seconds=0",
]


def test_a_good_candidate_is_promoted_under_traffic_without_a_failed_request(
    world: Any, gateway: str
) -> None:
    folder = world.candidate("second", 2)
    with traffic(gateway) as seen:
        done = call("start", str(folder), *flags(world), *QUICK)
    assert done.exit_code == 0, done.output
    assert "promoted: version 2 of text is stable" in done.output
    assert {status for status, _, _ in seen} == {200}
    assert {(arm, version) for _, arm, version in seen} >= {("stable", 1), ("canary", 2)}
    assert httpx.post(f"{gateway}/v1/generate", json={"prompt": "x"}).json()["version"] == 2

    listed = call("list", f"--store={world.url}").output
    assert "1 -> 2" in listed
    assert "promoted" in listed
    back = call("rollback", f"--store={world.url}")
    assert "rolled back to version 1" in back.output, back.output
    assert httpx.post(f"{gateway}/v1/generate", json={"prompt": "x"}).json()["version"] == 1


def test_a_candidate_that_fails_is_sent_back_and_the_stable_one_loses_nothing(
    world: Any, gateway: str, failing: Path
) -> None:
    with traffic(gateway) as seen:
        done = call("start", str(failing), *flags(world), *QUICK)
    assert done.exit_code == 3, done.output
    assert "rolled back: errors of the candidate: 100.00%" in done.output
    assert all(status == 200 for status, arm, _ in seen if arm != "canary")
    assert any(status != 200 for status, _, _ in seen)
    assert httpx.post(f"{gateway}/v1/generate", json={"prompt": "x"}).json()["version"] == 1
    status = call("status", f"--store={world.url}").output
    assert "rolled_back" in status
    assert "started" in status


def test_the_only_key_meets_both_versions_and_servers_may_have_moved(
    world: Any, tmp_path: Path
) -> None:
    _, secret = world.store.keys.create("only one")
    folder = world.candidate("second", 2)
    done = call("start", str(folder), *flags(world), *QUICK, "--no-watch")
    assert done.exit_code == 0, done.output
    assert "50% of 1 API keys may be none: requests are spread one by one" in done.output
    moved = f"--server={world.address}"
    with running(world, tmp_path / "gateway.log", "--auth=keys") as url:
        driver = Controller(world.store, world.store.rollouts.active("text"))
        while driver.rollout.state != "canary":
            driver.advance()
        headers = {"Authorization": f"Bearer {secret}"}
        seen, deadline = set(), time.monotonic() + 20
        while seen != {"stable", "canary"}:
            assert time.monotonic() < deadline, seen
            asked = {"prompt": "x", "max_new_tokens": 1}
            reply = httpx.post(f"{url}/v1/generate", json=asked, headers=headers)
            seen |= {reply.json()["arm"]} - {""}
    wrong = call("rollback", f"--store={world.url}", "--server=127.0.0.1:1")
    assert wrong.exit_code == 2
    assert "127.0.0.1:1" in wrong.stderr
    back = call("rollback", f"--store={world.url}", moved)
    assert "rolled back to version 1" in back.output, back.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "no-such-folder"], "expected a version, or the folder of one"),
        (["start", "2", "--set=steps=[0.5, 0.1]"], "expected shares that grow"),
        (["start", "2", "--set=no_such=1"], "no_such"),
        (["start", "2", "--set=base_path=/x"], "expected --set KEY=VALUE"),
        (["start", "2", "--server=127.0.0.1:1"], "127.0.0.1:1"),
        (["status"], "expected a rollout of text. Received: none"),
        (["watch"], "expected an active rollout"),
        (["promote"], "expected an active rollout"),
        (["rollback"], "expected a promotion of text to go back from"),
        (["list", "--store=mysql://secret@x/y"], "expected the store's URL"),
        (["list", "--store=sqlite:///no/such.sqlite"], "expected a store at no/such.sqlite"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    if not any(argument.startswith("--store") for argument in arguments):
        url = f"sqlite:///{tmp_path / 'store.sqlite'}"
        open_store(url).close()
        arguments = [*arguments, f"--store={url}"]
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_settings_are_shown_with_their_meaning() -> None:
    shown = call("settings").output
    assert "alpha: 0.05\n    # Probability of ever judging wrongly by chance." in shown

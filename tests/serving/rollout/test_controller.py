"""On a real server a candidate is loaded, tried, and promoted or sent back."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving import storage
from serving.rollout import controller
from serving.rollout.controller import Controller
from serving.rollout.errors import LoadError, RolloutError
from serving.store import RequestRecord, StoreError

FIRST = {"stable": "first", "canary": "InvalidRequestError", "latest": "first"}


def record(index: int, arm: str, version: int, failed: bool = False) -> RequestRecord:
    """A request as the gateway records it: one that failed names no version."""
    return RequestRecord(
        id=f"{arm}-{version}-{index}",
        created=datetime.now(UTC),
        key_id=None,
        model="text",
        version=None if failed else version,
        label=arm,
        arm=arm,
        signature="generate",
        inputs={},
        outputs=None,
        status="error" if failed else "ok",
        code="INTERNAL" if failed else "",
        message="",
        num_tokens=1,
        latency_ms=10.0 + index % 7,
        first_token_ms=None,
        client_request_id=None,
        streamed=False,
    )


def answer(world: Any, count: int, failing: int = 0) -> None:
    """Requests to both arms; the first `failing` of the candidate's fail."""
    start = answer.calls = getattr(answer, "calls", 0) + 1  # type: ignore[attr-defined]
    first = start * 100_000
    rows = [record(first + index, "stable", 1) for index in range(count)]
    rows += [record(first + index, "canary", 2, index < failing) for index in range(count)]
    world.store.requests.add(rows)


def test_a_good_candidate_becomes_stable_step_by_step(world: Any) -> None:
    folder = world.candidate("second", 2)
    begun = controller.start(world.store, "text", 2, world.settings(source=str(folder)))
    driver = Controller(world.store, begun)
    assert world.served() == FIRST

    driver.advance()
    assert driver.rollout.state == "loading"
    assert (world.base_path / "2" / "saved_model.pb").is_file()
    driver.advance()
    assert (driver.rollout.state, driver.rollout.share) == ("canary", 0.2)
    assert world.served() == {"stable": "first", "canary": "second", "latest": "second"}

    assert "waiting" in driver.advance()
    answer(world, 10)
    driver.advance()
    assert (driver.rollout.state, driver.rollout.share) == ("canary", 0.5)
    assert "waiting" in driver.advance()  # what came before this step does not count
    answer(world, 3000)
    driver.advance()
    assert driver.rollout.state == "promoting"
    driver.advance()
    assert driver.over
    assert world.store.rollouts.active("text") is None
    assert world.served()["stable"] == world.served()["latest"] == "second"
    noted = [(one.version, one.labels) for one in world.store.deployments.current()]
    assert noted == [(2, ["stable"]), (1, [])]
    events = [event.event for event in world.store.rollouts.events(begun.id)]
    assert events == [
        "started",
        "loading",
        "canary",
        "canary",
        "promoting",
        "promoting",
        "promoted",
    ]

    # And back: the version before is still loaded.
    back = Controller(world.store, controller.go_back(world.store, "text"))
    list(back.drive(0))
    assert back.rollout.state == "rolled_back"
    assert world.served() == FIRST
    noted = [(one.version, one.labels) for one in world.store.deployments.current()]
    assert noted == [(1, ["stable"])]
    with pytest.raises(RolloutError, match="expected a promotion"):
        controller.go_back(world.store, "text")


def test_a_candidate_that_fails_requests_is_sent_back(world: Any) -> None:
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    driver = Controller(world.store, controller.start(world.store, "text", 2, world.settings()))
    driver.advance()
    answer(world, 60, failing=30)
    driver.advance()
    assert (driver.rollout.state, driver.rollout.share) == ("rolling_back", 0.0)
    list(driver.drive(0))
    assert driver.rollout.state == "rolled_back"
    assert "errors of the candidate: 50.00% against 0.00%" in driver.rollout.details["reason"]
    assert world.served() == FIRST


def test_a_candidate_that_does_not_load_is_sent_back(world: Any) -> None:
    storage.publish(world.candidate("refuses", 2), str(world.base_path), 2)
    driver = Controller(world.store, controller.start(world.store, "text", 2, world.settings()))
    list(driver.drive(0))
    assert driver.rollout.state == "rolled_back"
    assert "could not load version 2" in driver.rollout.details["reason"]
    assert world.served() == FIRST


def test_a_candidate_that_was_mended_is_loaded_anew(world: Any) -> None:
    storage.publish(world.candidate("refuses", 2), str(world.base_path), 2)
    first = Controller(world.store, controller.start(world.store, "text", 2, world.settings()))
    list(first.drive(0))
    assert first.rollout.state == "rolled_back"
    shutil.rmtree(world.base_path / "2")
    shutil.rmtree(world.candidates / "2")
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    again = Controller(world.store, controller.start(world.store, "text", 2, world.settings()))
    again.advance()
    assert (again.rollout.state, again.rollout.details["reason"]) == (
        "canary",
        "version 2 is loaded and warm",
    )
    assert world.served()["canary"] == "second"


def test_a_load_that_failed_just_before_is_tried_again(world: Any) -> None:
    # As a controller leaves it that was killed before it could write down what it saw.
    servers = controller.servers_of("text", world.settings())
    storage.publish(world.candidate("refuses", 2), str(world.base_path), 2)
    with pytest.raises(LoadError, match="could not load version 2"):
        servers.serve([1, 2], {"stable": 1})
    began = time.monotonic()
    with pytest.raises(LoadError, match="could not load version 2"):
        servers.serve([1, 2], {"stable": 1})
    assert time.monotonic() - began < 20
    shutil.rmtree(world.base_path / "2")
    shutil.rmtree(world.candidates / "2")
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    servers.serve([1, 2], {"stable": 1, "canary": 2})
    assert world.served() == {"stable": "first", "canary": "second", "latest": "second"}


def test_servers_that_moved_are_named_anew(world: Any) -> None:
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    begun = controller.start(world.store, "text", 2, world.settings())
    gone = dataclasses.replace(begun, settings={**begun.settings, "servers": ["127.0.0.1:1"]})
    with pytest.raises(RolloutError, match=r"127\.0\.0\.1:1"):
        Controller(world.store, gone).advance()
    driver = Controller(world.store, gone, servers=[world.address])
    driver.advance()
    assert driver.rollout.state == "canary"
    assert world.served()["canary"] == "second"


@pytest.mark.parametrize(
    ("keys", "steps", "asked", "spread"),
    [
        (0, (0.05,), "auto", "request"),
        (3, (0.05, 0.5), "auto", "request"),
        (10, (0.5,), "auto", "key"),
        (3, (0.05,), "key", "key"),
    ],
)
def test_few_keys_do_not_decide_who_meets_the_candidate(
    world: Any, keys: int, steps: tuple[float, ...], asked: str, spread: str
) -> None:
    for index in range(keys):
        world.store.keys.create(f"key {index}")
    revoked, _ = world.store.keys.create("revoked")
    world.store.keys.revoke(revoked.id)
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    settings = world.settings(steps=steps, spread=asked)
    begun = controller.start(world.store, "text", 2, settings)
    assert begun.settings["spread"] == spread


def test_what_cannot_be_rolled_out_is_refused_before_anything_changes(world: Any) -> None:
    with pytest.raises(RolloutError, match="expected version 9 in"):
        controller.start(world.store, "text", 9, world.settings())
    with pytest.raises(RolloutError, match="not served yet"):
        controller.start(world.store, "text", 1, world.settings())
    with pytest.raises(RolloutError, match="127\\.0\\.0\\.1:1"):
        controller.start(world.store, "text", 2, world.settings(servers=("127.0.0.1:1",)))
    assert world.store.rollouts.list() == []

    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    controller.start(world.store, "text", 2, world.settings())
    with pytest.raises(StoreError, match="expected no active rollout"):
        controller.start(world.store, "text", 2, world.settings())
    assert world.served() == FIRST


def test_two_that_drive_one_rollout_do_not_undo_each_other(world: Any) -> None:
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    begun = controller.start(world.store, "text", 2, world.settings())
    one, other = Controller(world.store, begun), Controller(world.store, begun)
    one.advance()
    assert "waiting" in other.advance()  # it takes over what the first has done
    assert world.store.rollouts.active("text") == one.rollout == other.rollout


DRIVE = """
import sys
from serving.rollout.controller import Controller
from serving.store import open_store
store = open_store(sys.argv[1])
driver = Controller(store, store.rollouts.active("text"))
print("driving", flush=True)
for line in driver.drive(0.05):
    print(line, flush=True)
"""


def test_killed_at_any_moment_it_goes_on_and_ends_well(world: Any) -> None:
    folder = world.candidate("second", 2)
    settings = world.settings(source=str(folder), min_samples=5, settle_seconds=0.1)
    controller.start(world.store, "text", 2, settings)
    killed, pause = 0, 0.0
    for _ in range(40):
        if world.store.rollouts.active("text") is None:
            break
        command = [sys.executable, "-c", DRIVE, world.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed += process.returncode == -signal.SIGKILL
        # Longer and longer, so that every state is interrupted and the last one is reached.
        pause += 0.1
        assert world.served()["stable"] in ("first", "second")
        answer(world, 1500)
    assert killed >= 4
    assert world.store.rollouts.list("text")[0].state == "promoted"
    assert world.served()["stable"] == "second"


def test_a_config_file_holds_the_rollout_and_other_models_keep_their_place(
    world: Any, start_server: Any, tmp_path: Path
) -> None:
    from serving.client import Client

    file = tmp_path / "models.config"
    other = 'config { name: "other" base_path: "/nowhere" model_platform: "tensorflow" }'
    file.write_text(
        "model_config_list { "
        f'config {{ name: "text" base_path: "{world.base_path}" model_platform: "tensorflow" }} '
        f"{other} }}"
    )
    server = start_server(
        world.base_path,
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=1",
        "--max_num_load_retries=0",
    )
    with Client(server.address) as client:
        client.wait_until_available(90)
    settings = world.settings(servers=(server.address,), model_config_file=str(file))
    controller.pin("text", settings)
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    driver = Controller(world.store, controller.start(world.store, "text", 2, settings))
    driver.advance()
    assert driver.rollout.state == "canary"
    with Client(server.address) as client:
        assert client.generate("x", label="canary")[0].version == 2
        assert client.generate("x", label="stable")[0].version == 1
    assert "/nowhere" in file.read_text()
    driver.roll_back("enough seen")
    list(driver.drive(0))
    with Client(server.address) as client:
        assert client.generate("x")[0].version == 1


def test_an_unpinned_server_does_not_take_the_candidate_by_itself(
    tmp_path: Path, saved_models: dict[str, Path], publish: Any, start_server: Any, world: Any
) -> None:
    from serving.client import Client

    base_path = tmp_path / "unpinned" / "text"
    publish(saved_models["first"], base_path, 1)
    server = start_server(base_path)
    with Client(server.address) as client:
        client.wait_until_available(90)
        folder = world.candidate("second", 2)
        settings = world.settings(
            servers=(server.address,), base_path=str(base_path), source=str(folder)
        )
        driver = Controller(world.store, controller.start(world.store, "text", 2, settings))
        driver.advance()
        time.sleep(1)  # ten looks of the server at its folder
        assert client.generate("x")[0].version == 1
        driver.roll_back("enough")
        list(driver.drive(0))
    server.stop()


def test_a_rollout_can_be_given_up_without_its_servers(world: Any) -> None:
    storage.publish(world.candidate("second", 2), str(world.base_path), 2)
    begun = controller.start(world.store, "text", 2, world.settings())
    controller.abandon(world.store, begun, "the servers are gone")
    assert world.store.rollouts.active("text") is None
    assert world.store.rollouts.list()[0].details == {"reason": "the servers are gone"}
    assert world.served() == FIRST

"""A real server meets versions that come, fail and go while it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.client import Client, ModelNotFoundError, ServerError, tensors


@pytest.fixture(scope="module")
def lifecycle(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Any:
    """A server whose base path does not exist yet, with XLA on and quick retries."""
    base_path = tmp_path_factory.mktemp("lifecycle") / "to come" / "text"
    return start_server(
        base_path,
        "--xla_cpu_compilation_enabled",
        "--load_retry_interval_micros=200000",
        "--max_num_load_retries=1",
    )


@pytest.fixture
def client(lifecycle: Any) -> Iterator[Client]:
    with Client(lifecycle.address, model="text", timeout=30) as client:
        yield client


@pytest.fixture
def serve(
    lifecycle: Any,
    client: Client,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
) -> Callable[[str], int]:
    """Publishes a model as the next version."""

    def serve(name: str) -> int:
        taken = [int(p.name) for p in lifecycle.base_path.glob("*") if p.name.isdecimal()]
        version = max(taken, default=0) + 1
        publish(saved_models[name], lifecycle.base_path, version)
        return version

    return serve


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def states(client: Client) -> dict[int, str]:
    return {entry.version: entry.state for entry in client.status()}


def test_a_server_without_a_version_waits_for_the_first(
    lifecycle: Any, client: Client, serve: Callable[[str], int]
) -> None:
    if not lifecycle.base_path.exists():
        with pytest.raises(ModelNotFoundError, match="Could not find any versions of model text"):
            client.status()
        with pytest.raises(ModelNotFoundError, match=r"not found for request: Latest\(text\)"):
            client.generate("x")
    version = serve("first")
    assert client.wait_until_available(60, version=version) == version
    assert client.generate("x")[0].text == "first|0|x"


def test_a_swap_under_load_fails_no_request_and_unloads_the_old_version(
    client: Client, serve: Callable[[str], int]
) -> None:
    old = serve("first")
    client.wait_until_available(60, version=old)
    texts: list[str] = []
    failures: list[Exception] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                texts.append(client.generate("x")[0].text)
            except Exception as error:
                failures.append(error)
            time.sleep(0.005)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    new = serve("second")
    client.wait_until_available(60, version=new)
    wait_for(lambda: states(client)[old] == "END")
    seen = len(texts)
    wait_for(lambda: len(texts) > seen + 3)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(texts) == {"first|0|x", "second|0|x"}
    assert texts[-1] == "second|0|x"
    with pytest.raises(ModelNotFoundError, match=rf"Specific\(text, {old}\)"):
        client.generate("x", version=old)


def test_a_request_under_way_keeps_its_version_until_it_is_answered(
    client: Client, serve: Callable[[str], int], predict: Callable[..., Any]
) -> None:
    old = serve("first")
    client.wait_until_available(60, version=old)
    answered: list[int] = []

    def ask() -> None:
        seconds = tensors.vector([2.5], "float64")
        response = predict(client.address, "slow", seconds=seconds)
        answered.append(response.model_spec.version.value)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    new = serve("second")
    client.wait_until_available(60, version=new)
    thread.join()
    assert answered == [old]
    wait_for(lambda: states(client)[old] == "END")


def test_a_version_that_cannot_be_loaded_is_reported_and_the_old_one_goes_on(
    lifecycle: Any, client: Client, serve: Callable[[str], int]
) -> None:
    good = serve("second")
    client.wait_until_available(60, version=good)

    refused = serve("refuses")
    with pytest.raises(ServerError, match="warmup request failed: expected max_new_tokens"):
        client.wait_until_available(60, version=refused)
    assert states(client)[good] == "AVAILABLE"

    broken = lifecycle.base_path / f".{refused + 1}"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"not a model")
    broken.rename(lifecycle.base_path / str(refused + 1))
    with pytest.raises(ServerError, match=f"version {refused + 1} failed to load: "):
        client.wait_until_available(60, version=refused + 1)
    told = f"version {refused + 1} failed to load"
    wait_for(lambda: lifecycle.log.read_text("utf-8").count(told) == 2)  # one retry, as asked
    (failed,) = client.status(version=refused + 1)
    assert (failed.state, failed.error_code != "OK") == ("END", True)
    assert "\n" not in failed.error_message
    assert client.generate("x")[0].text == "second|0|x"

    mended = serve("first")
    assert client.wait_until_available(60, version=mended) == mended


def test_removing_the_latest_version_goes_back_to_the_one_before(
    lifecycle: Any, client: Client, serve: Callable[[str], int]
) -> None:
    before, after = serve("first"), serve("second")
    client.wait_until_available(60, version=after)
    (lifecycle.base_path / str(after)).rename(lifecycle.base_path / f".removed-{after}")
    client.wait_until_available(60, version=before)
    wait_for(lambda: states(client)[after] == "END")
    assert client.generate("x")[0].text == "first|0|x"


def test_a_compiled_model_works_with_xla_on(
    client: Client, serve: Callable[[str], int], predict: Callable[..., Any]
) -> None:
    client.wait_until_available(60, version=serve("first"))
    response = predict(client.address, "compiled", x=tensors.vector([2.0], "float32"))
    assert tensors.flat_values(response.outputs["y"]) == [4.0]

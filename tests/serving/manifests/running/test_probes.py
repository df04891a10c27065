"""The model server's probes pass while a version is AVAILABLE, and in no other state.

TensorFlow Serving opens no port before its first models are loaded, and from then on answers
`/metadata` from the loaded version itself: `HttpRestApiHandler::ProcessModelMetadataRequest` calls
`GetModelMetadataImpl`, which needs a servable handle, and none is given of a version that is not
available (http_rest_api_handler.cc and get_model_metadata_impl.cc of tensorflow/serving). Its gRPC
health service is off unless a flag turns it on, and is described as gRPC's standard one, with
nothing about models; so it is not used. The embedded server is asked here, in every state.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(scope="module")
def started(
    overlay: Callable[..., Any],
    node: Callable[..., Any],
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
) -> Any:
    """A server that takes some seconds to warm a version, by the setting for that."""
    settings = [
        "VERSION_POLL_SECONDS=1",
        "CONFIG_POLL_SECONDS=1",
        "WARMUP_ITERATIONS=4000",
        "LOAD_RETRIES=0",
    ]
    change = {"name": "model-server", "behavior": "merge", "literals": settings}
    one = node(overlay("cpu", configMapGenerator=[change]))
    for version, name in ((1, "first"), (2, "refuses")):
        publish(saved_models[name], one.path("/models") / "text", version)
    one.server = one.start("model-server")
    return one


def _states(node: Any) -> dict[str, str]:
    """The state of each version, as `/v1/models/text` has it."""
    try:
        reply = httpx.get(f"http://127.0.0.1:{node.port(8501)}/v1/models/text", timeout=10)
    except httpx.TransportError:
        return {}
    listed = reply.json().get("model_version_status", [])
    return {one["version"]: one["state"] for one in listed}


def _seen(node: Any, until: Callable[..., None], version: str, state: str) -> list[dict[str, bool]]:
    """What the probes said in a state: asked between two looks that both saw it."""
    said: list[dict[str, bool]] = []

    def look() -> bool:
        if _states(node).get(version) != state:
            return False
        asked = {kind: node.passes("model-server", kind) for kind in PROBES}
        if _states(node).get(version) == state:
            said.append(asked)
        return bool(said)

    until(look)
    return said


def test_they_fail_while_a_version_loads_and_pass_once_it_is_available(
    started: Any, until: Callable[..., None]
) -> None:
    assert not any(started.passes("model-server", kind) for kind in PROBES)
    assert _seen(started, until, "1", "LOADING") == [dict.fromkeys(PROBES, False)]
    assert _seen(started, until, "1", "AVAILABLE") == [dict.fromkeys(PROBES, True)]


def test_a_version_that_fails_to_load_beside_takes_nothing_down(
    started: Any, until: Callable[..., None]
) -> None:
    config = started.rendered.one("ConfigMap", "models")["data"]["models.config"]
    both = config.replace("versions: 1", "versions: 1 versions: 2")
    started.change("/etc/models", "models.config", both)
    assert _seen(started, until, "2", "END") == [dict.fromkeys(PROBES, True)]


def test_they_fail_once_no_version_is_available(started: Any, until: Callable[..., None]) -> None:
    config = started.rendered.one("ConfigMap", "models")["data"]["models.config"]
    started.change("/etc/models", "models.config", config)
    version = started.path("/models") / "text" / "1"
    gone = version.rename(version.with_name(".gone"))
    assert _seen(started, until, "1", "END") == [dict.fromkeys(PROBES, False)]
    # What a probe of the port, or of the model's status, would have said all the time.
    url = f"http://127.0.0.1:{started.port(8501)}/v1/models/text"
    assert httpx.get(url).status_code == 200
    assert started.server.poll() is None
    # It comes back, and is loaded and warmed once more.
    gone.rename(version)
    assert _seen(started, until, "1", "LOADING") == [dict.fromkeys(PROBES, False)]
    assert _seen(started, until, "1", "AVAILABLE") == [dict.fromkeys(PROBES, True)]


def test_readiness_is_about_the_label_and_life_about_any_version(
    started: Any, until: Callable[..., None]
) -> None:
    config = started.rendered.one("ConfigMap", "models")["data"]["models.config"]
    unlabelled = config.replace('version_labels { key: "stable" value: 1 }', "")
    started.change("/etc/models", "models.config", unlabelled)
    until(lambda: not started.passes("model-server", "readinessProbe"))
    said = {"startupProbe": False, "readinessProbe": False, "livenessProbe": True}
    assert _seen(started, until, "1", "AVAILABLE") == [said]
    started.change("/etc/models", "models.config", config)
    until(lambda: started.passes("model-server", "readinessProbe"))

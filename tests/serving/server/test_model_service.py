"""Models come, change and go by configuration, and ModelService tells about them."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from serving.server.errors import StatusError
from serving.server.model_service import ModelCalls
from serving.server.models import ModelManager
from serving.server.workers import Settings

Publish = Callable[[str, str, int], Path]

ALL = "model_version_policy { all {} }"


class Told:
    """What the manager has told the health service and the metrics."""

    def __init__(self) -> None:
        self.available: dict[str, bool] = {}
        self.loads: list[tuple[str, int, bool]] = []

    def set_model(self, name: str, available: bool) -> None:
        self.available[name] = available

    def remove_model(self, name: str) -> None:
        del self.available[name]

    def load(self, model: str, version: int, seconds: float, ok: bool, path: str) -> None:
        assert seconds >= 0
        assert path.endswith(f"/{model}/{version}")
        self.loads.append((model, version, ok))


class Serving:
    """A manager that runs, asked by messages as over gRPC."""

    def __init__(self, root: Path, **settings: Any) -> None:
        defaults = {"poll_seconds": 0.05, "max_retries": 1, "retry_seconds": 0.2}
        self.root = root
        self.told = Told()
        self.manager = ModelManager(Settings(**(defaults | settings)))
        self.manager.report_to(self.told, self.told)
        self.calls = ModelCalls(self.manager, reload_seconds=60)
        self.manager.start()

    def reload(self, *models: str, more: dict[str, str] | None = None) -> Any:
        """Configures models whose base paths are folders of their names."""
        entries = "".join(
            f'config {{ name: "{name}" base_path: "{self.root / name}" '
            f'model_platform: "tensorflow" {(more or {}).get(name, "")} }}'
            for name in models
        )
        return self.reload_text(f"model_config_list {{ {entries} }}")

    def reload_text(self, text: str) -> Any:
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(text, request.config)
        return self.calls.reload(request)

    def status(self, name: str, version: int | None = None) -> list[Any]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        return list(self.calls.status(request).model_version_status)

    def states(self, name: str) -> dict[int, str]:
        state = get_model_status_pb2.ModelVersionStatus.State
        return {entry.version: state.Name(entry.state) for entry in self.status(name)}

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    def answers(self, name: str, version: int | None = None, label: str = "") -> tuple[int, str]:
        """The version that answers, and the text that names its model."""
        with self.manager.use(name, version, label) as (number, model):
            return number, ask(model)


def ask(model: Any) -> str:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    for name, value, dtype in (
        ("prompt", "x", tf.string),
        ("max_new_tokens", 1, tf.int32),
        ("temperature", 1.0, tf.float32),
        ("top_k", 0, tf.int32),
        ("top_p", 1.0, tf.float32),
        ("seed", 0, tf.int64),
    ):
        request.inputs[name].CopyFrom(tf.make_tensor_proto([value], dtype))
    _, outputs = model.predict(request)
    return bytes(outputs["text"].string_val[0]).decode().split("|")[0]


@pytest.fixture
def publish_as(
    tmp_path: Path, saved_models: dict[str, Path], publish: Callable[[Path, Path, int], Path]
) -> Publish:
    """Publishes a SavedModel as a version of a model."""
    return lambda saved, model, version: publish(saved_models[saved], tmp_path / model, version)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(**settings: Any) -> Serving:
        started.append(Serving(tmp_path, **settings))
        return started[-1]

    yield start
    for serving in started:
        serving.manager.stop()


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[str, str]:
    with pytest.raises(StatusError) as refused:
        call(*arguments, **named)
    return refused.value.code.name, refused.value.message


def test_a_reload_ends_once_new_models_answer_and_dropped_ones_go(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start()
    publish_as("first", "a", 1)
    publish_as("second", "b", 4)
    response = serving.reload("a", "b")
    assert response.HasField("status")
    assert response.status.error_code == 0
    assert serving.answers("a") == (1, "first")
    assert serving.answers("b") == (4, "second")
    assert serving.told.available == {"a": True, "b": True}
    assert sorted(serving.told.loads) == [("a", 1, True), ("b", 4, True)]

    serving.reload("b")
    serving.wait_for(lambda: serving.states("a") == {1: "END"})
    assert serving.told.available == {"b": True}
    not_found = ("NOT_FOUND", "Servable not found for request: Latest(a)")
    assert refusal(serving.answers, "a") == not_found
    assert serving.answers("b") == (4, "second")

    # Back again: what became of it before does not count.
    serving.reload("a", "b")
    assert serving.answers("a") == (1, "first")


def test_a_refused_reload_changes_nothing(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start()
    publish_as("first", "a", 1)
    publish_as("second", "b", 1)
    serving.reload("a")
    serving.reload("a", more={"a": 'version_labels { key: "stable" value: 1 }'})

    code, message = refusal(serving.reload, "a", "b", "b")
    assert code == "INVALID_ARGUMENT"
    assert message == "Illegal to list model b multiple times in config list"
    moved = {"a": 'version_labels { key: "stable" value: 2 }'}
    code, message = refusal(serving.reload, "a", "b", more=moved)
    assert code == "FAILED_PRECONDITION"
    assert message == (
        "Request to assign label to version 2 of model a, "
        "which is not currently available for inference"
    )
    for text in ("", "custom_model_config {}"):
        code, message = refusal(serving.reload_text, text)
        assert code == "INVALID_ARGUMENT"
        assert message == (
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    assert serving.answers("a", label="stable") == (1, "first")
    assert refusal(serving.status, "b") == ("NOT_FOUND", "Could not find any versions of model b")


def test_a_reload_whose_new_model_fails_says_why_and_the_others_go_on(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start()
    publish_as("first", "a", 1)
    publish_as("refuses", "b", 2)
    serving.reload("a")
    code, message = refusal(serving.reload, "a", "b")
    assert code == "UNKNOWN"
    assert message.startswith(
        "1 model(s) did not become available: {{{name: b version: 2} due to error: "
        "INVALID_ARGUMENT: warmup request failed: expected max_new_tokens"
    )
    assert serving.answers("a") == (1, "first")
    (status,) = serving.status("b", 2)
    assert (status.state, status.status.error_code) == (50, 3)
    assert serving.told.available == {"a": True, "b": False}
    assert serving.told.loads.count(("b", 2, False)) == 2


def test_a_reload_that_waits_for_a_first_version_has_an_end(
    start: Callable[..., Serving],
) -> None:
    serving = start()
    serving.calls = ModelCalls(serving.manager, reload_seconds=0.3)
    code, message = refusal(serving.reload, "to come")
    assert code == "DEADLINE_EXCEEDED"
    assert "no version of to come became available within 0.3 s" in message


def test_a_reload_waits_no_longer_than_its_caller(start: Callable[..., Serving]) -> None:
    serving = start()
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(
        f'model_config_list {{ config {{ name: "a" base_path: "{serving.root / "missing"}" '
        'model_platform: "tensorflow" } }',
        request.config,
    )
    started = time.monotonic()
    code, message = refusal(serving.calls.reload, request, started + 0.3)
    assert time.monotonic() - started < 10
    assert code == "DEADLINE_EXCEEDED"
    assert "the new config is in place" in message


def test_a_reload_under_way_ends_when_the_server_stops(start: Callable[..., Serving]) -> None:
    serving = start()
    ended: list[tuple[str, str]] = []
    thread = threading.Thread(target=lambda: ended.append(refusal(serving.reload, "to come")))
    thread.start()
    serving.wait_for(lambda: bool(serving.manager.configured()))
    serving.manager.stop()
    thread.join(10)
    assert ended == [("UNAVAILABLE", "the server is stopping")]


def test_labels_name_versions_and_follow_the_configuration(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start()
    publish_as("first", "a", 1)
    publish_as("second", "a", 2)
    serving.reload("a", more={"a": ALL})
    serving.wait_for(lambda: set(serving.states("a").values()) == {"AVAILABLE"})
    assert serving.answers("a") == (2, "second")

    def labelled(stable: int, canary: int) -> dict[str, str]:
        label = 'version_labels {{ key: "{}" value: {} }}'
        both = label.format("stable", stable) + label.format("canary", canary)
        return {"a": f"{ALL} {both}"}

    serving.reload("a", more=labelled(1, 2))
    assert serving.answers("a", label="stable") == (1, "first")
    assert serving.answers("a", label="canary") == (2, "second")
    serving.reload("a", more=labelled(2, 1))
    assert serving.answers("a", label="stable") == (2, "second")
    for name, label in (("a", "nightly"), ("b", "stable")):
        assert refusal(serving.answers, name, label=label) == (
            "INVALID_ARGUMENT",
            f"Unrecognized servable version label: {label}",
        )


def test_labels_may_come_before_their_versions_where_that_is_allowed(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start(labels_for_unavailable=True)
    publish_as("first", "a", 1)
    serving.reload("a", more={"a": f'{ALL} version_labels {{ key: "next" value: 2 }}'})
    assert refusal(serving.answers, "a", label="next") == (
        "NOT_FOUND",
        "Servable not found for request: Specific(a, 2)",
    )
    publish_as("second", "a", 2)
    serving.wait_for(lambda: serving.states("a").get(2) == "AVAILABLE")
    assert serving.answers("a", label="next") == (2, "second")


def test_policies_choose_what_is_loaded_and_a_change_swaps(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start(load_threads=2, unload_threads=1)
    for number in (1, 2, 3):
        publish_as("first", "a", number)

    def available() -> list[int]:
        return [number for number, state in serving.states("a").items() if state == "AVAILABLE"]

    serving.reload("a", more={"a": "model_version_policy { specific { versions: 1 } }"})
    assert available() == [1]
    serving.reload("a", more={"a": "model_version_policy { latest { num_versions: 2 } }"})
    serving.wait_for(lambda: available() == [3, 2])
    serving.wait_for(lambda: serving.states("a")[1] == "END")
    publish_as("second", "a", 4)
    serving.wait_for(lambda: available() == [4, 3])
    assert serving.answers("a") == (4, "second")
    serving.reload("a", more={"a": ALL})
    serving.wait_for(lambda: available() == [4, 3, 2, 1])


def test_a_hung_request_holds_up_neither_the_unload_nor_newer_versions(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start(drain_seconds=2.0)
    publish_as("first", "a", 1)
    serving.reload("a")
    with serving.manager.use("a") as (number, model):
        for new in (2, 3):
            publish_as("second", "a", new)
            serving.wait_for(lambda: serving.answers("a")[0] == new)  # noqa: B023
        assert serving.states("a")[1] == "UNLOADING"
        serving.wait_for(lambda: serving.states("a")[1] == "END")
        # It is finished all the same, by the version that began it.
        assert (number, ask(model)) == (1, "first")


def test_an_unloaded_version_is_let_go_of(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    import weakref

    serving = start()
    publish_as("first", "a", 1)
    serving.reload("a")
    with serving.manager.use("a") as (_, model):
        kept = weakref.ref(model)
    del model
    publish_as("second", "a", 2)
    serving.wait_for(lambda: serving.states("a").get(1) == "END")
    assert kept() is None


def test_a_version_that_failed_is_let_go_of(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    from serving.server.predict import LoadedModel

    def loaded() -> int:
        gc.collect()
        return sum(isinstance(entry, LoadedModel) for entry in gc.get_objects())

    serving = start(max_retries=0)
    before = loaded()
    publish_as("refuses", "a", 1)
    assert refusal(serving.reload, "a")[0] == "UNKNOWN"
    assert serving.manager.states("a")[0].error is not None
    serving.wait_for(lambda: loaded() == before, 10)


def test_a_version_that_is_deleted_while_serving_is_unloaded(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    serving = start()
    one, two = publish_as("first", "a", 1), publish_as("second", "a", 2)
    serving.reload("a")
    with serving.manager.use("a") as (_, model):
        shutil.rmtree(two)
        serving.wait_for(lambda: serving.answers("a") == (1, "first"))
        assert ask(model) == "second"  # from memory
    serving.wait_for(lambda: serving.states("a") == {2: "END", 1: "AVAILABLE"})
    # The last one goes too: an empty base path asks for no version.
    shutil.rmtree(one)
    serving.wait_for(lambda: serving.states("a") == {2: "END", 1: "END"})
    assert serving.told.available == {"a": False}
    publish_as("second", "a", 2)
    serving.wait_for(lambda: serving.states("a")[2] == "AVAILABLE")
    assert serving.told.available == {"a": True}


def test_a_base_path_that_vanishes_unloads_nothing(
    start: Callable[..., Serving], publish_as: Publish, tmp_path: Path
) -> None:
    serving = start()
    publish_as("first", "a", 1)
    serving.reload("a")
    shutil.rmtree(tmp_path / "a")
    time.sleep(0.5)
    assert serving.answers("a") == (1, "first")
    assert serving.states("a") == {1: "AVAILABLE"}


def test_a_failed_load_is_loading_until_its_retries_are_over_and_may_be_mended(
    start: Callable[..., Serving], publish_as: Publish, tmp_path: Path
) -> None:
    serving = start(max_retries=3, retry_seconds=0.4)
    good = publish_as("first", "b", 1)
    broken = tmp_path / "a" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"not a model")
    waiting = threading.Thread(target=lambda: serving.reload("a"))
    waiting.start()
    serving.wait_for(lambda: ("a", 1, False) in serving.told.loads)
    (status,) = serving.status("a")
    assert (status.state, status.status.error_code) == (20, 15)  # LOADING, DATA_LOSS
    assert "Cannot parse file" in status.status.error_message
    shutil.rmtree(broken)
    good.rename(broken)
    waiting.join(30)
    assert serving.answers("a") == (1, "first")
    (status,) = serving.status("a")
    assert (status.state, status.status.error_code, status.status.error_message) == (30, 0, "")


def test_a_version_given_up_is_tried_again_once_it_was_away(
    start: Callable[..., Serving], publish_as: Publish, tmp_path: Path
) -> None:
    serving = start(max_retries=0)
    publish_as("refuses", "a", 1)
    code, _ = refusal(serving.reload, "a")
    assert code == "UNKNOWN"
    shutil.rmtree(tmp_path / "a" / "1")
    time.sleep(0.3)
    publish_as("first", "a", 1)
    serving.wait_for(lambda: serving.states("a") == {1: "AVAILABLE"})


def test_status_without_a_model_spec_is_refused(start: Callable[..., Serving]) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    assert refusal(start().calls.status, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_once_configured_an_empty_config_is_refused(
    start: Callable[..., Serving], publish_as: Publish
) -> None:
    from tensorflow_serving.config import model_server_config_pb2

    serving = start()
    empty = model_server_config_pb2.ModelServerConfig()
    assert serving.manager.configure(empty) == set()
    publish_as("first", "a", 1)
    serving.reload("a")
    code, message = refusal(serving.manager.configure, empty)
    assert code == grpc.StatusCode.FAILED_PRECONDITION.name
    assert "It is only legal to transition from one ModelConfigList to another." in message
    # A list without models is a list: it unloads them all.
    serving.reload()
    serving.wait_for(lambda: serving.states("a") == {1: "END"})

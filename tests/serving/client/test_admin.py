"""What an operator asks of a server: its models, versions and labels, and its health."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.client import (
    Client,
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    UnavailableError,
    UnsupportedError,
    messages,
)
from serving.client.admin import ModelConfig, health, reload
from serving.client.protocol import RELOAD

MODELS = [
    ModelConfig("newest", "/models/newest"),
    ModelConfig("every", "/models/every", "all"),
    ModelConfig("some", "/models/some", [3, 5], {"stable": 3, "canary": 5}),
]


def test_a_configuration_is_tensorflow_servings_own() -> None:
    ours = messages.ReloadConfigRequest()
    ours.config.model_config_list.config.extend(model.message() for model in MODELS)
    data = ours.SerializeToString()
    theirs = model_management_pb2.ReloadConfigRequest.FromString(data)
    newest, every, some = theirs.config.model_config_list.config
    assert [model.name for model in (newest, every, some)] == ["newest", "every", "some"]
    assert some.base_path == "/models/some"
    assert {model.model_platform for model in (newest, every, some)} == {"tensorflow"}
    assert newest.model_version_policy.WhichOneof("policy_choice") == "latest"
    assert every.model_version_policy.WhichOneof("policy_choice") == "all"
    assert list(some.model_version_policy.specific.versions) == [3, 5]
    assert dict(some.version_labels) == {"stable": 3, "canary": 5}
    # Nothing of it was unknown to TensorFlow Serving, and nothing is lost on the way back.
    assert (
        theirs.config.model_config_list.config[2].ByteSize()
        == ours.config.model_config_list.config[2].ByteSize()
    )
    back = messages.ReloadConfigRequest.FromString(theirs.SerializeToString(deterministic=True))
    assert back == ours


def test_its_text_form_is_that_of_a_model_config_file() -> None:
    ours = messages.ModelServerConfig()
    ours.model_config_list.config.extend(model.message() for model in MODELS)
    theirs = text_format.Parse(
        text_format.MessageToString(ours), model_server_config_pb2.ModelServerConfig()
    )
    assert messages.ModelServerConfig.FromString(theirs.SerializeToString()) == ours


def test_every_message_has_tensorflow_servings_numbers() -> None:
    theirs = model_management_pb2.ReloadConfigResponse()
    theirs.status.error_code, theirs.status.error_message = 9, "no"
    ours = messages.ReloadConfigResponse.FromString(theirs.SerializeToString())
    assert (ours.status.error_code, ours.status.error_message) == (9, "no")
    states = get_model_status_pb2.ModelVersionStatus.State.items()
    assert {value.name: value.number for value in messages.STATE.values} == dict(states)


def test_versions_are_a_word_or_numbers() -> None:
    with pytest.raises(ValueError, match=r"expected 'latest', 'all' or numbers\. Received: 'new'"):
        ModelConfig("text", "/models", "new").message()  # type: ignore[arg-type]


def test_reload_serves_what_the_policies_and_labels_say(
    changing: Any, serves: Callable[..., None]
) -> None:
    with Client(changing.address, timeout=20) as client:
        serves(1, 2, labels={"stable": 1, "canary": 2})
        assert client.generate("x", label="stable")[0].text == "first|0|x"
        assert client.generate("x", label="canary")[0].text == "second|0|x"
        assert client.metadata(label="stable").version == 1
        serves(1, 2, labels={"stable": 2})
        assert client.generate("x", label="stable")[0].version == 2
        with pytest.raises(InvalidRequestError, match="canary"):
            client.generate("x", label="canary")
        serves(1)
        assert client.generate("x")[0].version == 1
        with pytest.raises(ModelNotFoundError):
            client.generate("x", version=2)


def test_reload_adds_a_model_and_takes_it_away(changing: Any, serves: Callable[..., None]) -> None:
    serves(1)
    text = ModelConfig("text", str(changing.base_path), [1])
    other = ModelConfig("other", str(changing.base_path), [2])
    with Client(changing.address, model="other", timeout=20) as client:
        reload(changing.address, [text, other], timeout=30)
        # A new model is available when the call returns.
        assert client.generate("x")[0].text == "second|0|x"
        reload(changing.address, [text], timeout=30)
        with pytest.raises(ModelNotFoundError):
            client.generate("x")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"labels": {"stable": 7}}, grpc.StatusCode.FAILED_PRECONDITION),
        ({"base_path": "relative/path"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"name": ""}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_refused_reload_changes_nothing(
    changing: Any, serves: Callable[..., None], change: dict[str, Any], code: grpc.StatusCode
) -> None:
    serves(1, labels={"stable": 1})
    config: dict[str, Any] = {"name": "text", "base_path": str(changing.base_path)}
    bad = ModelConfig(**(config | {"versions": [1]} | change))
    with pytest.raises(InvalidRequestError) as raised:
        reload(changing.address, [bad], timeout=30)
    assert raised.value.code == code
    assert str(raised.value).startswith(f"{changing.address}: {code.name}: ")
    with Client(changing.address, timeout=20) as client:
        assert client.generate("x", label="stable")[0].text == "first|0|x"


def test_a_refusal_inside_the_answer_is_an_error_too(serve: Callable[..., Any]) -> None:
    answer = model_management_pb2.ReloadConfigResponse()
    answer.status.error_code, answer.status.error_message = 9, "not\nnow"
    stub = serve(lambda *_: bytes(answer.SerializeToString()))
    with pytest.raises(InvalidRequestError) as raised:
        reload(stub.address, MODELS, timeout=10)
    assert str(raised.value) == f"{stub.address}: FAILED_PRECONDITION: not now"
    assert stub.calls == [RELOAD]


def test_a_server_that_cannot_be_reached(free_address: str) -> None:
    with pytest.raises(UnavailableError, match=free_address):
        reload(free_address, MODELS, timeout=5)
    with pytest.raises(UnavailableError, match=free_address):
        health(free_address)


def test_health(server: Any) -> None:
    assert health(server.address) is True


@pytest.mark.parametrize(("state", "well"), [(0, False), (1, True), (2, False)])
def test_only_serving_is_well(serve: Callable[..., Any], state: int, well: bool) -> None:
    from grpc_health.v1 import health_pb2

    data = bytes(health_pb2.HealthCheckResponse(status=state).SerializeToString())
    assert health(serve(lambda *_: data).address) is well


def test_a_server_without_the_health_protocol(serve: Callable[..., Any]) -> None:
    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        return b""

    with pytest.raises(UnsupportedError):
        health(serve(answer).address)


def test_a_server_that_hangs_meets_the_deadline(serve: Callable[..., Any]) -> None:
    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(20)
        return b""

    stub = serve(answer)
    with pytest.raises(DeadlineError):
        health(stub.address, timeout=0.2)
    with pytest.raises(DeadlineError):
        reload(stub.address, MODELS, timeout=0.2)

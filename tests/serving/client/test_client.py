"""The client against a real server, and alone in a bare process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import serving.client
from serving.client import (
    Client,
    ClientError,
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    Score,
    TensorSpec,
    UnavailableError,
    VersionStatus,
)


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    with Client(server.address, model="text", timeout=20) as client:
        yield client


def test_generate_answers_each_prompt_with_its_own_parameters(client: Client) -> None:
    answers = client.generate(
        ["a", "é"], max_new_tokens=[1, 2], temperature=0.5, top_k=3, top_p=0.5, seed=[5, 6]
    )
    assert [answer.text for answer in answers] == ["first|5|a", "first|6|é"]
    assert [answer.num_tokens for answer in answers] == [1, 2]
    assert [answer.logprob for answer in answers] == [4.0, 4.0]


def test_one_prompt_may_be_a_string_and_none_is_no_request(client: Client) -> None:
    assert [answer.text for answer in client.generate("x", version=3)] == ["first|0|x"]
    assert client.generate([]) == []
    assert client.score([]) == []


def test_score_rates_each_text(client: Client) -> None:
    assert client.score(["abc", ""]) == [Score(3.0, 4, 3), Score(0.0, 1, 3)]


def test_metadata_names_signatures_types_and_shapes(client: Client) -> None:
    metadata = client.metadata()
    assert metadata.version == 3
    assert {"generate", "score", "serving_default"} <= set(metadata.signatures)
    assert metadata.signatures["generate"].inputs["seed"] == TensorSpec("DT_INT64", (None,))
    assert metadata.signatures["double"].outputs["y"] == TensorSpec("DT_FLOAT", (None, 2))
    assert metadata.signatures["score"].method_name == "tensorflow/serving/predict"


def test_status_and_wait_name_the_version(client: Client) -> None:
    assert client.status() == [VersionStatus(3, "AVAILABLE", "OK", "")]
    assert client.wait_until_available(5, version=3) == 3


def test_calls_from_many_threads_get_their_own_answers(client: Client) -> None:
    answers: dict[int, str] = {}

    def ask(seed: int) -> None:
        answers[seed] = client.generate("x", seed=seed)[0].text

    threads = [threading.Thread(target=ask, args=[seed]) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {seed: f"first|{seed}|x" for seed in range(16)}


def test_a_refusal_by_the_model_is_one_line_with_its_words(client: Client) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        client.generate("x", max_new_tokens=0)
    assert raised.value.message == "expected max_new_tokens of at least 1. Received: 0"
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert str(raised.value).endswith(raised.value.message)
    assert "\n" not in str(raised.value)


def test_a_value_of_the_wrong_type_is_refused_before_it_is_sent(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match=r"expected seed as int64\. Received: 'one'"):
        client.generate("x", seed="one")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="expected top_k as int32"):
        client.generate("x", top_k=2**40)


def test_unknown_models_and_versions(server: Any, client: Client) -> None:
    with Client(server.address, model="nope") as other, pytest.raises(ModelNotFoundError):
        other.generate("x")
    with pytest.raises(ModelNotFoundError, match="version 8"):
        client.status(version=8)
    with pytest.raises(DeadlineError, match="Could not find version 8"):
        client.wait_until_available(0.3, version=8)


def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with Client(address) as client, pytest.raises(UnavailableError, match=address):
        client.status(timeout=10)


def test_a_server_that_never_answers_meets_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, timeout=0.3) as client:
            started = time.monotonic()
            with pytest.raises(ClientError) as raised:
                client.generate("x")
        assert time.monotonic() - started < 10
        assert isinstance(raised.value, DeadlineError | UnavailableError)


def test_the_public_names_are_these() -> None:
    assert sorted(serving.client.__all__) == [
        "AddressError",
        "AsyncClient",
        "CertificateError",
        "Chunk",
        "Client",
        "ClientError",
        "DeadlineError",
        "Generation",
        "InvalidRequestError",
        "Metadata",
        "ModelNotFoundError",
        "Prediction",
        "ResponseError",
        "RetryPolicy",
        "Score",
        "ServerError",
        "Signature",
        "Tensor",
        "TensorSpec",
        "Tls",
        "UnavailableError",
        "UnsupportedError",
        "VersionStatus",
    ]

"""Streams: pieces of one text, by one version, within one deadline."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from serving.client import (
    Client,
    DeadlineError,
    InvalidRequestError,
    ResponseError,
    ServerError,
    UnavailableError,
    messages,
    tensors,
)


def piece(tokens: list[int], text: bytes, finished: bool = False, num_tokens: int = -1) -> bytes:
    """A serialized answer of `generate_chunk` by version 5."""
    response = messages.PredictResponse()
    response.model_spec.version.value = 5
    columns: dict[str, tuple[Any, str]] = {
        "text": (text, "string"),
        "num_tokens": (len(tokens) if num_tokens < 0 else num_tokens, "int32"),
        "logprob": (-1.0, "float32"),
        "finished": (finished, "bool"),
    }
    for name, (value, dtype) in columns.items():
        response.outputs[name].CopyFrom(tensors.vector([value], dtype))
    response.outputs["tokens"].CopyFrom(tensors.tensor([tokens], messages.DT_INT32, 2))
    return bytes(response.SerializeToString())


def endless(*_: Any) -> bytes:
    return piece([1], b"x")


def test_pieces_join_to_the_whole_text(server: Any, stream: Callable[..., Any]) -> None:
    arguments = {"max_new_tokens": 40, "seed": 7, "top_p": 0.5}
    with Client(server.address, timeout=20) as client:
        [whole] = client.generate("The Congress of nations", **arguments)
    chunks = stream(server.address, "The Congress of nations", chunk_tokens=5, **arguments)
    assert (
        "".join(chunk.text for chunk in chunks) == whole.text == "first|7|The Congress of nations"
    )
    assert [chunk.num_tokens for chunk in chunks] == [2, 5, 5, 5, 5, 5, 4]
    assert [chunk.finished for chunk in chunks] == [False] * 6 + [True]
    assert [chunk.logprob for chunk in chunks] == [-2.0] + [-5.0] * 5 + [-4.0]
    assert {chunk.version for chunk in chunks} == {3}


def test_max_new_tokens_ends_the_stream(server: Any, stream: Callable[..., Any]) -> None:
    chunks = stream(server.address, "x", max_new_tokens=3)
    assert [(chunk.text, chunk.finished) for chunk in chunks] == [("fi", False), ("r", True)]


def test_a_character_that_is_cut_comes_whole(server: Any, stream: Callable[..., Any]) -> None:
    # The toy's tokens are bytes: each of these characters takes two to four of them.
    chunks = stream(server.address, "é€😀", chunk_tokens=1, first_chunk_tokens=1)
    assert len(chunks) == len("first|0|é€😀".encode())
    shown = [chunk.text for chunk in chunks]
    assert "".join(shown) == "first|0|é€😀"
    assert shown[-9:] == ["", "é", "", "", "€", "", "", "", "😀"]


def test_a_text_that_ends_inside_a_character_shows_that(
    server: Any, stream: Callable[..., Any]
) -> None:
    chunks = stream(server.address, "é", max_new_tokens=9, chunk_tokens=4)
    assert "".join(chunk.text for chunk in chunks) == "first|0|�"


def test_a_newer_version_does_not_take_over_a_text(
    changing: Any, serves: Callable[..., None], stream: Callable[..., Any]
) -> None:
    serves(1)
    seen = []

    def between(chunk: Any) -> None:
        if not seen:
            serves(1, 2)
            with Client(changing.address, timeout=20) as client:
                seen.append(client.generate("x")[0])

    chunks = stream(changing.address, "x", between)
    assert (seen[0].version, seen[0].text) == (2, "second|0|x")
    assert "".join(chunk.text for chunk in chunks) == "first|0|x"
    assert {chunk.version for chunk in chunks} == {1}


def test_a_version_that_is_unloaded_ends_its_texts_with_a_clear_error(
    changing: Any, serves: Callable[..., None], stream: Callable[..., Any]
) -> None:
    serves(1, 2)

    def between(chunk: Any) -> None:
        assert chunk.version == 2
        serves(1)

    with pytest.raises(ServerError) as raised:
        stream(changing.address, "x", between)
    assert raised.value.message == (
        "version 2 was unloaded before the text was finished; ask again"
    )
    assert raised.value.code == grpc.StatusCode.NOT_FOUND


def test_a_label_is_asked_for_once(
    changing: Any, serves: Callable[..., None], stream: Callable[..., Any]
) -> None:
    serves(1, 2, labels={"stable": 1})

    def between(chunk: Any) -> None:
        serves(1, 2, labels={"stable": 2})

    chunks = stream(changing.address, "x", between, label="stable")
    assert "".join(chunk.text for chunk in chunks) == "first|0|x"


def test_who_stops_reading_stops_asking(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    stub = serve(endless)
    seen: list[Any] = []

    def between(chunk: Any) -> bool:
        seen.append(chunk)
        return len(seen) == 3

    assert len(stream(stub.address, "x", between)) == 3
    time.sleep(0.3)
    assert len(stub.calls) == 3


def test_nothing_is_asked_before_the_first_piece_is_wanted(serve: Callable[..., Any]) -> None:
    stub = serve(endless)
    with Client(stub.address) as client:
        pieces = client.stream("x")
        assert stub.calls == []
        next(pieces)
        assert inspect.isgenerator(pieces)
        pieces.close()
    assert len(stub.calls) == 1


def test_every_piece_names_all_tokens_and_the_version_before_it(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    answers = [piece([7, 8, -1], b"ab", num_tokens=2), piece([9], b"c", finished=True)]
    stub = serve(lambda *_: answers.pop(0))
    metadata = [("x-request-id", "r1")]
    stream(stub.address, "p", chunk_tokens=6, first_chunk_tokens=3, metadata=metadata)
    first, second = (messages.PredictRequest.FromString(request) for request in stub.requests)
    assert not first.model_spec.HasField("version")
    assert tensors.read(first.inputs["generated"]).shape == (1, 0)
    assert tensors.flat_values(first.inputs["chunk_tokens"]) == [3]
    assert second.model_spec.version.value == 5
    assert tensors.read(second.inputs["generated"]).tolist() == [[7, 8]]
    assert tensors.flat_values(second.inputs["chunk_tokens"]) == [6]
    assert [sent["x-request-id"] for sent in stub.metadata] == ["r1", "r1"]


def test_the_deadline_is_that_of_the_whole_text(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    release = threading.Event()

    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        release.wait(0.2)
        return endless()

    stub = serve(answer)
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        stream(stub.address, "x", timeout=0.7)
    assert 0.6 < time.monotonic() - started < 5
    assert 2 <= len(stub.calls) <= 4
    release.set()


def test_a_piece_that_meets_a_server_going_down_is_asked_for_again(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    pieces = [piece([1], b"a"), None, None, piece([2], b"b"), piece([3], b"c", finished=True)]

    def answer(method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        data = pieces.pop(0)
        if data is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "going down")
        assert data is not None
        return data

    stub = serve(answer)
    assert "".join(chunk.text for chunk in stream(stub.address, "x")) == "abc"
    assert len(stub.calls) == 5
    assert stub.requests[1] == stub.requests[2] == stub.requests[3]


def test_a_server_that_stays_down_is_an_error_of_the_stream(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    stub = serve(endless)

    def between(chunk: Any) -> None:
        stub.stop()

    with pytest.raises(UnavailableError):
        stream(stub.address, "x", between)


def test_a_piece_without_tokens_is_the_last(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    stub = serve(lambda *_: piece([-1], b"", num_tokens=0))
    assert [chunk.finished for chunk in stream(stub.address, "x")] == [True]


def test_tokens_that_contradict_their_number_are_refused(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    stub = serve(lambda *_: piece([1, -1], b"ab", num_tokens=2))
    with pytest.raises(ResponseError, match=r"expected 2 tokens.* Received: 1"):
        stream(stub.address, "x")


def test_wrong_arguments_are_refused_before_anything_is_sent(
    serve: Callable[..., Any], stream: Callable[..., Any]
) -> None:
    stub = serve(endless)
    with pytest.raises(InvalidRequestError, match="expected a version or a label"):
        stream(stub.address, "x", version=1, label="stable")
    with pytest.raises(InvalidRequestError, match="expected chunk_tokens as int32"):
        stream(stub.address, "x", first_chunk_tokens="two")
    assert stub.calls == []

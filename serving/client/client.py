"""The blocking client: asks a model server for text, scores, and whatever its signatures offer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from serving.client import channel, errors
from serving.client.channel import RetryPolicy, Tls
from serving.client.protocol import RESPONSES, Answer, Call, Protocol, Stream
from serving.client.types import Chunk, Generation, Metadata, Prediction, Score, VersionStatus
from serving.client.waiting import POLL_SECONDS, Wait

DEFAULT_TIMEOUT = 60.0
# Servers cut a connection that is pinged more often than every five minutes while it is silent.
KEEPALIVE_SECONDS = 330.0
CallMetadata = Sequence[tuple[str, str]]


class Client:
    """A connection to one model behind one address.

    Every call has a deadline. Calls may be made from several threads at once.

        with Client("localhost:8500", model="text") as client:
            print(client.generate(["The Congress"], seed=1)[0].text)
            for chunk in client.stream("The Congress", max_new_tokens=100):
                print(chunk.text, end="", flush=True)

    These calls take `version` or `label` for a certain version of the model (the latest one is
    asked otherwise), `timeout` in seconds (the client's own otherwise), and `metadata`, pairs
    that go with the call, such as a trace's identity.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str = "text",
        timeout: float = DEFAULT_TIMEOUT,
        tls: Tls | None = None,
        retry: RetryPolicy | None = None,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
    ) -> None:
        """Opens a channel; nothing is sent yet.

        Args:
            address: HOST:PORT; a name with several addresses, such as a headless service, is
                asked in turns, and so is IP:PORT,IP:PORT. Also `unix:/path`.
            model: name of the served model.
            timeout: seconds that every call may take, unless it says otherwise.
            tls: how to encrypt; None for plain text.
            retry: when to ask again.
            keepalive_seconds: how often an idle connection under a call is tested.

        Raises:
            AddressError: the address is none.
            ValueError: a file of `tls` is not what it must be.
        """
        self._address = address
        self._timeout = timeout
        self._tls = tls
        self._protocol = Protocol(address, model)
        options = channel.options(retry or RetryPolicy(), tls, keepalive_seconds)
        target = channel.target(address)
        if tls is None:
            self._channel = grpc.insecure_channel(target, options=options)
        else:
            self._channel = grpc.secure_channel(target, tls.credentials(), options=options)
        self._methods: dict[str, Callable[..., Any]] = {
            name: self._channel.unary_unary(
                name,
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=response.FromString,
            )
            for name, response in RESPONSES.items()
        }
        self._signatures: dict[tuple[int | None, str | None], Metadata] = {}

    @property
    def address(self) -> str:
        """As given."""
        return self._address

    def _run(
        self, call: Call[Answer], timeout: float | None, metadata: CallMetadata = ()
    ) -> Answer:
        limit = self._timeout if timeout is None else timeout
        try:
            response = self._methods[call.method](
                call.request, timeout=limit, metadata=tuple(metadata)
            )
        except grpc.RpcError as error:
            raise errors.from_rpc(error, self._address, self._tls) from None
        return call.read(response)

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int | Sequence[int] = 64,
        temperature: float | Sequence[float] = 1.0,
        top_k: int | Sequence[int] = 0,
        top_p: float | Sequence[float] = 1.0,
        seed: int | Sequence[int] = 0,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> list[Generation]:
        """Continues prompts, all in one request.

        Args:
            prompts: one or several; an empty one starts a text from nothing.
            max_new_tokens: at most so many new tokens; the end of the text may come earlier.
            temperature: 0 takes the likeliest token at every step.
            top_k: sample among so many likeliest tokens; 0 for all.
            top_p: sample among the likeliest tokens that hold this probability, in (0, 1].
            seed: the same seed gives the same text for the same prompt.
            version, label, timeout, metadata: as the class says.

            Sampling parameters are one value for all prompts or one per prompt.

        Returns:
            One continuation per prompt, in order.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        asked = [prompts] if isinstance(prompts, str) else list(prompts)
        if not asked:
            return []
        arguments = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
        }
        call = self._protocol.generate(asked, arguments, version, label)
        return self._run(call, timeout, metadata)

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        chunk_tokens: int = 8,
        first_chunk_tokens: int = 2,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> Iterator[Chunk]:
        """Continues a prompt, and yields the text as it is written.

        All pieces together are what `generate` answers for the same arguments, by the version
        that answered first.

        Args:
            prompt: the text to continue.
            max_new_tokens, temperature, top_k, top_p, seed: as for `generate`.
            chunk_tokens: tokens to wait for between pieces; fewer cost more work in all.
            first_chunk_tokens: tokens of the first piece; few, so that it comes soon.
            timeout: seconds for the whole text.
            version, label, metadata: as the class says.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        arguments = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
        }
        sizes = (first_chunk_tokens, chunk_tokens)
        stream = Stream(self._protocol, prompt, arguments, sizes, version, label)
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        while not stream.finished:
            try:
                # gRPC itself reports a deadline that has passed.
                left = max(deadline - time.monotonic(), 0.0)
                chunk = self._run(stream.next(), left, metadata)
            except errors.ClientError as error:
                raise stream.failed(error) from None
            yield chunk

    def score(
        self,
        texts: str | Sequence[str],
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> list[Score]:
        """Rates how likely texts are under the model, all in one request.

        Returns:
            One score per text, in order.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        asked = [texts] if isinstance(texts, str) else list(texts)
        if not asked:
            return []
        call = self._protocol.score(asked, version, label)
        return self._run(call, timeout, metadata)

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> Prediction:
        """Runs any signature of any model.

        Args:
            signature: its name.
            inputs: values by name, as lists within lists; types are those of the signature, which
                is asked for once.
            timeout: seconds for both.
            version, label, metadata: as the class says.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        key = (version, label)
        if key not in self._signatures:
            self._signatures[key] = self.metadata(
                version=version, label=label, timeout=limit, metadata=metadata
            )
        try:
            call = self._protocol.predict(signature, inputs, self._signatures[key], version, label)
            left = max(deadline - time.monotonic(), 0.0)
            return self._run(call, left, metadata)
        except (errors.InvalidRequestError, errors.ModelNotFoundError):
            # A newer version may have other signatures.
            self._signatures.pop(key, None)
            raise

    def metadata(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> Metadata:
        """The signatures of the model.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        return self._run(self._protocol.get_metadata(version, label), timeout, metadata)

    def status(
        self,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
        metadata: CallMetadata = (),
    ) -> list[VersionStatus]:
        """The state of every version that the server knows, newest first.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        return self._run(self._protocol.get_status(version, label), timeout, metadata)

    def wait_until_available(
        self, timeout: float = DEFAULT_TIMEOUT, *, version: int | None = None
    ) -> int:
        """Waits until the model answers.

        Args:
            timeout: seconds to wait in all.
            version: wait for this one; None for any.

        Returns:
            The newest version that is available.

        Raises:
            ServerError: the version failed to load.
            DeadlineError: the time is over; the message says what was seen last.
        """
        wait = Wait(self._address, self._protocol.model, version, timeout)
        while (left := wait.left()) > 0:
            try:
                found = wait.answered(self.status(version=version, timeout=left))
            except errors.ClientError as error:
                wait.refused(error)
            else:
                if found is not None:
                    return found
            time.sleep(min(POLL_SECONDS, max(wait.left(), 0)))
        raise wait.over()

    def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

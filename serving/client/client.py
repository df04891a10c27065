"""Asks a model server, TensorFlow Serving or the embedded one, for text and scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from serving.client import errors, messages, tensors
from serving.client.types import (
    Generation,
    Metadata,
    Score,
    Signature,
    TensorSpec,
    VersionStatus,
)

DEFAULT_TIMEOUT = 60.0
_POLL_SECONDS = 0.1


class Client:
    """A connection to one model behind one address.

    Every call has a deadline. Calls may be made from several threads at once.

        with Client("localhost:8500", model="text") as client:
            print(client.generate(["The Congress"], seed=1)[0].text)
    """

    def __init__(
        self, address: str, *, model: str = "text", timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """Opens a channel; nothing is sent yet.

        Args:
            address: HOST:PORT.
            model: name of the served model.
            timeout: seconds that every call may take, unless it says otherwise.
        """
        self._address = address
        self._model = model
        self._timeout = timeout
        lifted = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=lifted)
        self._predict = self._method("PredictionService/Predict", messages.PredictResponse)
        self._metadata = self._method(
            "PredictionService/GetModelMetadata", messages.GetModelMetadataResponse
        )
        self._status = self._method("ModelService/GetModelStatus", messages.GetModelStatusResponse)

    @property
    def address(self) -> str:
        """HOST:PORT, as given."""
        return self._address

    def _method(self, name: str, response: Any) -> Callable[..., Any]:
        call: Callable[..., Any] = self._channel.unary_unary(
            f"/tensorflow.serving.{name}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return call

    def _call(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:
        try:
            return method(request, timeout=self._timeout if timeout is None else timeout)
        except grpc.RpcError as error:
            raise errors.from_rpc(error, self._address) from None

    def _spec(self, version: int | None, signature: str = "") -> Any:
        spec = messages.ModelSpec(name=self._model, signature_name=signature)
        if version is not None:
            spec.version.value = version
        return spec

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
        timeout: float | None = None,
    ) -> list[Generation]:
        """Continues prompts, all in one request.

        Args:
            prompts: one or several; an empty one starts a text from nothing.
            max_new_tokens: at most so many new tokens; the end of the text may come earlier.
            temperature: 0 takes the likeliest token at every step.
            top_k: sample among so many likeliest tokens; 0 for all.
            top_p: sample among the likeliest tokens that hold this probability, in (0, 1].
            seed: the same seed gives the same text for the same prompt.
            version: of the model; None for the latest.
            timeout: seconds; None for the client's own.

            Sampling parameters are one value for all prompts or one per prompt.

        Returns:
            One continuation per prompt, in order.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        asked = [prompts] if isinstance(prompts, str) else list(prompts)
        if not asked:
            return []
        inputs = {
            "prompt": self._vector("prompt", asked, "string"),
            "max_new_tokens": self._vector("max_new_tokens", max_new_tokens, "int32"),
            "temperature": self._vector("temperature", temperature, "float32"),
            "top_k": self._vector("top_k", top_k, "int32"),
            "top_p": self._vector("top_p", top_p, "float32"),
            "seed": self._vector("seed", seed, "int64"),
        }
        outputs = self._run("generate", inputs, version, timeout)
        rows = self._columns(outputs, ("text", "num_tokens", "logprob"), len(asked))
        return [
            Generation(text.decode("utf-8", "replace"), num_tokens, logprob)
            for text, num_tokens, logprob in rows
        ]

    def score(
        self,
        texts: str | Sequence[str],
        *,
        version: int | None = None,
        timeout: float | None = None,
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
        inputs = {"text": self._vector("text", asked, "string")}
        outputs = self._run("score", inputs, version, timeout)
        rows = self._columns(outputs, ("nll", "num_tokens"), len(asked))
        return [Score(nll, num_tokens) for nll, num_tokens in rows]

    def metadata(self, *, version: int | None = None, timeout: float | None = None) -> Metadata:
        """The signatures of the model.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        request = messages.GetModelMetadataRequest(
            model_spec=self._spec(version), metadata_field=["signature_def"]
        )
        response = self._call(self._metadata, request, timeout)
        packed = response.metadata["signature_def"].value
        signatures = {
            name: Signature(_specs(definition.inputs), _specs(definition.outputs), method)
            for name, definition in messages.SignatureDefMap.FromString(
                packed
            ).signature_def.items()
            for method in [definition.method_name]
        }
        return Metadata(response.model_spec.version.value, signatures)

    def status(
        self, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """The state of every version that the server knows, newest first.

        Raises:
            ClientError: the server refused, failed, or cannot be reached.
        """
        request = messages.GetModelStatusRequest(model_spec=self._spec(version))
        response = self._call(self._status, request, timeout)
        found = [
            VersionStatus(
                entry.version,
                _name(messages.STATE, entry.state),
                _name(messages.ERROR_CODE, entry.status.error_code),
                entry.status.error_message,
            )
            for entry in response.model_version_status
        ]
        return sorted(found, key=lambda entry: entry.version, reverse=True)

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
        deadline = time.monotonic() + timeout
        seen = "no answer yet"
        while (left := deadline - time.monotonic()) > 0:
            try:
                states = self.status(version=version, timeout=left)
            except (errors.UnavailableError, errors.ModelNotFoundError) as error:
                seen = error.message
            except errors.DeadlineError:
                break
            else:
                for entry in states:
                    if entry.state == "AVAILABLE":
                        return entry.version
                seen = ", ".join(f"version {entry.version} is {entry.state}" for entry in states)
                self._raise_if_failed(version, states)
            time.sleep(min(_POLL_SECONDS, max(left, 0)))
        raise errors.DeadlineError(
            f"expected model {self._model} to be available within {timeout:g} s. Received: {seen}",
            grpc.StatusCode.DEADLINE_EXCEEDED,
            self._address,
        )

    def _raise_if_failed(self, version: int | None, states: list[VersionStatus]) -> None:
        """Ends the wait for a version whose load is over and has failed."""
        for entry in states:
            if entry.version == version and entry.state == "END" and entry.error_code != "OK":
                raise errors.ServerError(
                    f"version {version} failed to load: {entry.error_message}",
                    None,
                    self._address,
                )

    def _vector(self, name: str, values: Any, dtype: str) -> Any:
        """One value, or a sequence of them, as a tensor of rank 1."""
        single = isinstance(values, str | bytes) or not isinstance(values, Sequence)
        rows = [values] if single else values
        try:
            return tensors.vector(rows, dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise errors.InvalidRequestError(
                f"expected {name} as {dtype}. Received: {values!r} ({error})",
                grpc.StatusCode.INVALID_ARGUMENT,
                self._address,
            ) from None

    def _run(
        self, signature: str, inputs: dict[str, Any], version: int | None, timeout: float | None
    ) -> Any:
        request = messages.PredictRequest(model_spec=self._spec(version, signature), inputs=inputs)
        return self._call(self._predict, request, timeout).outputs

    def _columns(self, outputs: Any, names: Sequence[str], rows: int) -> list[tuple[Any, ...]]:
        """The named outputs, row by row."""
        columns = []
        for name in names:
            if name not in outputs:
                raise errors.ResponseError(
                    f"expected an output {name}. Received: {', '.join(sorted(outputs))}",
                    address=self._address,
                )
            try:
                column = tensors.flat_values(outputs[name])
            except ValueError as error:
                raise errors.ResponseError(f"{name}: {error}", address=self._address) from None
            if len(column) != rows:
                raise errors.ResponseError(
                    f"expected {rows} rows of {name}. Received: {len(column)}",
                    address=self._address,
                )
            columns.append(column)
        return list(zip(*columns, strict=True))

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


def _name(enum: Any, number: int) -> str:
    value = enum.values_by_number.get(number)
    return value.name if value is not None else str(number)


def _specs(infos: Any) -> dict[str, TensorSpec]:
    specs = {}
    for name, info in infos.items():
        shape = None
        if not info.tensor_shape.unknown_rank:
            sizes = [dim.size for dim in info.tensor_shape.dim]
            shape = tuple(size if size >= 0 else None for size in sizes)
        specs[name] = TensorSpec(_name(messages.DATA_TYPE, info.dtype), shape)
    return specs

"""What is asked and how answers are read; the same for the blocking and the async client."""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError

from serving.client import errors, messages, tensors
from serving.client.types import (
    Chunk,
    Generation,
    Metadata,
    Prediction,
    Score,
    Signature,
    TensorSpec,
    VersionStatus,
)

Answer = TypeVar("Answer")

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
RESPONSES = {
    PREDICT: messages.PredictResponse,
    GET_METADATA: messages.GetModelMetadataResponse,
    GET_STATUS: messages.GetModelStatusResponse,
}
_SAMPLING = {
    "max_new_tokens": "int32",
    "temperature": "float32",
    "top_k": "int32",
    "top_p": "float32",
    "seed": "int64",
}


@dataclasses.dataclass(frozen=True)
class Call(Generic[Answer]):
    """One call: its full method name, its request, and what makes an answer of the response."""

    method: str
    request: Any
    read: Callable[[Any], Answer]


class Protocol:
    """Builds the calls of one model."""

    def __init__(self, address: str, model: str) -> None:
        self.address = address
        self.model = model

    def _spec(self, version: int | None, label: str | None, signature: str = "") -> Any:
        if version is not None and label is not None:
            raise self._invalid("expected a version or a label. Received: both")
        spec = messages.ModelSpec(name=self.model, signature_name=signature)
        if version is not None:
            spec.version.value = version
        if label is not None:
            spec.version_label = label
        return spec

    def _invalid(self, message: str) -> errors.InvalidRequestError:
        return errors.InvalidRequestError(message, grpc.StatusCode.INVALID_ARGUMENT, self.address)

    def vector(self, name: str, values: Any, dtype: str) -> Any:
        """One value, or a sequence of them, as a tensor of rank 1."""
        single = isinstance(values, str | bytes) or not isinstance(values, Sequence)
        rows = [values] if single else values
        try:
            return tensors.vector(rows, dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise self._invalid(
                f"expected {name} as {dtype}. Received: {values!r:.200} ({error})"
            ) from None

    def _predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        version: int | None,
        label: str | None,
        read: Callable[[Any], Answer],
    ) -> Call[Answer]:
        spec = self._spec(version, label, signature)
        return Call(PREDICT, messages.PredictRequest(model_spec=spec, inputs=inputs), read)

    def sampling(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that say how to sample."""
        return {
            name: self.vector(name, arguments[name], dtype) for name, dtype in _SAMPLING.items()
        }

    def generate(
        self,
        prompts: Sequence[str],
        arguments: Mapping[str, Any],
        version: int | None,
        label: str | None,
    ) -> Call[list[Generation]]:
        """Continues prompts."""

        def read(response: Any) -> list[Generation]:
            answered = response.model_spec.version.value
            rows = self._rows(response, ("text", "num_tokens", "logprob"), len(prompts))
            return [
                Generation(text.decode("utf-8", "replace"), num_tokens, logprob, answered)
                for text, num_tokens, logprob in rows
            ]

        inputs = {"prompt": self.vector("prompt", prompts, "string"), **self.sampling(arguments)}
        return self._predict("generate", inputs, version, label, read)

    def score(
        self, texts: Sequence[str], version: int | None, label: str | None
    ) -> Call[list[Score]]:
        """Rates texts."""

        def read(response: Any) -> list[Score]:
            answered = response.model_spec.version.value
            rows = self._rows(response, ("nll", "num_tokens"), len(texts))
            return [Score(nll, num_tokens, answered) for nll, num_tokens in rows]

        inputs = {"text": self.vector("text", texts, "string")}
        return self._predict("score", inputs, version, label, read)

    def predict(
        self,
        name: str,
        inputs: Mapping[str, Any],
        metadata: Metadata,
        version: int | None,
        label: str | None,
    ) -> Call[Prediction]:
        """Runs any signature; values take the types that its metadata declares."""
        signature = metadata.signatures.get(name)
        if signature is None:
            # TensorFlow's own, such as __saved_model_init_op, are nothing to call.
            own = (key for key in metadata.signatures if not key.startswith("__"))
            known = ", ".join(sorted(own))
            raise self._invalid(f"expected a signature of: {known}. Received: {name}")
        protos = {}
        for key, values in inputs.items():
            if key not in signature.inputs:
                known = ", ".join(sorted(signature.inputs))
                raise self._invalid(f"expected inputs of {name}: {known}. Received: {key}")
            spec = signature.inputs[key]
            # A type that this client has no name for is named by its number.
            known_type = messages.DATA_TYPE.values_by_name.get(spec.dtype)
            dtype = known_type.number if known_type is not None else int(spec.dtype)
            rank = None if spec.shape is None else len(spec.shape)
            try:
                protos[key] = tensors.tensor(values, dtype, rank)
            except (ValueError, TypeError, OverflowError) as error:
                raise self._invalid(
                    f"expected {key} as {spec.dtype}. Received: {values!r:.200} ({error})"
                ) from None

        def read(response: Any) -> Prediction:
            outputs = {}
            for key in sorted(response.outputs):
                try:
                    outputs[key] = tensors.read(response.outputs[key])
                except ValueError as error:
                    raise errors.ResponseError(f"{key}: {error}", address=self.address) from None
            return Prediction(response.model_spec.version.value, outputs)

        return self._predict(name, protos, version, label, read)

    def get_metadata(self, version: int | None, label: str | None) -> Call[Metadata]:
        """Asks for the signatures."""

        def read(response: Any) -> Metadata:
            packed = response.metadata["signature_def"].value
            try:
                definitions = messages.SignatureDefMap.FromString(packed).signature_def
            except DecodeError as error:
                raise errors.ResponseError(f"metadata: {error}", address=self.address) from None
            signatures = {
                name: Signature(_specs(one.inputs), _specs(one.outputs), one.method_name)
                for name, one in definitions.items()
            }
            return Metadata(response.model_spec.version.value, signatures)

        request = messages.GetModelMetadataRequest(
            model_spec=self._spec(version, label), metadata_field=["signature_def"]
        )
        return Call(GET_METADATA, request, read)

    def get_status(self, version: int | None, label: str | None) -> Call[list[VersionStatus]]:
        """Asks for the states of versions."""

        def read(response: Any) -> list[VersionStatus]:
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

        request = messages.GetModelStatusRequest(model_spec=self._spec(version, label))
        return Call(GET_STATUS, request, read)

    def _rows(self, response: Any, names: Sequence[str], rows: int) -> list[tuple[Any, ...]]:
        """The named outputs, row by row; `text` as bytes, all others as numbers."""
        columns = []
        for name in names:
            if name not in response.outputs:
                raise errors.ResponseError(
                    f"expected an output {name}. Received: {', '.join(sorted(response.outputs))}",
                    address=self.address,
                )
            try:
                output = tensors.read(response.outputs[name])
            except ValueError as error:
                raise errors.ResponseError(f"{name}: {error}", address=self.address) from None
            if (output.dtype == "string") != (name == "text"):
                expected = "strings" if name == "text" else "numbers"
                raise errors.ResponseError(
                    f"expected {name} to hold {expected}. Received: {output.dtype}",
                    address=self.address,
                )
            column = output.values
            if len(column) != rows:
                raise errors.ResponseError(
                    f"expected {rows} rows of {name}. Received: {len(column)}",
                    address=self.address,
                )
            columns.append(column)
        return list(zip(*columns, strict=True))


class Stream:
    """A continuation asked for in pieces, each of which names all that came before.

    The server keeps nothing between pieces. After the first, all are asked of the version that
    answered it, so that a text is never the work of two models.
    """

    def __init__(
        self,
        protocol: Protocol,
        prompt: str,
        arguments: Mapping[str, Any],
        sizes: tuple[int, int],
        version: int | None,
        label: str | None,
    ) -> None:
        self._protocol = protocol
        self._inputs = {
            "prompt": protocol.vector("prompt", prompt, "string"),
            **protocol.sampling(arguments),
        }
        self._first, self._later = sizes
        self._version, self._label = version, label
        self._tokens: list[int] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = False
        self.finished = False

    def next(self) -> Call[Chunk]:
        """The call for the next piece; its reading moves the stream on."""
        size = self._later if self._begun else self._first
        inputs = {
            **self._inputs,
            "generated": tensors.tensor([self._tokens], messages.DT_INT32, 2),
            "chunk_tokens": self._protocol.vector("chunk_tokens", size, "int32"),
        }
        return self._protocol._predict(
            "generate_chunk", inputs, self._version, self._label, self._read
        )

    def _read(self, response: Any) -> Chunk:
        names = ("text", "num_tokens", "logprob", "finished")
        [(text, num_tokens, logprob, finished)] = self._protocol._rows(response, names, 1)
        try:
            tokens = tensors.flat_values(response.outputs["tokens"])
        except ValueError as error:
            raise errors.ResponseError(f"tokens: {error}", address=self._protocol.address) from None
        new = [token for token in tokens if token >= 0]
        if len(new) != num_tokens:
            raise errors.ResponseError(
                f"expected {num_tokens} tokens of num_tokens. Received: {len(new)}",
                address=self._protocol.address,
            )
        self._tokens += new
        self._version, self._label = response.model_spec.version.value, None
        # A piece without tokens that is not the last would be asked for without end.
        self.finished = bool(finished) or not new
        self._begun = True
        shown = self._decoder.decode(text, final=self.finished)
        return Chunk(shown, num_tokens, logprob, self.finished, self._version)

    def failed(self, error: errors.ClientError) -> errors.ClientError:
        """What to raise for a call that failed."""
        if self._begun and isinstance(error, errors.ModelNotFoundError):
            return errors.ServerError(
                f"version {self._version} was unloaded before the text was finished; ask again",
                error.code,
                error.address,
            )
        return error


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

"""What the client hands back."""

from __future__ import annotations

import dataclasses

from serving.client.tensors import Tensor


@dataclasses.dataclass(frozen=True)
class Generation:
    """One continuation.

    Attributes:
        text: the continuation, without the prompt.
        num_tokens: new tokens, the end of the text not counted.
        logprob: log-probability of those tokens in nats, under the model's own distribution.
        version: of the model that answered.
    """

    text: str
    num_tokens: int
    logprob: float
    version: int


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A piece of a continuation that is still being written.

    Attributes:
        text: whole characters; one that is cut off comes with the next piece.
        num_tokens: new tokens in this piece.
        logprob: of these tokens, in nats.
        finished: whether this is the last piece.
        version: of the model that answers.
    """

    text: str
    num_tokens: int
    logprob: float
    finished: bool
    version: int


@dataclasses.dataclass(frozen=True)
class Score:
    """Negative log-likelihood of a text in nats, over `num_tokens` tokens with its end.

    Attributes:
        version: of the model that answered.
    """

    nll: float
    num_tokens: int
    version: int


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What any signature answered: its outputs by name, and the version of the model."""

    version: int
    outputs: dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Type, such as 'DT_STRING', and shape of an input or output; None where it is unknown."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """Names, types and shapes that a signature takes and returns."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    method_name: str


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The version that answered, and its signatures by name."""

    version: int
    signatures: dict[str, Signature]


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """A version's state (START, LOADING, AVAILABLE, UNLOADING, END) and its error, if any."""

    version: int
    state: str
    error_code: str
    error_message: str

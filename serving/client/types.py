"""What the client hands back."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Generation:
    """One continuation.

    Attributes:
        text: the continuation, without the prompt.
        num_tokens: new tokens, the end of the text not counted.
        logprob: log-probability of those tokens in nats, under the model's own distribution.
    """

    text: str
    num_tokens: int
    logprob: float


@dataclasses.dataclass(frozen=True)
class Score:
    """Negative log-likelihood of a text in nats, over `num_tokens` tokens with its end."""

    nll: float
    num_tokens: int


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

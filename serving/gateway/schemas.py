"""The bodies of requests and replies: what is checked on the way in, and what /docs shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULTS: dict[str, int | float] = {
    "max_new_tokens": 64,
    "temperature": 0.8,
    "top_k": 50,
    "top_p": 0.95,
}
_INT32 = 2**31 - 1
_INT64 = 2**63 - 1
_LABEL = r"^[A-Za-z0-9_.-]{1,128}$"
ID = r"^[A-Za-z0-9_.:-]{1,64}$"

ModelName = Annotated[str | None, Field(max_length=128, description="the first one, if left out")]
Version = Annotated[int | None, Field(ge=0, le=_INT64, description="of the model")]
Label = Annotated[str | None, Field(pattern=_LABEL, description="of a version, as `stable`")]


class _Request(BaseModel):
    """Unknown fields are mistakes, and types are taken as they are."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Routed(_Request):
    """Names a version or a label at most, not both."""

    model: ModelName = None
    version: Version = None
    label: Label = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.version is not None and self.label is not None:
            raise ValueError("expected a version or a label, not both")
        return self


class GenerateRequest(_Routed):
    """A text to continue."""

    prompt: str
    max_new_tokens: int = Field(int(DEFAULTS["max_new_tokens"]), ge=1, le=_INT32)
    temperature: float = Field(DEFAULTS["temperature"], ge=0, le=100, allow_inf_nan=False)
    top_k: int = Field(int(DEFAULTS["top_k"]), ge=0, le=_INT32, description="0 for all tokens")
    top_p: float = Field(DEFAULTS["top_p"], gt=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(
        None, ge=-_INT64 - 1, le=_INT64, description="random, if left out; the reply tells it"
    )
    stream: bool = Field(False, description="answer with server-sent events")


class ScoreRequest(_Routed):
    """A text to rate."""

    text: str


class ImagesRequest(_Routed):
    """Images to draw. `label` is a version's label, as everywhere; what is drawn is `class`."""

    class_: str = Field(
        "", alias="class", max_length=1024, description="what to draw; empty for anything"
    )
    n: int = Field(1, ge=1, le=_INT32, description="how many; the seeds follow each other")
    seed: int | None = Field(
        None, ge=-_INT64 - 1, le=_INT64, description="random, if left out; the reply tells it"
    )
    parameters: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        {}, description="of the model's family, as /v1/models lists them; others as it defaults"
    )


class RowsRequest(_Routed):
    """Rows of a table to draw."""

    num_rows: int = Field(10, ge=1, le=_INT32)
    conditions: list[Annotated[str, Field(max_length=4096)]] = Field(
        [], max_length=1000, description="as `carrier=AA`: every row has them"
    )
    temperature: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)
    seed: int | None = Field(
        None, ge=-_INT64 - 1, le=_INT64, description="random, if left out; the reply tells it"
    )


class PredictRequest(_Request):
    """Inputs of any signature: a value, or a list of one per row; bytes as `{"b64": "..."}`."""

    inputs: dict[str, Any]
    version: Version = None
    label: Label = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.version is not None and self.label is not None:
            raise ValueError("expected a version or a label, not both")
        return self


class FeedbackRequest(_Request):
    """What a person thinks of an answer."""

    request_id: str = Field(pattern=ID)
    kind: Literal["thumbs", "rating", "comment", "edit", "preference"]
    value: int | None = Field(
        None, description="thumbs: -1 or 1; rating: 1 to 5; preference: 1 this one, -1 the other, 0"
    )
    text: str | None = Field(None, max_length=65_536, description="a comment, or the edited answer")
    other_request_id: str | None = Field(None, pattern=ID, description="of a preference")
    feedback_id: str | None = Field(
        None, pattern=ID, description="made by the client: sent twice, it is stored once"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        allowed = {"thumbs": (-1, 1), "rating": (1, 2, 3, 4, 5), "preference": (-1, 0, 1)}
        if self.kind in allowed:
            if self.value not in allowed[self.kind]:
                some = ", ".join(map(str, allowed[self.kind]))
                raise ValueError(f"expected a value of {some} for {self.kind}")
        elif self.value is not None:
            raise ValueError(f"expected no value for {self.kind}")
        if self.kind in ("comment", "edit") and self.text is None:
            raise ValueError(f"expected a text for {self.kind}")
        if self.kind == "comment" and not (self.text or "").strip():
            raise ValueError("expected a comment that says something")
        if (self.kind == "preference") != (self.other_request_id is not None):
            raise ValueError("expected other_request_id for preference, and for nothing else")
        if self.other_request_id == self.request_id:
            raise ValueError("expected another request as other_request_id")
        return self


class KeyRequest(_Request):
    """A key to make."""

    name: str = Field(min_length=1, max_length=128)
    days: float | None = Field(None, gt=0, le=36_500, description="until it expires")
    requests_per_minute: int | None = Field(None, ge=1, le=_INT32)
    tokens_per_day: int | None = Field(None, ge=1, le=_INT64)
    admin: bool = False


class VerdictRequest(_Request):
    """What a reviewer decides about a model that waits."""

    verdict: Literal["approved", "rejected"]
    comment: str = Field("", max_length=10_000, description="why; part of the signed record")


class VerdictReply(BaseModel):
    """The verdict that stands; the model is published or removed a moment later."""

    verdict: str
    reviewer: str
    created: str
    new: bool = Field(description="false where it had been given before")


class Answer(BaseModel):
    """What every answer of a model tells."""

    request_id: str
    model: str
    version: int | None = Field(description="the version that answered")
    label: str | None
    arm: Literal["stable", "canary", ""] = Field(description="of a rollout")


class GenerateReply(Answer):
    """A continuation."""

    text: str
    num_tokens: int
    logprob: float
    seed: int
    finish_reason: Literal["length", "stop"]
    latency_ms: float


class ScoreReply(Answer):
    """How likely a text is."""

    nll: float = Field(description="negative log-likelihood in nats")
    num_tokens: int
    bits_per_byte: float | None
    latency_ms: float


class Image(BaseModel):
    """One image."""

    b64: str = Field(description="the file, base64")
    media_type: str
    drawn: str = Field(alias="class")
    seed: int


class ImagesReply(Answer):
    """Images in the order of their seeds."""

    images: list[Image]
    seed: int
    latency_ms: float


class RowsReply(Answer):
    """Rows; what is missing is null."""

    columns: list[str]
    rows: list[dict[str, Any]]
    seed: int
    latency_ms: float


class PredictReply(Answer):
    """Outputs by name; strings that are not UTF-8 as `{"b64": "..."}`."""

    outputs: dict[str, Any]
    latency_ms: float


class FeedbackReply(BaseModel):
    """The feedback is stored."""

    feedback_id: str
    stored: Literal[True]


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="name of a gRPC status")
    message: str
    request_id: str


class ErrorReply(BaseModel):
    """Every error looks like this."""

    error: ErrorDetail

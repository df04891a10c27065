"""How a rollout is judged, and what it talks to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(gt=0, lt=1)]


class RolloutSettings(BaseModel):
    """Settings; they are stored with the rollout, so that a killed one goes on as it began."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    servers: tuple[str, ...] = Field((), description="HOST:PORT of every model server.")
    base_path: str = Field(description="The model's folder of versions, as the servers see it.")
    source: str | None = Field(None, description="Folder to publish the candidate from.")
    model_config_file: str | None = Field(
        None, description="A file that the servers poll, written instead of reloading by call."
    )
    steps: tuple[Share, ...] = Field(
        (0.05, 0.25, 0.5), min_length=1, description="Shares of the requests, one after another."
    )
    alpha: Share = Field(0.05, description="Probability of ever judging wrongly by chance.")
    error_tolerance: float = Field(
        0.01, ge=0, lt=1, description="By so much the candidate's error rate may be higher."
    )
    latency_factor: float = Field(
        1.25, ge=1, description="By so much its latency, at the quantile, may be longer."
    )
    latency_quantile: Share = Field(0.9, description="The quantile of latency that is compared.")
    feedback_tolerance: float = Field(
        0.1, ge=0, lt=1, description="By so much its share of bad feedback may be higher."
    )
    min_samples: int = Field(
        100, ge=1, description="Requests of the candidate before a step may end well."
    )
    min_feedback: int = Field(
        20, ge=1, description="Feedback of the candidate before it counts for promotion."
    )
    max_samples: int = Field(
        100_000, ge=1, description="Requests of the candidate in a step, then it is decided."
    )
    max_hours: float = Field(24, gt=0, description="Time of a step, then it is decided.")
    undecided: Literal["rollback", "promote", "hold"] = Field(
        "rollback",
        description="What to do with a candidate that could not be shown to be no worse.",
    )
    spread: Literal["auto", "key", "request"] = Field(
        "auto",
        description="What keeps its version, where callers name no session: an API key, or nothing "
        "but the request; auto takes the request where few keys would leave a share without any.",
    )
    keep_previous: bool = Field(
        True, description="Keep the version before loaded, so that going back takes no time."
    )
    load_seconds: float = Field(300, gt=0, description="Time for a version to load and warm.")
    drain_seconds: float = Field(
        30, ge=0, description="Time for streamed texts to end before their version is unloaded."
    )
    settle_seconds: float = Field(
        3, ge=0, description="Time for gateways to notice a rollout or a change of its share."
    )

    @field_validator("steps")
    @classmethod
    def _ascending(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if list(steps) != sorted(set(steps)):
            raise ValueError("expected shares that grow")
        return steps

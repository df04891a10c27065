"""What a person may choose about monitoring, with defaults and meanings."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.bounded import BoundedRule
from components.gate.metrics import closest, matches


class MonitorRule(BoundedRule):
    """One condition on one figure of a served model."""

    metric: str = Field(
        min_length=1,
        description="Dotted name of the figure, such as drift.prompt.drift_share or "
        "latency.p95_ms.",
    )
    min_samples: int = Field(
        default=1, ge=0, description="Fewer samples than this behind the figure tell nothing."
    )
    confidence: float = Field(
        default=0.95,
        ge=0.5,
        le=0.9999,
        description="Of the two-sided interval that must lie beyond the bound as a whole.",
    )
    severity: Literal["alert", "retrain"] = Field(
        default="alert", description="alert tells people; retrain also trains the model anew."
    )
    required: bool = Field(
        default=True,
        description="Whether a figure that was not measured, or on too few samples, makes the "
        "verdict 'insufficient'; otherwise it is only told.",
    )


# The names of all figures; `*` stands for one or more letters.
METRICS = (
    "requests.count",
    "errors.share",
    *(
        f"{name}.{short}_ms"
        for name in ("latency", "first_token")
        for short in ("p50", "p95", "p99")
    ),
    "tokens.total",
    "tokens.per_request",
    "cost.total",
    "cost.per_request",
    "feedback.share",
    *(f"feedback.{kind}_share" for kind in ("thumbs", "rating", "comment", "edit", "preference")),
    "feedback.positive_share",
    "feedback.preferred_share",
    "feedback.rating_mean",
    "quality.nll_per_byte",
    "quality.baseline_nll_per_byte",
    "quality.nll_per_byte_minus_baseline",
    *(
        f"drift.{comparison}.{name}"
        for comparison in ("prompt", "output", "data")
        for name in ("drift_share", "domain_auc", "score.*")
    ),
)
# What the step that collects needs of the options.
COLLECTED = ("window_hours", "settle_seconds", "reference_requests")
# What the step that judges needs of the options.
JUDGED = ("rules", "sampled_requests", "price_per_cpu_second", "price_per_1000_tokens")
# What the step that has a model trained anew needs.
LIMITS = (
    "cool_down_hours",
    "budget_days",
    "budget_runs",
    "budget_cpu_seconds",
    "retraining_cpu_seconds",
    "lost_after_hours",
    "retrain_set",
)

DEFAULT_RULES = [
    MonitorRule(metric="errors.share", at_most=0.05, min_samples=50),
    MonitorRule(metric="drift.prompt.drift_share", at_most=0.3, min_samples=100),
    MonitorRule(metric="drift.output.drift_share", at_most=0.3, min_samples=100),
    MonitorRule(
        metric="quality.nll_per_byte_minus_baseline",
        at_most=0.1,
        min_samples=20,
        severity="retrain",
        required=False,
    ),
    MonitorRule(metric="feedback.positive_share", at_least=0.5, min_samples=20, required=False),
]


class MonitorOptions(BaseModel):
    """The policy of monitoring: what is looked at, what follows from it, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[MonitorRule] = Field(
        default=DEFAULT_RULES,
        min_length=1,
        description="The policy, as a list of rules with metric, bound and severity.",
    )
    window_hours: float = Field(
        default=24.0,
        gt=0,
        allow_inf_nan=False,
        description="How far back a window reaches at most; it starts where the last one ended.",
    )
    settle_seconds: float = Field(
        default=30.0,
        ge=0,
        allow_inf_nan=False,
        description="A window ends so long before now, because a request is dated by its start and "
        "recorded at its end.",
    )
    reference_requests: int = Field(
        default=1000,
        ge=20,
        description="The first so many requests that a version answered are what later ones are "
        "held against.",
    )
    sampled_requests: int = Field(
        default=5000,
        ge=100,
        description="Requests of a side that are sampled, by id, for drift at most.",
    )
    price_per_cpu_second: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Of a second in which the model answers, in your currency.",
    )
    price_per_1000_tokens: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Of generated tokens."
    )
    repeat_hours: float = Field(
        default=24.0,
        gt=0,
        allow_inf_nan=False,
        description="People are told of a verdict when it changes, and again after so long.",
    )
    cool_down_hours: float = Field(
        default=24.0, ge=0, allow_inf_nan=False, description="Least time between two retrainings."
    )
    budget_days: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="The days over which the budget counts.",
    )
    budget_runs: int = Field(default=10, ge=0, description="Retrainings within those days at most.")
    budget_cpu_seconds: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="CPU seconds of retrainings within those days at most; 0 for no limit.",
    )
    retraining_cpu_seconds: float = Field(
        default=600.0,
        ge=0,
        allow_inf_nan=False,
        description="What one retraining may take, counted as long as its cost is not known.",
    )
    lost_after_hours: float = Field(
        default=24.0,
        gt=0,
        allow_inf_nan=False,
        description="A retraining of which nothing was heard for so long counts as lost.",
    )
    retrain_set: list[str] = Field(
        default=[],
        description="Overrides of a retraining's configuration, as for --set; {data} stands for "
        "the URI of the fresh data.",
    )

    @model_validator(mode="after")
    def _rules_once(self) -> Self:
        for place, rule in enumerate(self.rules, 1):
            if rule in self.rules[: place - 1]:
                raise ValueError(
                    f"expected every rule once. Received: rule {place} on {rule.metric!r} again"
                )
            for name in (rule.metric, rule.bound):
                if isinstance(name, str) and not any(matches(one, name) for one in METRICS):
                    raise ValueError(
                        f"rule {place}: expected a figure of monitoring. Received: {name!r}"
                        f"{closest(name, METRICS)}"
                    )
        return self

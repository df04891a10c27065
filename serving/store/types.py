"""The rows of the store, as values; times are in UTC."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import Any


@dataclasses.dataclass(frozen=True)
class RequestRecord:
    """One request and what became of it.

    Attributes:
        id: made by the gateway.
        key_id: of the API key, or None where none was asked for.
        version: that answered; None where none did.
        label: that the request was sent to.
        arm: of a rollout: `stable`, `canary`, or '' outside of one.
        inputs, outputs: as JSON; what redaction leaves of them.
        status: `ok` or `error`.
        code: name of the gRPC code where it failed, else ''.
        latency_ms: until the last byte.
        first_token_ms: until the first token of a stream.
        client_request_id: the caller's own name for it.
    """

    id: str
    created: datetime
    key_id: str | None
    model: str
    version: int | None
    label: str | None
    arm: str
    signature: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] | None
    status: str
    code: str
    message: str
    num_tokens: int
    latency_ms: float
    first_token_ms: float | None
    client_request_id: str | None
    streamed: bool


@dataclasses.dataclass(frozen=True)
class Feedback:
    """What a person said about an answer.

    Attributes:
        id: made by the client; the same id is stored once.
        kind: `thumbs`, `rating`, `comment`, `edit` or `preference`.
        value: thumbs: -1 or 1; rating: 1 to 5; preference: 1 where this answer is better than the
            other, 0 for a tie, -1 where the other is.
        text: a comment, or the answer as it should have been.
        other_request_id: of a preference.
        sample: which of the request's samples.
    """

    id: str
    request_id: str
    created: datetime
    kind: str
    value: int | None = None
    text: str | None = None
    other_request_id: str | None = None
    sample: int = 0
    key_id: str | None = None


@dataclasses.dataclass(frozen=True)
class Key:
    """An API key; its secret is not kept.

    Attributes:
        prefix: the first letters of the secret, to tell keys apart.
        requests_per_minute, tokens_per_day: None for no limit.
        admin: whether it may manage keys.
    """

    id: str
    name: str
    prefix: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    requests_per_minute: int | None
    tokens_per_day: int | None
    admin: bool

    def problem(self, now: datetime) -> str | None:
        """Why the key must not be accepted, or None."""
        if self.revoked is not None:
            return f"the key was revoked on {self.revoked:%Y-%m-%d}"
        if self.expires is not None and now >= self.expires:
            return f"the key expired on {self.expires:%Y-%m-%d}"
        return None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a comparison of two versions needs of a request."""

    id: str
    created: datetime
    arm: str
    status: str
    code: str
    latency_ms: float
    num_tokens: int


@dataclasses.dataclass(frozen=True)
class Rollout:
    """A candidate on its way; one at most is active for a model.

    Attributes:
        share: of the requests that go to the candidate, 0 to 1.
        state: a name that rollouts give; those in `FINAL_STATES` are over.
        settings: how it is judged.
        details: what is known of it so far.
    """

    id: str
    model: str
    stable_version: int | None
    candidate_version: int
    share: float
    state: str
    created: datetime
    updated: datetime
    settings: dict[str, Any]
    details: dict[str, Any]


FINAL_STATES = ("promoted", "rolled_back", "cancelled")


@dataclasses.dataclass(frozen=True)
class RolloutEvent:
    """One entry of a rollout's history, which only grows."""

    id: int
    rollout_id: str
    created: datetime
    event: str
    details: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Approval:
    """What a person decided about the candidate of a run.

    Attributes:
        id: also the nonce of the signed record.
        verdict: `approved` or `rejected`.
        envelope: the signed record itself, as JSON.
    """

    id: str
    model: str
    run: str
    verdict: str
    reviewer: str
    comment: str
    created: datetime
    expires: datetime
    envelope: str

    def stands(self, now: datetime) -> bool:
        """Whether it still counts; a rejection does not expire."""
        return self.verdict == "rejected" or now < self.expires


@dataclasses.dataclass(frozen=True)
class AuditEntry:
    """One entry of the audit log.

    Attributes:
        id: 1, 2, 3 and so on, without a gap.
        content: JSON with `time` (ISO 8601, UTC), `event`, `actor`, `subject` and `details`.
        previous: the digest of the entry before; zeros for the first.
        digest: SHA-256 over id, previous and content.
    """

    id: int
    content: str
    previous: str
    digest: str

    def read(self) -> dict[str, Any]:
        """The content; empty where somebody has put something else there."""
        try:
            content = json.loads(self.content)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of the pipeline.

    Attributes:
        model, run: together its name; the run's folder of records has the latter.
        outcome: pushed, pending, rejected, finished or failed.
        reason: of the gate, or of the failure.
        seconds: wall time; None where unknown.
        source, source_digest: the data.
        code_digest, code_revision: the code; the revision is git's.
        config_digest, config: every option.
        figures: name -> value, of the evaluation and the drift report.
        champion_version: which it was compared with, or None.
        records: where its reports lie.
    """

    model: str
    run: str
    finished: datetime
    outcome: str
    reason: str
    seconds: float | None
    source: str
    source_digest: str
    code_digest: str
    code_revision: str
    config_digest: str
    config: dict[str, Any]
    figures: dict[str, float | None]
    champion_version: int | None
    records: str


@dataclasses.dataclass(frozen=True)
class Version:
    """A published version, the run that made it, and where it was put."""

    model: str
    version: int
    run: str
    model_digest: str
    path: str


@dataclasses.dataclass(frozen=True)
class Monitoring:
    """What a monitoring run found of a served model.

    Attributes:
        id: grows as they are written.
        window_from, window_to: the requests that it looked at came from the one and before the
            other.
        requests: how many.
        verdict: `ok`, `alert`, `retrain`, or `insufficient` where too little is known to say.
        reason: one line.
        figures: name -> value, such as `drift.prompt.drift_share`; None where it is not a number.
        report: where its page lies.
    """

    id: int
    model: str
    created: datetime
    window_from: datetime
    window_to: datetime
    requests: int
    verdict: str
    reason: str
    figures: dict[str, float | None]
    report: str


@dataclasses.dataclass(frozen=True)
class Retraining:
    """A training run that monitoring asked for, or why it was not started.

    Attributes:
        id: grows as they are written.
        monitoring_id: what asked for it; None where a person did.
        state: `started`, `succeeded`, `failed` or `refused`.
        run: name of the training run; empty as long as it has none.
        details: `cpu_seconds` that it took once it has ended, `expected_cpu_seconds` until then,
            `refusal` where it was refused, and the `clock` by which its age is told.
    """

    id: int
    model: str
    created: datetime
    monitoring_id: int | None
    reason: str
    state: str
    run: str
    details: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class RetrainingLimits:
    """How often a model may be trained anew, and for how much.

    Attributes:
        cool_down: the least time between two starts.
        period: over which the budget counts.
        runs: how many may be started in a period; None for any number.
        cpu_seconds: what they may take in a period, together; None for any amount.
        lost_after: a run of which nothing was heard for so long counts as failed.
    """

    cool_down: timedelta
    period: timedelta = timedelta(days=30)
    runs: int | None = None
    cpu_seconds: float | None = None
    lost_after: timedelta = timedelta(days=1)


# Gateways look several times within it; what nobody has seen for longer may not be so any more.
SEEN_RECENTLY = timedelta(minutes=3)


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A period in which a server served a version under the same labels.

    Attributes:
        server: HOST:PORT, as the gateway or the rollout calls it that saw it.
        labels: sorted; such as `stable`.
        since, seen: when it was first and last seen so.
        ended: when it was first seen otherwise; None while it was not.
    """

    server: str
    model: str
    version: int
    labels: list[str]
    since: datetime
    seen: datetime
    ended: datetime | None

    def fresh(self, now: datetime) -> bool:
        """Whether it was seen so recently that it may be called what is served now."""
        return self.ended is None and now - self.seen < SEEN_RECENTLY

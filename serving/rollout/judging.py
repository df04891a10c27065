"""Is the candidate worse than the version it shall replace? What the requests say so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from serving.rollout.sequential import quantile_bounds, rate_bounds
from serving.rollout.settings import RolloutSettings
from serving.store.types import Feedback, Outcome

Verdict = Literal["worse", "no worse", "open"]
_CALLERS_OWN = ("CANCELLED",)
_BAD_RATING, _GOOD_RATING = 2, 4


@dataclasses.dataclass
class Arm:
    """What one version did.

    Attributes:
        requests: that ended, those that the caller cancelled left out.
        errors: that failed.
        latencies: of those that did not, in milliseconds, ascending.
        judged: answers that people called good or bad.
        bad: answers that they called bad: thumbs down, or a rating of 1 or 2.
    """

    requests: int = 0
    errors: int = 0
    latencies: list[float] = dataclasses.field(default_factory=list)
    judged: int = 0
    bad: int = 0

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], feedback: Iterable[Feedback]) -> Arm:
        """Sums up what the store holds of a version."""
        arm = cls()
        for outcome in outcomes:
            arm.add(outcome)
        arm.latencies.sort()
        # One answer counts once: the last word on it does.
        qualities = {one.request_id: quality(one) for one in feedback if _judges(one)}
        arm.judge(qualities.values())
        return arm

    def add(self, outcome: Outcome) -> None:
        """Counts one request; `latencies` must be sorted again after the last one."""
        if outcome.code in _CALLERS_OWN:
            return
        self.requests += 1
        if outcome.status == "ok":
            self.latencies.append(outcome.latency_ms)
        else:
            self.errors += 1

    def judge(self, qualities: Iterable[bool | None]) -> None:
        """Takes over what people said of answers, one word on each: good, bad, or neither."""
        known = [one for one in qualities if one is not None]
        self.judged, self.bad = len(known), known.count(False)

    def quantile(self, share: float) -> float | None:
        """The latency that a share of the requests stayed below, in milliseconds."""
        if not self.latencies:
            return None
        return self.latencies[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


def _judges(feedback: Feedback) -> bool:
    return feedback.kind in ("thumbs", "rating")


def quality(feedback: Feedback) -> bool | None:
    """Whether feedback calls an answer good or bad; None for neither."""
    if feedback.value is None:
        return None
    if feedback.kind == "thumbs":
        return feedback.value > 0
    if feedback.kind == "rating" and not _BAD_RATING < feedback.value < _GOOD_RATING:
        return feedback.value >= _GOOD_RATING
    return None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One measure of both arms.

    Attributes:
        measure: `errors`, `latency` or `feedback`.
        stable, candidate: what was seen; None where nothing was.
        low, high: bounds of the candidate's difference, or of its ratio for latency, that hold
            at all times.
        tolerated: difference or ratio that is accepted.
        samples: of the candidate.
        verdict: `worse` if it is more than tolerated for certain, `no worse` if it is not.
    """

    measure: str
    stable: float | None
    candidate: float | None
    low: float
    high: float
    tolerated: float
    samples: int
    verdict: Verdict


def compare(stable: Arm, candidate: Arm, settings: RolloutSettings) -> list[Comparison]:
    """Compares two arms by every measure.

    A wrong verdict, in any of the measures, at any time, in any of the steps, has a probability
    of at most `settings.alpha` (Bonferroni over measures, steps and arms).
    """
    alpha = settings.alpha / (3 * len(settings.steps) * 2)
    return [
        _rates(
            "errors",
            (stable.errors, stable.requests),
            (candidate.errors, candidate.requests),
            settings.error_tolerance,
            alpha,
        ),
        _latencies(stable, candidate, settings, alpha),
        _rates(
            "feedback",
            (stable.bad, stable.judged),
            (candidate.bad, candidate.judged),
            settings.feedback_tolerance,
            alpha,
        ),
    ]


def _rates(
    measure: str,
    stable: tuple[int, int],
    candidate: tuple[int, int],
    tolerated: float,
    alpha: float,
) -> Comparison:
    stable_low, stable_high = rate_bounds(*stable, alpha)
    low, high = rate_bounds(*candidate, alpha)
    return Comparison(
        measure,
        stable[0] / stable[1] if stable[1] else None,
        candidate[0] / candidate[1] if candidate[1] else None,
        low - stable_high,
        high - stable_low,
        tolerated,
        candidate[1],
        _verdict(low - stable_high, high - stable_low, tolerated),
    )


def _latencies(stable: Arm, candidate: Arm, settings: RolloutSettings, alpha: float) -> Comparison:
    quantile = settings.latency_quantile
    stable_low, stable_high = quantile_bounds(stable.latencies, quantile, alpha)
    low, high = quantile_bounds(candidate.latencies, quantile, alpha)
    ratio_low = low / stable_high if stable_high else 0.0
    ratio_high = high / stable_low if stable_low else float("inf")
    return Comparison(
        "latency",
        stable.quantile(quantile),
        candidate.quantile(quantile),
        ratio_low,
        ratio_high,
        settings.latency_factor,
        len(candidate.latencies),
        _verdict(ratio_low, ratio_high, settings.latency_factor),
    )


def _verdict(low: float, high: float, tolerated: float) -> Verdict:
    if low > tolerated:
        return "worse"
    return "no worse" if high <= tolerated else "open"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What to do now, and why in one line."""

    action: Literal["wait", "advance", "promote", "rollback", "hold"]
    reason: str


def judge(
    comparisons: Iterable[Comparison],
    candidate: Arm,
    hours: float,
    last_step: bool,
    settings: RolloutSettings,
) -> Judgement:
    """Decides about the step under way.

    Any measure that is worse ends the rollout. A step before the last ends well after
    `min_samples`, with nothing found worse: it is there to keep a bad candidate's harm small. The
    last step ends well when errors and latency are shown to be no worse, and feedback, too, where
    there is enough of it.
    """
    found = {one.measure: one for one in comparisons}
    for one in found.values():
        if one.verdict == "worse":
            return Judgement("rollback", f"{one.measure} of the candidate: {described(one)}")
    enough = candidate.requests >= settings.min_samples
    if not last_step and enough:
        return Judgement("advance", f"nothing is worse after {candidate.requests} requests")
    needed = ["errors", "latency"]
    if candidate.judged >= settings.min_feedback:
        needed.append("feedback")
    waiting = [name for name in needed if found[name].verdict != "no worse"]
    if last_step and enough and not waiting:
        return Judgement("promote", f"{', '.join(needed)} are no worse, beyond chance")
    if hours < settings.max_hours and candidate.requests < settings.max_samples:
        missing = f"at least {settings.min_samples} requests" if not enough else ", ".join(waiting)
        return Judgement("wait", f"waiting for {missing}")
    spent = f"{candidate.requests} requests in {hours:.1f} h did not show that it is no worse"
    choice = settings.undecided
    # Nobody is promoted without the last step.
    early = choice == "promote" and not last_step
    return Judgement("advance" if early else choice, f"{spent}; undecided means {choice}")


def described(one: Comparison) -> str:
    """A comparison in words."""
    if one.measure == "latency":
        bounds = f"ratio {one.low:.2f} to {one.high:.2f}, tolerated {one.tolerated:.2f}"
        return f"{_ms(one.candidate)} against {_ms(one.stable)}, {bounds}"
    bounds = f"difference {one.low:+.1%} to {one.high:+.1%}, tolerated {one.tolerated:+.1%}"
    return f"{_share(one.candidate)} against {_share(one.stable)}, {bounds}"


def _ms(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.1f} ms"


def _share(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.2%}"

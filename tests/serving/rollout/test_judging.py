"""A candidate that is worse is sent back, one that is not is let through, seldom wrongly."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from serving.rollout.judging import Arm, compare, judge
from serving.rollout.settings import RolloutSettings
from serving.store import Feedback, Outcome

SETTINGS = RolloutSettings(base_path="/models/text", steps=(0.5,), alpha=0.1, min_samples=50)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def traffic(
    seed: int, requests: int, error_rate: float, latency: float, bad_rate: float = 0.0
) -> tuple[list[Outcome], list[Feedback]]:
    luck = random.Random(seed)
    outcomes, feedback = [], []
    for index in range(requests):
        failed = luck.random() < error_rate
        status, code = ("error", "INTERNAL") if failed else ("ok", "")
        outcomes.append(
            Outcome(f"{index}", NOW, "", status, code, latency * luck.lognormvariate(0, 0.3), 10)
        )
        if bad_rate and index % 2:
            value = -1 if luck.random() < bad_rate else 1
            feedback.append(Feedback(f"f{index}", f"{index}", NOW, "thumbs", value))
    return outcomes, feedback


def action(stable: Arm, candidate: Arm, hours: float = 1, last: bool = True) -> str:
    comparisons = compare(stable, candidate, SETTINGS)
    return judge(comparisons, candidate, hours, last, SETTINGS).action


def outcome_of(seed: int, **candidate: float) -> str:
    """Looks after every 100 requests until there is a decision."""
    good = {"error_rate": 0.005, "latency": 100.0}
    stable = traffic(seed, 6000, **good)
    other = traffic(seed + 1_000_000, 6000, **{**good, **candidate})
    for count in range(100, 6001, 100):
        arms = [Arm.of(rows[:count], said[:count]) for rows, said in (stable, other)]
        found = action(*arms)
        if found != "wait":
            return found
    return "wait"


def test_an_equal_candidate_is_promoted_and_hardly_ever_sent_back() -> None:
    found = [outcome_of(seed) for seed in range(20)]
    assert found.count("rollback") <= 20 * SETTINGS.alpha
    assert found.count("promote") >= 15


@pytest.mark.parametrize("worse", [{"error_rate": 0.08}, {"latency": 170.0}])
def test_a_worse_candidate_is_sent_back_and_hardly_ever_promoted(worse: dict[str, float]) -> None:
    found = [outcome_of(seed, **worse) for seed in range(15)]
    assert found.count("rollback") >= 13
    assert "promote" not in found


def test_bad_feedback_sends_a_candidate_back() -> None:
    stable = Arm.of(*traffic(1, 2000, 0, 100, bad_rate=0.1))
    candidate = Arm.of(*traffic(2, 2000, 0, 100, bad_rate=0.5))
    comparisons = compare(stable, candidate, SETTINGS)
    found = judge(comparisons, candidate, 1, True, SETTINGS)
    assert found.action == "rollback"
    assert "feedback" in found.reason
    assert "\n" not in found.reason


def test_what_callers_cancelled_counts_for_nothing() -> None:
    outcomes, _ = traffic(1, 10, 0, 100)
    cancelled = Outcome("c", NOW, "", "error", "CANCELLED", 1.0, 0)
    assert Arm.of([*outcomes, cancelled], []) == Arm.of(outcomes, [])


@pytest.mark.parametrize(
    ("kind", "value", "judged", "bad"),
    [
        ("thumbs", 1, 1, 0),
        ("thumbs", -1, 1, 1),
        ("rating", 1, 1, 1),
        ("rating", 2, 1, 1),
        ("rating", 3, 0, 0),
        ("rating", 4, 1, 0),
        ("comment", None, 0, 0),
        ("preference", -1, 0, 0),
    ],
)
def test_which_feedback_is_good_or_bad(kind: str, value: int | None, judged: int, bad: int) -> None:
    arm = Arm.of([], [Feedback("f", "r", NOW, kind, value)])
    assert (arm.judged, arm.bad) == (judged, bad)


def test_an_early_step_ends_after_enough_requests_and_the_last_waits_for_proof() -> None:
    few = Arm.of(*traffic(1, 49, 0, 100))
    enough = Arm.of(*traffic(1, 50, 0, 100))
    stable = Arm.of(*traffic(2, 500, 0, 100))
    assert action(stable, few, last=False) == "wait"
    assert action(stable, enough, last=False) == "advance"
    assert action(stable, enough, last=True) == "wait"


@pytest.mark.parametrize("choice", ["rollback", "promote", "hold"])
def test_the_undecided_end_as_the_settings_say(choice: str) -> None:
    settings = SETTINGS.model_copy(update={"undecided": choice, "max_hours": 2})
    arms = [Arm.of(*traffic(seed, 60, 0, 100)) for seed in (1, 2)]
    comparisons = compare(*arms, settings)
    assert judge(comparisons, arms[1], 1.9, True, settings).action == "wait"
    found = judge(comparisons, arms[1], 2, True, settings)
    assert found.action == choice
    assert choice in found.reason


def test_nothing_seen_is_nothing_proved() -> None:
    assert action(Arm(), Arm()) == "wait"
    assert action(Arm.of(*traffic(1, 500, 0, 100)), Arm()) == "wait"

"""A policy is checked before anything runs."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pydantic
import pytest

from components.artifacts import Figure
from components.gate.champion import Champion
from components.gate.metrics import METRICS, known
from components.gate.options import GateOptions, Rule
from components.gate.rules import judge


def _policy(*rules: dict[str, Any]) -> GateOptions:
    return GateOptions.model_validate({"rules": list(rules)})


BITS = {"metric": "evaluation.bits_per_byte"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([{**BITS, "at_most": 2}, {**BITS, "at_most": 2.0}], "rule 2 .* repeats rule 1"),
        ([{**BITS, "at_most": 1}, {**BITS, "at_least": 2}], "rules 1 and 2 .* no value passes"),
        (
            [{**BITS, "at_least": 2, "tolerance": 0.4}, {**BITS, "at_most": 1, "tolerance": 0.5}],
            "which no value passes",
        ),
        ([{**BITS, "at_most": 1, "at_least": 0}], "exactly one of at_most, at_least"),
        ([{**BITS, "at_most": "nan"}], "a finite number"),
        ([{**BITS, "at_most": float("inf")}], "a finite number"),
        ([{**BITS, "at_least": BITS["metric"]}], "another bound of .* than itself"),
        ([{**BITS, "at_most": "1e-3"}, {**BITS, "at_least": 0.5}], "rules 1 and 2"),
        (
            [
                {**BITS, "at_most": "evaluation.yardsticks.xz"},
                {"metric": "evaluation.yardsticks.xz", "at_most": 1},
                {**BITS, "at_most": 5},
                {**BITS, "at_least": 1.2},
            ],
            "rules 1, 2 and 4 on 'evaluation.bits_per_byte' and 'evaluation.yardsticks.xz', which "
            "no values pass",
        ),
        ([{**BITS, "at_most": 1, "confidence": 95}], "less than or equal to 0.9999"),
        ([{**BITS, "at_most": 1, "confidence": 0.2}], "greater than or equal to 0.5"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(rules: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        _policy(*rules)


@pytest.mark.parametrize(
    "rules",
    [
        [{**BITS, "at_most": 2}, {**BITS, "at_least": 1}],
        [{**BITS, "at_most": 1}, {**BITS, "at_least": 2, "severity": "warn"}],
        [{**BITS, "at_most": 1, "tolerance": 1}, {**BITS, "at_least": 2}],
        [{**BITS, "at_most": "champion"}, {**BITS, "at_least": 2}],
        [{**BITS, "at_most": 2}, {**BITS, "at_most": 2, "severity": "warn"}],
        # A value of 2 whose interval reaches down to 1 meets both.
        [{**BITS, "at_most": 1, "end": "best"}, {**BITS, "at_least": 2, "end": "value"}],
        [{**BITS, "at_most": 0.3}, {**BITS, "at_least": 0.3}],
        [
            {**BITS, "at_most": "evaluation.yardsticks.xz"},
            {"metric": "evaluation.yardsticks.xz", "at_most": BITS["metric"]},
        ],
    ],
)
def test_rules_that_can_hold_together_are_taken(rules: list[dict[str, Any]]) -> None:
    assert len(_policy(*rules).rules) == len(rules)


def test_unknown_figures_are_named_with_what_was_meant() -> None:
    policy = _policy(
        {"metric": "evaluation.bits_per_bite", "at_most": 2},
        {**BITS, "at_most": "evaluation.yardsticks.zip"},
        {"metric": "drift.data.drift_share", "at_most": "champion"},
        {"metric": "drift.data.score.words", "at_most": 1},
    )
    first, second, third = policy.unknown("text")
    assert first.startswith("rule 1: expected a figure that text has.")
    assert first.endswith("(the closest name is evaluation.bits_per_byte)")
    assert "'evaluation.yardsticks.zip'" in second
    assert third.startswith("rule 3: expected a figure of the evaluation")
    assert len(policy.unknown("table")) == 4


@pytest.mark.parametrize(
    ("name", "modality", "expected"),
    [
        ("evaluation.conditional_accuracy.Bag", "image", True),
        ("evaluation.conditional_accuracy.", "image", False),
        ("evaluation.conditional_accuracy.Bag", "text", False),
        ("evaluation.serving.tensorflow_2_20", "table", True),
        ("evaluation.latency_ms", "table", True),
        ("latency_ms", "table", False),
        ("evaluation.guards.pii.share", "table", True),
        ("evaluation.guards.pii.share", "image", False),
        ("lineage.diversity_trend", "image", True),
        ("validation.generated_share", "image", True),
    ],
)
def test_patterns_stand_for_names(name: str, modality: str, expected: bool) -> None:
    assert known(name, modality) is expected


def test_no_name_is_listed_twice() -> None:
    for names in METRICS.values():
        assert not [
            name for name, group in itertools.groupby(sorted(names)) if len(list(group)) > 1
        ]


@pytest.mark.parametrize(
    ("end", "bound", "passes"),
    [
        ("worst", 2.1, True),
        ("worst", 2.0, False),
        ("value", 2.0, True),
        ("value", 1.9, False),
        ("best", 1.9, True),
        ("best", 1.8, False),
    ],
)
def test_a_rule_names_the_end_of_the_interval(end: str, bound: float, passes: bool) -> None:
    figures = {BITS["metric"]: Figure(2.0, 1.9, 2.1, 50)}
    upper = judge(Rule.model_validate({**BITS, "at_most": bound, "end": end}), figures, None)
    assert (upper.verdict == "pass") is passes
    mirrored = {BITS["metric"]: Figure(-2.0, -2.1, -1.9, 50)}
    lower = judge(Rule.model_validate({**BITS, "at_least": -bound, "end": end}), mirrored, None)
    assert (lower.verdict == "pass") is passes


def test_what_cannot_be_measured_so_soon_passes_and_says_why() -> None:
    rule = Rule.model_validate({"metric": "lineage.diversity_trend", "at_least": 0, "end": "best"})
    soon = judge(rule, {}, None, {"lineage.diversity_trend": "2 of the 4 generations"})
    assert (soon.verdict, soon.reason) == ("pass", "2 of the 4 generations")
    assert judge(rule, {}, None, {}).verdict == "fail"


def test_an_endless_interval_fails_at_any_confidence() -> None:
    figures = {"evaluation.copy_share": Figure(0.5, 0.4, math.inf, 50, "share")}
    for confidence in (0.8, 0.95, 0.99):
        rule = {"metric": "evaluation.copy_share", "at_most": 1, "confidence": confidence}
        assert judge(Rule.model_validate(rule), figures, None).verdict == "fail"


def test_a_difference_of_shares_may_reach_below_zero() -> None:
    metric = "evaluation.conditional_accuracy"
    figures = {
        metric: Figure(0.6, 0.5, 0.7, 80, "share"),
        f"{metric}_minus_champion": Figure(0.02, 0.001, 0.039, 80, "share"),
    }
    champion = Champion("version 3", 3, {metric: Figure(0.58)})
    for confidence, verdict in ((0.95, "pass"), (0.99, "fail")):
        rule = {"metric": metric, "at_least": "champion", "confidence": confidence}
        assert judge(Rule.model_validate(rule), figures, champion).verdict == verdict


def test_a_difference_that_is_no_number_fails_at_either_end() -> None:
    figures = {
        BITS["metric"]: Figure(2.0),
        f"{BITS['metric']}_minus_champion": Figure(0.0, -math.inf, math.inf, 20),
    }
    champion = Champion("version 3", 3, {BITS["metric"]: Figure(2.0)})
    for end in ("worst", "best", "value"):
        rule = Rule.model_validate({**BITS, "at_most": "champion", "end": end})
        assert judge(rule, figures, champion).verdict == "fail"

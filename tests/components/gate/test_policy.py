"""A policy means what it says: held against a second implementation, and checked beforehand."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pydantic
import pytest
from scipy.stats import norm

from components.artifacts import Figure
from components.gate.champion import Champion
from components.gate.metrics import METRICS, known
from components.gate.options import GateOptions, Rule
from components.gate.rules import judge


class Reference:
    """The policy's meaning, spelled out once more and without any of the gate's code."""

    def __init__(self, figures: dict[str, Figure], champion: Champion | None) -> None:
        self.figures = figures
        self.champion = champion

    def decides(self, rules: list[dict[str, Any]]) -> tuple[bool, list[str]]:
        verdicts = [self.verdict(rule) for rule in rules]
        return "fail" not in verdicts, verdicts

    def verdict(self, rule: dict[str, Any]) -> str:
        if self.holds(rule):
            return "pass"
        severity = rule.get("severity", "block")
        if rule["metric"] not in self.figures:
            severity = rule.get("if_absent", severity)
        return {"block": "fail", "warn": "warn"}[severity]

    def holds(self, rule: dict[str, Any]) -> bool:
        figure = self.figures.get(rule["metric"])
        if figure is None or figure.samples < rule.get("min_samples", 0):
            return False
        numbers = [figure.value, *(x for x in (figure.low, figure.high) if x is not None)]
        if not all(math.isfinite(number) for number in numbers):
            return False
        upper = "at_most" in rule
        bound = rule["at_most"] if upper else rule["at_least"]
        slack = rule.get("tolerance", 0.0)
        stretch = norm.ppf(0.5 + rule.get("confidence", 0.95) / 2) / norm.ppf(0.975)
        if bound == "champion":
            if self.champion is None:
                return True
            if self.champion.problem or rule["metric"] not in self.champion.figures:
                return False
            other = self.champion.figures[rule["metric"]].value
            paired = self.figures.get(rule["metric"] + "_minus_champion")
            if paired is not None and paired.low is not None and math.isfinite(other):
                return self.within(paired, 0.0, slack, stretch, upper=upper)
            bound = other
        elif isinstance(bound, str):
            if bound not in self.figures:
                return False
            bound = self.figures[bound].value
        return math.isfinite(bound) and self.within(figure, bound, slack, stretch, upper=upper)

    def within(
        self, figure: Figure, bound: float, slack: float, stretch: float, *, upper: bool
    ) -> bool:
        if upper:
            end = figure.value
            if figure.high is not None:
                end += (figure.high - figure.value) * stretch
            return end <= bound + slack
        end = figure.value
        if figure.low is not None:
            end -= (figure.value - figure.low) * stretch
        return end >= bound - slack


def _figures(chance: random.Random, names: str) -> dict[str, Figure]:
    figures = {}
    for name in names:
        if chance.random() < 0.15:
            continue
        value = chance.choice([0.0, 0.5, 1.0, 1.5, 2.0, 2.0, math.nan, math.inf])
        low = high = None
        if chance.random() < 0.6:
            low, high = value - chance.choice([0.1, 0.3]), value + chance.choice([0.1, 0.3])
        samples = chance.randint(0, 60)
        figures[f"evaluation.{name}"] = Figure(value, low, high, samples, "nats")
        if chance.random() < 0.4:
            shift = chance.choice([-0.4, -0.05, 0.0, 0.05, 0.4])
            spread = chance.choice([0.01, 0.2])
            ends = chance.choice([(shift - spread, shift + spread), (None, None)])
            figures[f"evaluation.{name}_minus_champion"] = Figure(shift, *ends, 20, "nats")
    return figures


def _rule(chance: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {"metric": f"evaluation.{chance.choice('abcde')}"}
    bounds = [0.0, 0.5, 1.0, 1.4, 2.2, "evaluation.a", "evaluation.e", "champion", "champion"]
    rule[chance.choice(["at_most", "at_least"])] = chance.choice(bounds)
    for name, values in {
        "tolerance": [0.05, 0.5],
        "min_samples": [1, 30],
        "confidence": [0.5, 0.8, 0.99],
        "severity": ["warn", "block"],
        "if_absent": ["warn", "block"],
    }.items():
        if chance.random() < 0.3:
            rule[name] = chance.choice(values)
    return rule


def test_a_thousand_random_decisions_are_the_references() -> None:
    chance, seen = random.Random(7), set()
    for _ in range(1000):
        figures = _figures(chance, "abcd")
        champion = None
        if chance.random() < 0.7:
            problem = "measured on other texts" if chance.random() < 0.15 else ""
            champion = Champion("version 3", 3, _figures(chance, "abcd"), problem)
        rules = [_rule(chance) for _ in range(chance.randint(1, 5))]
        judged = [judge(Rule.model_validate(rule), figures, champion) for rule in rules]
        verdicts = [judgement.verdict for judgement in judged]
        approved = all(verdict != "fail" for verdict in verdicts)
        assert (approved, verdicts) == Reference(figures, champion).decides(rules), rules
        seen |= {approved, *verdicts}
    assert seen == {True, False, "pass", "fail", "warn"}


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
    ],
)
def test_patterns_stand_for_names(name: str, modality: str, expected: bool) -> None:
    assert known(name, modality) is expected


def test_no_name_is_listed_twice() -> None:
    for names in METRICS.values():
        assert not [
            name for name, group in itertools.groupby(sorted(names)) if len(list(group)) > 1
        ]

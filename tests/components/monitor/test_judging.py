"""A bound is broken where the whole interval lies beyond it; what is not known is said."""

from __future__ import annotations

from typing import Any

import pytest

from components.artifacts import Figure
from components.monitor.judging import decide, judge
from components.monitor.options import MonitorOptions, MonitorRule


def rule(metric: str = "errors.share", **changed: Any) -> MonitorRule:
    bound = {} if "at_least" in changed else {"at_most": 0.3}
    return MonitorRule(metric=metric, **{**bound, **changed})


@pytest.mark.parametrize(
    ("value", "low", "high", "bound", "state"),
    [
        (0.2, 0.1, 0.4, {"at_most": 0.3}, "ok"),
        (0.4, 0.25, 0.6, {"at_most": 0.3}, "unclear"),
        (0.4, 0.35, 0.6, {"at_most": 0.3}, "breach"),
        (0.4, 0.35, 0.6, {"at_most": 0.3, "tolerance": 0.1}, "ok"),
        (0.4, None, None, {"at_most": 0.3}, "breach"),
        (0.4, 0.3, 0.5, {"at_least": 0.6}, "breach"),
        (0.4, 0.3, 0.7, {"at_least": 0.6}, "unclear"),
        (0.7, 0.5, 0.8, {"at_least": 0.6}, "ok"),
        (float("nan"), None, None, {"at_most": 0.3}, "insufficient"),
        (0.4, 0.35, 0.6, {"at_most": 0.3, "min_samples": 101}, "insufficient"),
    ],
)
def test_a_rule_is_held_against_the_near_end_of_the_interval(
    value: float, low: float | None, high: float | None, bound: dict[str, Any], state: str
) -> None:
    figures = {"latency.p95_ms": Figure(value, low, high, 100)}
    assert judge(rule("latency.p95_ms", **bound), figures, {}).state == state


def test_more_confidence_widens_the_interval() -> None:
    figures = {"x": Figure(0.4, 0.31, 0.49, 100)}
    assert judge(rule("x"), figures, {}).state == "breach"
    assert judge(rule("x", confidence=0.999), figures, {}).state == "unclear"


def test_a_bound_may_be_another_figure() -> None:
    figures = {"a": Figure(2.0, samples=5), "b": Figure(1.0, samples=5)}
    assert judge(rule("a", at_most="b"), figures, {}).state == "breach"
    lacking = judge(rule("a", at_most="c"), figures, {})
    assert (lacking.state, lacking.reason) == ("insufficient", "the bound was not measured")


def test_what_was_not_measured_is_told_with_the_cause_or_the_closest_name() -> None:
    figures = {"latency.p95_ms": Figure(1.0)}
    told = judge(rule("drift.prompt.drift_share"), figures, {"drift.prompt.": "too few"})
    assert told.reason == "was not measured: too few"
    assert "latency.p95_ms" in judge(rule("latency.p95"), figures, {}).reason


def test_retraining_goes_before_alerts_and_both_before_what_is_not_known() -> None:
    figures = {"a": Figure(1.0, samples=5), "b": Figure(1.0, samples=5), "c": Figure(0.0)}
    fine = judge(rule("c", min_samples=0), figures, {})
    alert = judge(rule("a"), figures, {})
    retrain = judge(rule("b", severity="retrain"), figures, {})
    unknown = judge(rule("d"), figures, {})
    optional = judge(rule("d", required=False), figures, {})
    assert decide([unknown, alert, retrain]) == ("retrain", "b: 1 is above 0.3; and 1 more")
    assert decide([unknown, alert])[0] == "alert"
    assert decide([unknown, fine])[0] == "insufficient"
    assert decide([fine, optional]) == ("ok", "1 of 2 rules hold; 1 lack samples")


def test_a_policy_that_repeats_itself_or_has_no_bound_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rule 2 on 'errors\.share' again"):
        MonitorOptions(rules=[rule(), rule()])
    with pytest.raises(ValueError, match="exactly one of at_most, at_least"):
        MonitorRule(metric="errors.share")


def test_a_bound_is_a_number_also_where_yaml_reads_a_text_and_never_none_at_all() -> None:
    assert MonitorRule.model_validate({"metric": "x", "at_most": "1e-3"}).bound == 0.001
    for wrong, said in (("nan", "a finite number"), ("x", "another bound of 'x' than itself")):
        with pytest.raises(ValueError, match=said):
            MonitorRule(metric="x", at_most=wrong)

"""The gate approves exactly what the policy allows, and says why."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Figure, Model, saved_model_digest
from components.errors import AlteredModelError, DataError, ModelError
from components.evaluate.intervals import ClusterBootstrap
from components.evaluate.options import EvaluateOptions
from components.gate.gate import run
from components.gate.options import GateOptions
from components.gate.paired import difference

Make = Callable[[], Any]
BITS = "evaluation.bits_per_byte"
GOOD = {"bits_per_byte": Figure(1.9, 1.85, 1.95, 120, "bits/byte", "lower", "bits per byte")}


def _rule(**keys: Any) -> dict[str, Any]:
    return {"metric": BITS, **keys}


@pytest.mark.parametrize(
    ("rule", "figure", "approved", "reason"),
    [
        (_rule(at_most=1.95), Figure(1.9, 1.85, 1.95), True, "1.9 (up to 1.95) is at most 1.95"),
        (_rule(at_most=1.92), Figure(1.9, 1.85, 1.95), False, "1.9 (up to 1.95) is above 1.92"),
        (_rule(at_most=1.9), Figure(1.9), True, "1.9 is at most 1.9"),
        (_rule(at_most=1.8), Figure(1.9), False, "1.9 is above 1.8"),
        (_rule(at_most=1.8, tolerance=0.2), Figure(1.9), True, "tolerance 0.2"),
        (_rule(at_least=1.85), Figure(1.9, 1.85, 1.95), True, "(down to 1.85) is at least 1.85"),
        (_rule(at_least=1.88), Figure(1.9, 1.85, 1.95), False, "(down to 1.85) is below 1.88"),
        (_rule(at_least=2, tolerance=0.2), Figure(1.9), True, "at least 2, tolerance 0.2"),
        (_rule(at_most=9), Figure(math.nan), False, "not a number"),
        (_rule(at_most=9), Figure(1.0, 0.5, math.inf), False, "not a number"),
        (_rule(at_most=9, min_samples=64), Figure(1.0, samples=63), False, "not enough data: 63"),
        (_rule(at_most=9, min_samples=64), Figure(1.0, samples=64), True, "at most 9"),
        (_rule(at_most="evaluation.gone"), Figure(1.0), False, "the bound was not measured"),
    ],
)
def test_a_rule_is_held_against_the_unfavourable_end(
    bench: Make, rule: dict[str, Any], figure: Figure, approved: bool, reason: str
) -> None:
    judge = bench()
    assert judge.judge([rule], {"bits_per_byte": figure}) is approved
    (entry,) = judge.decision["rules"]
    assert entry["verdict"] == ("pass" if approved else "fail")
    assert reason in entry["reason"]


def test_a_figure_can_be_the_bound_of_another(bench: Make) -> None:
    judge = bench()
    rules = [_rule(at_most="evaluation.yardsticks.xz"), _rule(at_most="drift.data.drift_share")]
    figures = {**GOOD, "yardsticks.xz": Figure(2.0)}
    assert not judge.judge(rules, figures, {"data.drift_share": Figure(0.5)})
    verdicts = [(rule["verdict"], rule["bound"]) for rule in judge.decision["rules"]]
    assert verdicts == [("pass", 2.0), ("fail", 0.5)]


def test_a_missing_figure_fails_and_the_likely_name_is_told(bench: Make) -> None:
    judge = bench()
    assert not judge.judge([{"metric": "evaluation.bits_per_bite", "at_most": 9}], GOOD)
    assert "the closest name is evaluation.bits_per_byte" in judge.decision["reason"]


def test_warnings_never_block(bench: Make) -> None:
    judge = bench()
    rules = [_rule(at_most=2), _rule(at_most=1, severity="warn"), _rule(at_least=0)]
    assert judge.judge(rules, GOOD)
    assert [rule["verdict"] for rule in judge.decision["rules"]] == ["pass", "warn", "pass"]
    assert judge.decision["reason"].startswith("approved: 2 of 3 rules pass; warning: evaluation.")


def test_the_decision_records_everything_in_one_place(bench: Make) -> None:
    judge = bench()
    assert not judge.judge([_rule(at_most=1.9, min_samples=10), _rule(at_most=1.8)], GOOD)
    decision = judge.decision
    expected = {
        "metric": BITS, "at_most": 1.9, "at_least": None, "tolerance": 0.0, "min_samples": 10,
        "confidence": 0.95, "end": "worst", "severity": "block", "if_absent": None, "hint": None,
        "value": 1.9, "low": 1.85, "high": 1.95, "samples": 120,
        "bound": 1.9, "verdict": "fail", "reason": "1.9 (up to 1.95) is above 1.9",
    }  # fmt: skip
    assert decision["rules"][0] == expected
    assert decision["approved"] is False
    assert decision["approval"] == "auto"
    assert decision["reason"] == f"rejected: {BITS}: 1.9 (up to 1.95) is above 1.9; and 1 more"
    assert decision["model_digest"] == Model(judge.root / "model").digest()
    assert decision["champion_version"] is None
    assert decision["created"].endswith("+00:00")
    assert len(decision["policy_digest"]) == 64


def test_another_policy_has_another_digest(bench: Make) -> None:
    judge, digests = bench(), set()
    for bound in (2.0, 2.0, 3.0):
        judge.judge([_rule(at_most=bound)], GOOD)
        digests.add(judge.decision["policy_digest"])
    assert len(digests) == 2


SERVING = "evaluation.serving.equal"


@pytest.mark.parametrize(
    ("value", "verdict", "approved"),
    [(None, "warn", True), (1.0, "pass", True), (0.5, "fail", False)],
)
def test_what_was_not_run_under_serving_versions_warns_and_what_differs_blocks(
    bench: Make, value: float | None, verdict: str, approved: bool
) -> None:
    judge = bench()
    measured = {} if value is None else {"serving.equal": Figure(value, samples=90, unit="share")}
    hint = "set evaluate.serving_versions"
    rule = {"metric": SERVING, "at_least": 1, "if_absent": "warn", "hint": hint}
    assert judge.judge([_rule(at_most=2), rule], {**GOOD, **measured}) is approved
    judged = judge.decision["rules"][1]
    assert judged["verdict"] == verdict
    assert judged["severity"] == "block"
    if value is None:
        assert judged["reason"] == "not measured: set evaluate.serving_versions"
        assert hint in judge.html


CHAMPION = [_rule(at_most="champion", tolerance=0.02)]


def test_without_a_champion_there_is_nothing_to_beat(bench: Make) -> None:
    judge = bench()
    assert judge.judge(CHAMPION, GOOD)
    assert judge.decision["rules"][0]["reason"] == "no version is served yet"


@pytest.mark.parametrize(("worse", "approved"), [(-5.0, True), (0.5, True), (5.0, False)])
def test_the_same_texts_are_compared_pair_by_pair(
    bench: Make, worse: float, approved: bool
) -> None:
    judge, texts = bench(), random.Random(0)
    # Texts differ far more among themselves than the models do on any one of them.
    before = [texts.uniform(50, 250) for _ in range(200)]
    champion = judge.champion({"bits_per_byte": Figure(1.9, 1.8, 2.0)}, before)
    after = [nll + worse + texts.uniform(-1, 1) for nll in before]
    assert judge.judge(CHAMPION, GOOD, champion=champion, scores=after) is approved
    decision = judge.decision
    assert decision["champion_version"] == 3
    assert "on the same examples" in decision["rules"][0]["reason"]
    difference = worse / math.log(2) / 100
    assert f"{difference:+.2f}"[:3] in decision["rules"][0]["reason"]


def test_other_texts_are_not_comparable(bench: Make) -> None:
    judge = bench()
    champion = judge.champion(GOOD, (100.0, 120.0), eval_digest="older texts")
    assert not judge.judge(CHAMPION, GOOD, champion=champion)
    assert "not comparable" in judge.decision["rules"][0]["reason"]


def test_figures_measured_anew_are_comparable(bench: Make) -> None:
    judge = bench()
    champion = judge.champion({"bits_per_byte": Figure(0.5)}, eval_digest="older texts")
    anew = {"version": 3, "model_digest": saved_model_digest(champion)}
    for bits, approved in ((2.0, True), (1.9, False)):
        figures = {"bits_per_byte": dataclasses.asdict(Figure(bits))}
        told = {**anew, "figures": figures}
        options = GateOptions.model_validate({"rules": CHAMPION})
        judge.judge(CHAMPION, GOOD, champion=champion)
        path = judge.root / "evaluation" / "evaluation.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "champion": told}))
        folders = [judge.root / name for name in ("model", "evaluation", "drift", "decision")]
        assert run(*folders[:3], options, champion, folders[3]) is approved
        assert judge.decision["rules"][0]["bound"] == bits


@pytest.mark.parametrize(
    ("paired", "approved"),
    [
        (Figure(-0.05, -0.09, -0.01, 20), True),
        (Figure(0.0, -0.02, 0.02, 20), True),
        (Figure(0.0, -0.04, 0.04, 20), False),
        (Figure(math.nan, math.nan, math.nan, 20), False),
    ],
)
def test_the_evaluations_own_difference_decides(
    bench: Make, paired: Figure, approved: bool
) -> None:
    """Whatever the recorded scores would say: they are the same here."""
    judge = bench()
    same = [100.0 + place for place in range(40)]
    champion = judge.champion({"bits_per_byte": Figure(1.9)}, same)
    figures = {**GOOD, "bits_per_byte_minus_champion": paired}
    assert judge.judge(CHAMPION, figures, champion=champion, scores=same) is approved
    if approved:
        assert f"{paired.high:+.4g}" in judge.decision["rules"][0]["reason"]


def test_without_it_the_difference_is_the_one_that_evaluation_computes(
    bench: Make, tmp_path: Path
) -> None:
    import numpy as np

    judge, texts = bench(), np.random.default_rng(0)
    before = texts.uniform(50, 250, 200)
    # All texts of a document moved alike, so documents and not texts must be resampled.
    after = before + texts.normal(0, 3, 20)[np.arange(200) % 20]
    champion = judge.champion({"bits_per_byte": Figure(1.9)}, before.tolist())
    judge.judge(CHAMPION, GOOD, champion=champion, scores=after.tolist())
    found = difference(
        champion / "loomline" / "scores.parquet", judge.root / "evaluation" / "scores.parquet"
    )
    documents = [f"document {place % 20}" for place in range(200)]
    draws = ClusterBootstrap(documents, EvaluateOptions().bootstrap, EvaluateOptions().seed)
    wanted = draws.ratio((after - before) / math.log(2), np.full(200, 100.0))
    assert found is not None
    assert (found.low, found.high, found.samples) == pytest.approx((wanted.low, wanted.high, 20))
    assert found.value == pytest.approx(wanted.value)
    assert f"{found.high:+.4g}" in judge.decision["rules"][0]["reason"]


def test_a_champion_whose_files_changed_since_is_not_comparable(bench: Make) -> None:
    judge = bench()
    champion = judge.champion(GOOD, (100.0, 120.0))
    (champion / "saved_model.pb").write_bytes(b"another model")
    assert not judge.judge(CHAMPION, GOOD, champion=champion)
    assert "not comparable" in judge.decision["rules"][0]["reason"]
    stale = {"version": 3, "model_digest": "f" * 64, "figures": {"bits_per_byte": {"value": 9.0}}}
    assert not judge.judge(CHAMPION, GOOD, champion=champion, champion_measured=stale)
    assert "another model than version 3" in judge.decision["rules"][0]["reason"]


def test_a_champion_without_the_figure_fails_the_rule(bench: Make) -> None:
    judge = bench()
    champion = judge.champion({"distinct_2": Figure(0.5)}, (100.0, 120.0))
    assert not judge.judge(CHAMPION, GOOD, champion=champion)
    assert "version 3 has no such figure" in judge.decision["rules"][0]["reason"]


def test_a_champion_without_its_evaluation_fails_the_rule(bench: Make, tmp_path: Path) -> None:
    judge = bench()
    assert not judge.judge(CHAMPION, GOOD, champion=tmp_path / "models" / "text" / "9")
    assert "not measured on these examples" in judge.decision["rules"][0]["reason"]
    assert judge.decision["champion_version"] == 9


def test_an_evaluation_of_another_model_is_refused(bench: Make) -> None:
    with pytest.raises(AlteredModelError, match="evaluate the model again"):
        bench().judge([_rule(at_most=9)], GOOD, model_digest="f" * 64)


@pytest.mark.parametrize(
    ("missing", "error"),
    [("model", ModelError), ("evaluation", DataError), ("drift", DataError)],
)
def test_missing_evidence_stops_the_gate(
    bench: Make, missing: str, error: type[Exception], tmp_path: Path
) -> None:
    judge = bench()
    judge.judge([_rule(at_most=9)], GOOD)
    (tmp_path / missing).rename(tmp_path / "away")
    folders = [tmp_path / name for name in ("model", "evaluation", "drift")]
    options = GateOptions.model_validate({"rules": [_rule(at_most=9)]})
    with pytest.raises(error):
        run(*folders, options, None, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_page_says_the_verdict_first_and_every_rule(bench: Make) -> None:
    judge = bench()
    rules = [_rule(at_most=1.8), _rule(at_most=2), {"metric": "evaluation.<b>", "at_most": 1}]
    judge.judge(rules, GOOD)
    html = judge.html
    assert html.index("Rejected") < html.index("1.9 (up to 1.95) is above 1.8")
    assert html.count("<code>evaluation.bits_per_byte</code>") == 3
    assert "<b>" not in html.partition("</header>")[2]
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_what_validation_found_can_be_a_rule(bench: Make) -> None:
    judge = bench()
    rule = {"metric": "validation.rejected_share", "at_most": 0.01}
    found = {"rejected_share": Figure(0.02, samples=100, unit="share")}
    assert not judge.judge([rule], GOOD, validation=found)
    assert "0.02 is above 0.01" in judge.decision["reason"]
    evidence = judge.decision["evidence"]
    assert evidence.keys() == {"evaluation.json", "drift.json", "validation.json"}


def test_a_rule_may_ask_for_another_confidence(bench: Make) -> None:
    judge = bench()
    rules = [_rule(at_most=1.96), _rule(at_most=1.96, confidence=0.99)]
    assert not judge.judge(rules, GOOD)
    first, second = judge.decision["rules"]
    assert (first["verdict"], first["high"]) == ("pass", 1.95)
    assert second["verdict"] == "fail"
    assert second["high"] == pytest.approx(1.9 + 0.05 * 2.5758 / 1.9600, abs=1e-4)
    assert "99%:" in judge.html

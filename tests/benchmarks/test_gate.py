"""The gate decides as the reference does, and nothing that was tampered with gets past it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.approval_desk import Desk
from benchmarks.gate import collapse, tamper
from benchmarks.gate_decisions import compare
from benchmarks.gate_tampering import ATTEMPTS, attempts, prepare, refusal, untouched
from components.artifacts import Figure
from components.gate import rules
from components.gate.options import Rule


def test_a_thousand_random_decisions_are_the_references(tmp_path: Path) -> None:
    differences, seen = compare(tmp_path, 1000, 7)
    assert differences == []
    wanted = ("approved", "rejected", "refused", "pass", "warn", "fail")
    assert all(seen[outcome] > 50 for outcome in wanted), seen


def _always_worst(rule: Rule, figure: Figure) -> tuple[float, str]:
    end = figure.high if rule.upper else figure.low
    return (figure.value if end is None else end), ""


def _as_it_was(figure: Figure, confidence: float) -> Figure:
    return figure


@pytest.mark.parametrize(
    ("name", "fault"),
    [("_end", _always_worst), ("at", _as_it_was), ("_unusable", lambda *_: None)],
)
def test_a_gate_with_a_fault_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: Callable[..., Any]
) -> None:
    monkeypatch.setattr(rules, name, fault)
    for seed in range(20):
        try:
            differences, _ = compare(tmp_path, 20, seed)
        except AssertionError:
            return  # Without its guard against absent figures it does not come to a decision.
        if differences:
            return
    pytest.fail("400 decisions did not show the fault")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("desk")).root


@pytest.mark.parametrize(
    ("kind", "attempt", "chance"),
    [
        pytest.param(kind, attempt, chance, id=f"{name}-{number}")
        for number, (kind, name, attempt, chance) in enumerate(attempts(7))
    ],
)
def test_tampering_is_refused(
    clean: Path, tmp_path: Path, kind: str, attempt: Any, chance: Any
) -> None:
    shutil.copytree(clean, tmp_path / "copy")
    assert refusal(kind, attempt, Desk(tmp_path / "copy"), chance)


def test_what_nobody_touched_is_published(clean: Path, tmp_path: Path) -> None:
    shutil.copytree(clean, tmp_path / "copy")
    assert untouched(Desk(tmp_path / "copy"))


def test_there_are_a_hundred_attempts() -> None:
    assert sum(ATTEMPTS.values()) == 100


def test_the_benchmark_counts_what_gets_past(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(scene: object) -> None:
        """Changes nothing, so the model is published."""

    monkeypatch.setattr("benchmarks.gate_tampering.ATTEMPTS", {("model", nothing): 1})
    tried, passed = tamper(0)
    assert (tried.total(), passed.total()) == (1, 1)


@pytest.mark.parametrize("versions", [4, 6, 12])
def test_a_steady_lineage_is_seldom_called_collapsing(versions: int) -> None:
    # The interval is two-sided at 95%: 2.5% of 400, and four standard deviations more.
    assert collapse(0.0, versions, 400, 0) <= 0.025 + 4 * (0.025 * 0.975 / 400) ** 0.5


def test_a_lineage_that_loses_a_twentieth_a_version_is_called_so() -> None:
    assert collapse(0.05, 8, 400, 0) > 0.95
    assert collapse(0.1, 4, 400, 0) > 0.8

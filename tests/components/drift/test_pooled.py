"""Divisions are scored by the same numbers that Evidently gives."""

from __future__ import annotations

import numpy as np
import pytest

from components.drift.pooled import pooled
from components.drift.scoring import Method

ROWS = 400


def _values(kind: str, rng: np.random.Generator) -> np.ndarray:
    return {
        "normal": rng.normal(5, 2, ROWS),
        "heavy": rng.standard_cauchy(ROWS),
        "counts": rng.poisson(2, ROWS).astype(float),
        "rounded": rng.normal(0, 15, ROWS).round(),
        "constant": np.full(ROWS, 3.0),
        "tiny": rng.normal(0, 1e-5, ROWS),
        "words": np.array(list("abcdefg"), object)[rng.zipf(2.0, ROWS) % 7],
        "names": np.array([f"name {n}" for n in rng.integers(0, 300, ROWS)], object),
    }[kind]


NUMBERS = ("normal", "heavy", "counts", "rounded", "constant", "tiny")
WORDS = ("words", "names")
CASES = [
    *((name, kind) for name in ("wasserstein", "jensenshannon", "psi", "ks") for kind in NUMBERS),
    *((name, kind) for name in ("jensenshannon", "psi", "chisquare") for kind in WORDS),
]


@pytest.mark.filterwarnings("ignore")  # Evidently divides by empty categories.
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_division_scores_as_evidently_does(name: str, kind: str) -> None:
    rng = np.random.default_rng(7)
    values = _values(kind, rng)
    method = Method(name, kind in WORDS, "test")
    divided = pooled(method, values)
    for first in (20, 200, 390):
        rows = rng.permutation(ROWS) < first
        expected = method.score(values[rows], values[~rows])
        assert divided(rows) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", ["normal", "counts", "rounded"])
def test_divisions_that_lie_equally_far_apart_are_asked_of_evidently_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(11)
    values = _values(kind, rng)
    method = Method("ks", False, "test")
    parts = [rng.permutation(ROWS) < 150 for _ in range(100)]
    expected = [method.score(values[rows], values[~rows]) for rows in parts]
    asked = []
    score = method.score
    monkeypatch.setattr(method, "score", lambda *both: asked.append(score(*both)) or asked[-1])
    divided = pooled(method, values)
    assert [divided(rows) for rows in parts] == pytest.approx(expected, rel=1e-9)
    assert len(asked) < 60  # Of a hundred divisions.


def test_a_division_that_leaves_one_side_without_values_is_no_number() -> None:
    divided = pooled(Method("wasserstein", False, "test"), np.arange(9.0))
    assert np.isnan(divided(np.zeros(9, bool)))
    assert np.isnan(divided(np.ones(9, bool)))

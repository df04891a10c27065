"""Categories and gaps are scored as carefully as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.drift.detection import compare
from components.drift.options import ColumnChoice, DriftOptions
from components.drift.scoring import Scorer
from components.drift.sides import Descriptor, Measured
from components.errors import ConfigError

NUMBER = Descriptor("number", "a number")
CATEGORY = Descriptor("category", "a category", categorical=True)
EMPTY = Descriptor("empty", "nothing")


def _words(rng: np.random.Generator, shares: list[float], rows: int = 300) -> np.ndarray:
    return np.array(list("abc"), object)[rng.choice(3, rows, p=shares)]


@pytest.mark.parametrize(
    ("method", "falling", "categories", "threshold_of_categories"),
    [
        ("wasserstein", False, "jensenshannon", 0.1 / 8**0.5),
        ("jensenshannon", False, "jensenshannon", 0.1),
        ("psi", False, "psi", 0.1),
        ("ks", True, "chisquare", 0.1),
    ],
)
def test_categories_are_scored_by_a_method_of_the_same_sense(
    method: str, falling: bool, categories: str, threshold_of_categories: float
) -> None:
    scorer = Scorer(DriftOptions(method=method))
    for descriptor, name, limit in (
        (NUMBER, method, 0.1),
        (CATEGORY, categories, threshold_of_categories),
    ):
        found, threshold = scorer.chosen(descriptor)
        assert (found.name, found.falling, threshold) == (name, falling, limit)
    rng = np.random.default_rng(0)
    before = _words(rng, [0.4, 0.3, 0.3])
    alike = scorer.score(CATEGORY, before, _words(rng, [0.4, 0.3, 0.3]))
    other = scorer.score(CATEGORY, before, _words(rng, [0.1, 0.1, 0.8]))
    assert other < alike if falling else other > alike


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("deviations", [0.07, 0.09, 0.11, 0.13, -0.07, -0.09, -0.11, -0.13])
def test_yes_and_no_has_one_verdict_as_numbers_and_as_categories(
    share: float, deviations: float
) -> None:
    rows = 10_000
    before, after = np.zeros(rows), np.zeros(rows)
    before[: round(rows * share)] = 1
    after[: round(rows * (share + deviations * (share * (1 - share)) ** 0.5))] = 1
    scorer = Scorer(DriftOptions())
    for descriptor in (NUMBER, CATEGORY):
        as_it_is = (side if descriptor is NUMBER else side.astype(str) for side in (before, after))
        score = scorer.score(descriptor, *as_it_is)
        assert (score > scorer.chosen(descriptor)[1]) == (abs(deviations) > 0.1)


def test_a_threshold_of_ones_own_is_taken_as_it_is() -> None:
    """Only the common one is reckoned from standard deviations."""
    for column in (
        {"column": "category", "threshold": 0.2},
        {"column": "category", "method": "jensenshannon", "threshold": 0.2},
    ):
        assert Scorer(chosen(column)).chosen(CATEGORY)[1] == 0.2


def test_missing_numbers_are_left_out_and_an_empty_side_is_no_number() -> None:
    scorer = Scorer(DriftOptions())
    values = np.arange(100.0)
    gaps = np.where(np.arange(200) % 2, np.nan, np.arange(200) / 2)
    assert scorer.score(NUMBER, values, gaps) == pytest.approx(0, abs=0.02)
    assert np.isnan(scorer.score(NUMBER, values, np.full(9, np.nan)))
    assert scorer.score(NUMBER, np.full(5, np.nan), np.full(9, np.nan)) == 0


def test_columns_of_all_kinds_are_compared_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    descriptors = [NUMBER, CATEGORY, EMPTY]

    def side(mean: float, shares: list[float], empty: float) -> Measured:
        numbers = rng.normal(mean, 1, 300)
        numbers[::7] = np.nan
        return Measured(descriptors, [numbers, _words(rng, shares), np.full(300, empty)])

    even, skewed = [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]
    reference = side(0, even, np.nan)
    found = compare(
        {
            "same": (reference, side(0, even, np.nan)),
            "moved": (reference, side(2, skewed, np.nan)),
            "appeared": (reference, side(0, even, 1.0)),
        },
        DriftOptions(), tmp_path / "details.html", items="rows",
    )  # fmt: skip
    assert found["same"].drifted == []
    assert found["same"].unit == "rows"
    assert {column.descriptor.name for column in found["moved"].drifted} == {"number", "category"}
    assert {column.descriptor.name for column in found["appeared"].drifted} == {"empty"}
    columns = {column.descriptor.name: column for column in found["moved"].columns}
    assert columns["number"].effect == pytest.approx(2, abs=0.3)
    assert columns["category"].category == "c"
    assert columns["category"].current_mean == pytest.approx(0.8, abs=0.08)
    assert "a category" in (tmp_path / "details.html").read_text("utf-8")


def test_sides_of_unequal_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        Measured([NUMBER, EMPTY], [np.ones(3), np.ones(4)])
    with pytest.raises(ValueError, match="a column for each of 2 descriptors"):
        Measured([NUMBER, EMPTY], [np.ones(3)])


@pytest.mark.parametrize(
    ("descriptor", "value", "shown"),
    [
        (Descriptor("a", "a"), 2.25, "2.2"),
        (Descriptor("a", "a", digits=3), 0.0312, "0.031"),
        (Descriptor("a", "a", percent=True), 0.5, "50.0%"),
        (Descriptor("a", "a", dated=True), 1_357_000_200.0, "2013-01-01 00:30"),
        (Descriptor("a", "a"), float("nan"), "none"),
    ],
)
def test_values_are_shown_as_a_person_reads_them(
    descriptor: Descriptor, value: float, shown: str
) -> None:
    assert descriptor.shown(value) == shown


def chosen(*columns: dict[str, object]) -> DriftOptions:
    return DriftOptions(columns=[ColumnChoice.model_validate(column) for column in columns])


def test_columns_may_have_methods_and_thresholds_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["common", "by_ks", "by_psi", "stricter", "kind"]
    descriptors = [Descriptor(name, name, categorical=name == "kind") for name in names]

    def side(mean: float) -> Measured:
        numbers = [rng.normal(mean, 1, 500) for _ in names[:4]]
        return Measured(descriptors, [*numbers, _words(rng, [0.4, 0.3, 0.3], 500)])

    options = chosen(
        {"column": "by_ks", "method": "ks"},
        {"column": "by_*", "method": "psi", "threshold": 0.3},
        {"column": "stricter", "threshold": 5},
        {"column": "kind", "method": "chisquare"},
    )
    found = compare({"one": (side(0), side(0.9))}, options, tmp_path / "details.html")["one"]
    columns = {column.descriptor.name: column for column in found.columns}
    assert {name: (one.method, one.threshold, one.falling) for name, one in columns.items()} == {
        "common": ("wasserstein", 0.1, False),
        "by_ks": ("ks", 0.05, True),
        "by_psi": ("psi", 0.3, False),
        "stricter": ("wasserstein", 5.0, False),
        "kind": ("chisquare", 0.05, True),
    }
    assert {name for name, one in columns.items() if one.drifted} == {"common", "by_ks", "by_psi"}
    assert columns["by_ks"].score < 1e-10 < columns["by_ks"].limit <= 0.05
    assert columns["by_psi"].score > columns["by_psi"].limit >= 0.3


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (
            {"column": "number", "method": "kolmogorov"},
            r"drift\.columns\.0 \(number\).*: .*ks.*psi",
        ),
        ({"column": "category", "method": "ks"}, "no such method for categories.*chisquare"),
        ({"column": "numbr"}, "expected the name of a measure.*'numbr'.*category, number"),
    ],
)
def test_a_choice_that_fits_no_column_is_one_line(
    tmp_path: Path, column: dict[str, object], said: str
) -> None:
    rng = np.random.default_rng(0)
    side = Measured([NUMBER, CATEGORY], [rng.normal(size=300), _words(rng, [0.4, 0.3, 0.3])])
    with pytest.raises(ConfigError, match=said):
        compare({"one": (side, side)}, chosen(column), tmp_path / "details.html")

"""A score that cannot be computed is never taken for the absence of drift."""

from pathlib import Path

import numpy as np

from components.drift.descriptors import DESCRIPTORS
from components.drift.detection import compare
from components.drift.options import DriftOptions
from components.drift.texts import Side, Text


def test_a_score_that_is_no_number_counts_as_drift(tmp_path: Path) -> None:
    """Of one text on either side, a t-test makes NaN."""
    one, other = (
        Side([Text(name, name, "text")], np.full((1, len(DESCRIPTORS)), value))
        for name, value in (("a", 1.0), ("b", 2.0))
    )
    options = DriftOptions(method="t_test", threshold=0.05)
    found = compare({"output": (one, other)}, options, tmp_path / "page.html")["output"]
    assert all(np.isnan(column.score) for column in found.columns)
    assert found.share == 1.0

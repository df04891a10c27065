"""The area under the curve is that of scikit-learn, ties and several classes included."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.evaluate.table.utility import _auc


@pytest.mark.parametrize("classes", [2, 4])
def test_the_area_is_that_of_scikit_learn(classes: int) -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(classes, size=300)
    chances = np.round(draw.dirichlet(np.ones(classes), 300) + np.eye(classes)[truth] / 3, 1)
    shares = [float((truth == label).mean()) for label in range(classes)]
    areas = [roc_auc_score(truth == label, chances[:, label]) for label in range(classes)]
    expected = areas[1] if classes == 2 else np.average(areas, weights=shares)
    assert _auc(truth.astype(float), chances) == pytest.approx(expected)

"""Finds a learning rate for a family by the range test."""

from __future__ import annotations

from collections.abc import Iterator

from components.train.families.family import Batch
from components.train.families.learner import FamilyLearner
from components.train.rate_search import search


def find_rate(learner: FamilyLearner, batches: Iterator[Batch]) -> float:
    """Trains through ever higher rates, and puts everything back as it was.

    Watches the loss of the first player; the others' rates rise along with it.

    Args:
        learner: with fresh weights.
        batches: of `learner.rows` rows.
    """
    before = [(variable, variable.numpy()) for _, variable in learner.variables()]

    def train(step: int, rate: float) -> float:
        values = learner.train(next(batches), step, rate)
        return learner.scalars(values)[learner.loss_name]

    found = search(train)
    for variable, value in before:
        variable.assign(value)
    return found

"""Batches: every row once in an epoch, repeatable, the same from memory or resumed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts import TransformedExamples
from components.errors import DataError
from components.train.families.input import ExampleBatches


def _images(batches: Any, count: int) -> np.ndarray[Any, Any]:
    taken = [batch["image"].numpy() for batch in itertools.islice(batches, count)]
    return np.concatenate(taken).reshape(-1, 64)


@pytest.mark.parametrize("memory", [2**30, 0])
def test_an_epoch_holds_every_row_once_and_the_next_has_another_order(
    images: TransformedExamples, memory: int
) -> None:
    batches = ExampleBatches(images, memory)
    assert batches.in_memory == (memory > 0)
    rows = _images(batches.training(12, seed=3), 16)

    first, second = rows[:96], rows[96:]
    assert len(np.unique(first, axis=0)) == 96
    np.testing.assert_array_equal(np.unique(first, axis=0), np.unique(second, axis=0))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("memory", [2**30, 0])
def test_batches_after_a_resume_are_those_that_would_have_come(
    images: TransformedExamples, memory: int
) -> None:
    batches = ExampleBatches(images, memory)
    whole = _images(batches.training(10, seed=3), 25)
    resumed = _images(batches.training(10, seed=3, start=17), 8)

    np.testing.assert_array_equal(whole[170:], resumed)
    other = _images(batches.training(10, seed=4), 5)
    assert np.abs(whole[:50] - other).max() > 0.1


def test_the_held_out_rows_are_the_same_each_time_and_never_trained_on(
    images: TransformedExamples,
) -> None:
    batches = ExampleBatches(images)
    held_out = batches.held_out(8)

    assert [len(batch["label"]) for batch in held_out] == [8] * 4
    assert held_out[0]["label"].dtype == tf.int32
    again = batches.held_out(8)
    np.testing.assert_array_equal(held_out[2]["image"], again[2]["image"])
    trained = _images(batches.training(96, seed=0), 1)
    for row in _images(iter(held_out), 4):
        assert np.abs(trained - row).max(1).min() > 0


def test_a_split_without_rows_is_refused(make_images: Callable[..., Any], tmp_path: Path) -> None:
    examples = make_images(tmp_path / "examples")
    examples.write_statistics({**examples.statistics(), "eval": {"rows": 0}})

    with pytest.raises(DataError, match=r"Received: 96 and 0"):
        ExampleBatches(examples)

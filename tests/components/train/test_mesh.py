"""What devices cannot share is refused, by the name of what to change."""

from __future__ import annotations

from typing import Any

import pytest

from components.errors import ConfigError
from components.train import mesh
from components.train.options import TrainOptions


@pytest.mark.parametrize(
    ("changed", "parts", "devices", "message"),
    [
        ({}, 8, 4, r"train\.model_parallel: expected a divisor .*, 4 here\. Received: 8"),
        ({}, 3, 4, r"train\.model_parallel: expected a divisor .* Received: 3"),
        ({"heads": 2}, 4, 4, r"train\.heads: expected a multiple of the 4 devices.* Received: 2"),
        ({}, 2, 2, r"transform\.vocabulary_size: .* multiple of the 2 .* a vocabulary of 41\."),
        (
            {"batch_size": 6},
            1,
            4,
            r"train\.batch_size: .* of the 4 replicas.* Received: 6",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_in_one_line(
    changed: dict[str, Any], parts: int, devices: int, message: str
) -> None:
    options = TrainOptions.model_validate({"distribution": "model_parallel", **changed})

    with pytest.raises(ConfigError, match=message) as refused:
        mesh.check(options, 41, parts, devices)

    assert "\n" not in str(refused.value)


def test_what_can_be_divided_is_taken() -> None:
    mesh.check(TrainOptions(distribution="model_parallel"), 48, 2, 4)


def test_heads_that_devices_would_have_to_split_are_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="received heads=4, model_parallel=3"):
        TrainOptions(distribution="model_parallel", model_parallel=3, heads=4)


def test_parts_without_the_distribution_that_makes_them_are_refused() -> None:
    with pytest.raises(ValueError, match="needs distribution=model_parallel"):
        TrainOptions(distribution="multi_worker", model_parallel=2)


def test_float16_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.precision: expected float32 or mixed_bfloat16"):
        mesh.precision_policy("mixed_float16")

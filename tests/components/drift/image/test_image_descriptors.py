"""What the measures of an image say."""

from __future__ import annotations

import numpy as np
import pytest

from components.drift.image.descriptors import describe, descriptors_of


def _measured(pixels: np.ndarray) -> dict[str, float]:
    names = [each.name for each in descriptors_of(pixels.shape[-1])]
    (values,) = describe(pixels[np.newaxis])
    return dict(zip(names, values, strict=True))


def _grey(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint8)[..., np.newaxis]


def test_halves_are_measured_as_a_person_would() -> None:
    halves = np.zeros((16, 16))
    halves[:, 8:] = 255
    found = _measured(_grey(halves))
    assert found["brightness"] == pytest.approx(0.5)
    assert found["contrast"] == pytest.approx(0.5)
    assert found["dark"] == found["light"] == 0.5
    assert found["edges"] == pytest.approx(2 / 16)
    assert found["entropy"] == pytest.approx(1)
    assert found["symmetry"] == pytest.approx(0)
    assert found["noise"] == 0, "a straight edge is no noise"


@pytest.mark.parametrize("deviation", [4, 8, 16])
def test_the_noise_is_its_standard_deviation(deviation: int) -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(80, 170, 64)[:, np.newaxis] + np.zeros((64, 64))
    found = _measured(_grey(ramp + rng.normal(0, deviation, (64, 64))))
    assert found["noise"] * 255 == pytest.approx(deviation, rel=0.08)


def test_grey_has_no_colour_and_red_has_much() -> None:
    grey = np.full((8, 8, 3), 120, np.uint8)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert _measured(grey)["saturation"] == _measured(grey)["colourfulness"] == 0
    assert _measured(red)["saturation"] == pytest.approx(1)
    assert _measured(red)["brightness"] == pytest.approx(0.299)
    # Hasler and Süsstrunk: 0.3 times the length of the mean of (R - G, (R + G) / 2 - B).
    assert _measured(red)["colourfulness"] == pytest.approx(0.3 * np.hypot(1, 0.5))


@pytest.mark.parametrize("shape", [(3, 3, 1), (5, 40, 3)])
def test_any_image_gives_finite_numbers(shape: tuple[int, int, int]) -> None:
    for level in (0, 255):
        assert all(np.isfinite(list(_measured(np.full(shape, level, np.uint8)).values())))


def test_images_are_measured_one_by_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3), np.uint8)
    together = describe(pixels)
    assert together.shape == (5, len(descriptors_of(3)))
    for place in range(5):
        assert np.allclose(together[place], describe(pixels[place : place + 1])[0])

"""Measures of an image that say how it looks, computed without downloads or models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.drift.sides import Descriptor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GREY = (
    Descriptor("brightness", "mean brightness", percent=True),
    Descriptor("contrast", "contrast (standard deviation of brightness)", percent=True),
    Descriptor("dark", "nearly black pixels", percent=True),
    Descriptor("light", "nearly white pixels", percent=True),
    Descriptor("sharpness", "sharpness (mean second difference)", digits=3),
    Descriptor("edges", "pixels on an edge", percent=True),
    Descriptor("noise", "noise (standard deviation)", digits=3),
    Descriptor("entropy", "entropy of the brightness, bits", digits=2),
    Descriptor("symmetry", "likeness to the own mirror image", percent=True),
)
COLOUR = (
    Descriptor("colourfulness", "colourfulness", digits=3),
    Descriptor("saturation", "mean saturation", percent=True),
)

_LUMA = (0.299, 0.587, 0.114)
_DARK, _LIGHT = 0.1, 0.9
_EDGE = 0.2
_LEVELS = 32


def descriptors_of(channels: int) -> tuple[Descriptor, ...]:
    """What `describe` measures of images of 1 or 3 channels."""
    return GREY if channels == 1 else GREY + COLOUR


def describe(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measures a batch of images.

    Noise is Immerkær's estimate (1996, "Fast noise variance estimation"), colourfulness that of
    Hasler and Süsstrunk (2003, "Measuring colourfulness in natural images", equation 3), both of
    values of 0..1.

    Args:
        pixels: uint8 [images, height, width, channels], 1 or 3 channels, at least 3 x 3 pixels.

    Returns:
        [images, descriptors], in the order of `descriptors_of`.
    """
    import numpy as np

    colour = pixels.astype(np.float64) / 255
    luma = colour[..., 0] if colour.shape[-1] == 1 else colour @ np.array(_LUMA)
    rise, run = np.gradient(luma, axis=(1, 2))
    found = [
        luma.mean(axis=(1, 2)),
        luma.std(axis=(1, 2)),
        (luma < _DARK).mean(axis=(1, 2)),
        (luma > _LIGHT).mean(axis=(1, 2)),
        _sharpness(luma),
        (np.hypot(rise, run) > _EDGE).mean(axis=(1, 2)),
        _noise(luma),
        _entropy(luma),
        _symmetry(luma),
    ]
    if colour.shape[-1] == 3:
        found += [_colourfulness(colour), _saturation(colour)]
    return np.stack(found, axis=1)


def _sharpness(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute value of the discrete Laplacian."""
    import numpy as np

    middle = luma[:, 1:-1, 1:-1]
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    return np.asarray(np.abs(around - 4 * middle).mean(axis=(1, 2)))


def _noise(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of the noise: the difference of two Laplacians does not see edges."""
    import numpy as np

    across = luma[:, :-2] - 2 * luma[:, 1:-1] + luma[:, 2:]
    both = across[:, :, :-2] - 2 * across[:, :, 1:-1] + across[:, :, 2:]
    return np.asarray(np.sqrt(np.pi / 2) / 6 * np.abs(both).mean(axis=(1, 2)))


def _entropy(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    images = len(luma)
    levels = np.minimum((luma * _LEVELS).astype(np.int64), _LEVELS - 1).reshape(images, -1)
    places = levels + _LEVELS * np.arange(images)[:, np.newaxis]
    counts = np.bincount(places.ravel(), minlength=images * _LEVELS).reshape(images, _LEVELS)
    shares = counts / levels.shape[1]
    logarithms = np.log2(shares, where=shares > 0, out=np.zeros_like(shares))
    return np.asarray(-(shares * logarithms).sum(axis=1))


def _symmetry(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(1 - np.abs(luma - luma[:, :, ::-1]).mean(axis=(1, 2)))


def _colourfulness(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    red, green, blue = np.moveaxis(colour, -1, 0)
    one, two = red - green, (red + green) / 2 - blue
    spread = np.hypot(one.std(axis=(1, 2)), two.std(axis=(1, 2)))
    return np.asarray(spread + 0.3 * np.hypot(one.mean(axis=(1, 2)), two.mean(axis=(1, 2))))


def _saturation(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean saturation of the HSV model; black has none."""
    import numpy as np

    most, least = colour.max(axis=-1), colour.min(axis=-1)
    return np.asarray(((most - least) / np.maximum(most, 1e-9)).mean(axis=(1, 2)))

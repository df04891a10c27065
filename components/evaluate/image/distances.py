"""How far apart two sets of images lie in the features of one network, with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Distance = Callable[[Floats, Floats], float]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


def frechet(first: Floats, second: Floats) -> float:
    """Fréchet distance of two normal distributions fitted to features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson and Landau, 1982; Heusel et al., 2017),
    with covariances shrunk towards a multiple of the identity as Ledoit and Wolf (2004) do: with
    about as many images as features, the plain estimate is mostly noise.

    Args:
        first, second: float64 [rows, features].
    """
    means = first.mean(axis=0), second.mean(axis=0)
    one, two = shrunk_covariance(first), shrunk_covariance(second)
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ two @ root)
    gap = means[0] - means[1]
    trace = np.trace(one) + np.trace(two) - 2 * np.sqrt(np.clip(cross, 0, None)).sum()
    return float(max(gap @ gap + trace, 0.0))


def shrunk_covariance(features: Floats) -> Floats:
    """Ledoit and Wolf's (2004) covariance: the plain one, drawn towards mean variance times I.

    Args:
        features: float64 [rows, features].
    """
    rows, count = features.shape
    centred = features - features.mean(axis=0)
    plain: Floats = centred.T @ centred / rows
    variance = np.trace(plain) / count
    apart = plain - variance * np.eye(count)
    distance = (apart**2).sum()
    # How much the rows' own outer products scatter about their mean, the plain covariance.
    scatter = (((centred**2).sum(axis=1) ** 2).sum() / rows - (plain**2).sum()) / rows
    share = min(scatter / distance, 1.0) if distance > 0 else 0.0
    return np.asarray(plain - share * apart)


def kernel(first: Floats, second: Floats) -> float:
    """Kernel distance: the unbiased squared MMD under (x y / d + 1)^3 (Binkowski et al., 2018).

    May be a little below zero where the sets are alike.

    Args:
        first, second: float64 [rows, features].
    """

    def gram(left: Floats, right: Floats) -> Floats:
        product: Floats = left @ right.T / left.shape[1] + 1.0
        return np.asarray(product * product * product)  # A power takes ten times as long.

    def without_itself(matrix: Floats) -> float:
        rows = len(matrix)
        return float((matrix.sum() - np.trace(matrix)) / (rows * (rows - 1)))

    within = without_itself(gram(first, first)) + without_itself(gram(second, second))
    return within - 2 * float(gram(first, second).mean())


def with_interval(
    distance: Distance, first: Floats, second: Floats, resamples: int, seed: int
) -> Interval:
    """A distance with an interval by half samples.

    Half of either set, drawn without replacement, varies about its own mean as the distance of
    the whole varies about the truth (Politis and Romano, 1994); a bootstrap would draw rows twice,
    which are at distance zero from each other. Distances of fewer rows are larger, so the spread
    is taken about their own mean.

    Args:
        distance: of two sets.
        first, second: float64 [rows, features].
        resamples: how many halves are drawn.
        seed: of the draws.
    """
    value = distance(first, second)
    generator = np.random.default_rng(seed)
    halves = [
        distance(first[_half(first, generator)], second[_half(second, generator)])
        for _ in range(resamples)
    ]
    return _about(value, halves)


def difference(
    distance: Distance, first: Floats, other: Floats, second: Floats, resamples: int, seed: int
) -> Interval:
    """How much farther one set lies from real images than another, with an interval.

    Rows of the two sets belong together (one class and seed), so each half takes the same rows of
    both and the same real images: what these have in common cancels out.

    Args:
        distance: of two sets.
        first, other: float64 [rows, features], paired by row.
        second: float64 [real rows, features].
        resamples: how many halves are drawn.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    halves = []
    for _ in range(resamples):
        rows, real = _half(first, generator), second[_half(second, generator)]
        halves.append(distance(first[rows], real) - distance(other[rows], real))
    return _about(distance(first, second) - distance(other, second), halves)


def _half(features: Floats, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    return generator.permutation(len(features))[: len(features) // 2]


def _about(value: float, halves: list[float]) -> Interval:
    spread = np.quantile(halves, [0.025, 0.975]) - np.mean(halves)
    return Interval(value, value + float(spread[0]), value + float(spread[1]))


def reached_modes(made: Floats, real: Floats, modes: int, seed: int) -> tuple[int, int]:
    """How many modes of real images the generated ones reach.

    Modes are the cells of k-means (as of Richardson and Weiss, 2018, On GANs and GMMs); one is
    reached if the share of generated images in it is a quarter of that of real ones or more.

    Args:
        made, real: float64 [rows, features].
        modes: how many cells, at most a tenth of the real images.
        seed: of the cells' first centres.

    Returns:
        The modes reached, and all modes.
    """
    from sklearn.cluster import KMeans

    count = max(1, min(modes, len(real) // 10))
    cells = KMeans(count, n_init=1, random_state=seed).fit(real)
    shares = [
        np.bincount(found, minlength=count) / len(found)
        for found in (cells.predict(made), cells.labels_)
    ]
    return int((shares[0] >= shares[1] / 4).sum()), count


def _squared(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Squared distances of every row of one to every row of the other."""
    cross = np.asarray(-2 * first @ second.T)
    cross += (first**2).sum(axis=1)[:, np.newaxis] + (second**2).sum(axis=1)
    return np.asarray(np.maximum(cross, 0.0))


def covered(points: Floats, others: Floats, neighbours: int) -> npt.NDArray[np.bool_]:
    """Which points lie within reach of one of the others (Kynkäänniemi et al., 2019).

    Another's reach is the distance to its own k-th nearest neighbour. The share of generated
    points that real ones cover is precision; the share of real points that generated ones cover
    is recall.

    Args:
        points, others: float64 [rows, features].
        neighbours: k.
    """
    own = _squared(others, others)
    np.fill_diagonal(own, np.inf)
    place = min(neighbours, len(others) - 1) - 1
    reach = np.partition(own, place, axis=1)[:, place]
    return np.asarray((_squared(points, others) <= reach).any(axis=1))


def nearest(
    points: npt.NDArray[Any], others: npt.NDArray[Any], skip_itself: bool = False
) -> tuple[npt.NDArray[np.int64], Floats]:
    """The nearest of the others to each point.

    Args:
        points, others: float32 or float64 [rows, features].
        skip_itself: leave out an other at distance zero, once: the point itself.

    Returns:
        Its place int64 [rows] and its distance [rows].
    """
    places = np.empty(len(points), np.int64)
    distances = np.empty(len(points))
    lengths = np.einsum("ij,ij->i", others, others)
    for start in range(0, len(points), 256):
        part = points[start : start + 256]
        found = part @ (-2 * others.T)
        found += lengths
        best = found.argmin(axis=1)
        if skip_itself:
            found[np.arange(len(found)), best] = np.inf
            best = found.argmin(axis=1)
        places[start : start + 256] = best
        # Again and exactly: the sums above lose what makes near points differ.
        distances[start : start + 256] = np.linalg.norm(part - others[best], axis=1)
    return places, distances

"""How far out a score lies among those that chance gives, alike for light and for heavy tails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of a column whose scores hardly ever differ nothing says how skewed they are beyond this.
_MOST_SKEWED = 4.0
# Nearer to none than this, the formulas would divide by nothing.
_LEAST_SKEWED = 1e-3


class Moments(NamedTuple):
    """Mean, standard deviation and skewness of scores, as arrays of one shape."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    skew: NDArray[np.float64]

    def extremeness(self, strength: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where a score would lie among normal ones, in their standard deviations.

        Scores are taken for a gamma distribution with these moments, of which the cube root is
        nearly normal (Wilson and Hilferty 1931, "The distribution of chi-square").
        """
        import numpy as np

        off = (strength - self.mean) / self.deviation
        root = np.cbrt(self.skew * off / 2 + 1)
        return np.asarray(6 / self.skew * (root - 1) + self.skew / 6)

    def strength(self, extremeness: float) -> NDArray[np.float64]:
        """The score that lies so far out."""
        root = self.skew / 6 * (extremeness - self.skew / 6) + 1
        return self.mean + self.deviation * 2 / self.skew * (root**3 - 1)


def moments(strength: NDArray[np.float64]) -> Moments:
    """The moments of each column.

    Args:
        strength: [divisions, columns]; a division may leave one side of a column without any
            value, and then it has no finite score and says nothing of that column.
    """
    known, usual, off = _about_the_mean(strength)
    count = _at_least_one(known.sum(axis=0))
    return _moments(usual, *((off**power).sum(axis=0) / count for power in (1, 2, 3)))


def most_extreme(strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far out the most extreme column of each division lies among the other divisions.

    The division that was found has no part in the moments of those at random. Those must have
    none in their own either: an extreme one widens the deviation that it is taken by, would seem
    nearer to the others than it is, and limits would be too low.

    Args:
        strength: as in `moments`.

    Returns:
        [divisions], minus infinity where a division could score nothing.
    """
    import numpy as np

    known, usual, off = _about_the_mean(strength)
    others = _at_least_one(known.sum(axis=0) - 1)
    sums = ((off**power).sum(axis=0) for power in (1, 2, 3))
    beside = [(total - off**power) / others for power, total in enumerate(sums, 1)]
    # Where one division alone differs, nothing else says how much is usual.
    beside[1] = np.maximum(beside[1], (off**2).mean(axis=0) / 4)
    found = _moments(usual, *beside).extremeness(strength)
    return np.asarray(np.where(known, found, -np.inf).max(axis=1))


def _about_the_mean(strength: NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Which scores are known, the means, and how far off each is: precise for large scores."""
    import numpy as np

    known = np.isfinite(strength)
    usual = np.where(known, strength, 0.0).sum(axis=0) / _at_least_one(known.sum(axis=0))
    return known, usual, np.where(known, strength - usual, 0.0)


def _moments(usual: Any, first: Any, second: Any, third: Any) -> Moments:
    """From means of powers of what scores are off."""
    import numpy as np

    variance = np.maximum(second - first**2, 1e-24)
    skew = (third - 3 * first * second + 2 * first**3) / variance**1.5
    skew = np.clip(skew, -_MOST_SKEWED, _MOST_SKEWED)
    skew = np.where(np.abs(skew) < _LEAST_SKEWED, _LEAST_SKEWED, skew)
    return Moments(usual + first, np.sqrt(variance), skew)


def _at_least_one(count: Any) -> Any:
    import numpy as np

    return np.maximum(count, 1)

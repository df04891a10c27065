"""Turns generated and real images into figures: of the model, of the floor, of the baseline."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.artifacts import Figure
from components.evaluate.image.classifier import Judge
from components.evaluate.image.data import Labels, Real
from components.evaluate.image.distances import (
    Distance,
    covered,
    difference,
    frechet,
    kernel,
    nearest,
    reached_modes,
    with_interval,
)
from components.evaluate.image.options import EvaluateImageOptions
from components.evaluate.image.pictures import Images, thumbnails
from components.evaluate.intervals import Estimate, mean, wilson

Floats = npt.NDArray[np.float64]
_DISTANCES: dict[str, tuple[Distance, str]] = {
    "frechet_distance": (frechet, "Fréchet distance"),
    "kernel_distance": (kernel, "Kernel distance"),
}
_MODES = 100
_RESAMPLES = 1000  # Of a mean, which costs nothing.


@dataclasses.dataclass(frozen=True)
class Looked:
    """Images as the judge sees them.

    Attributes:
        images: uint8 [rows, height, width, channels].
        labels: int32 [rows], their classes, -1 where they have none.
        features: float64 [rows, features].
        seen: int32 [rows], the classes that the judge sees; None without classes.
    """

    images: Images
    labels: Labels
    features: Floats
    seen: Labels | None

    @classmethod
    def by(cls, judge: Judge, images: Images, labels: Labels) -> Looked:
        """Has the judge look at images."""
        features, seen = judge.look(images)
        return cls(images, labels, features, seen)

    @property
    def recognized(self) -> npt.NDArray[np.bool_] | None:
        """Which are seen as what they are meant to be."""
        return None if self.seen is None else self.seen == self.labels


def distances(
    made: Looked, real: Looked, options: EvaluateImageOptions, prefix: str = "", of: str = ""
) -> dict[str, Figure]:
    """Distances, precision and recall of images against real ones.

    Args:
        made: what is judged.
        real: held-out images.
        options: neighbours, resamples, seed.
        prefix: of the figures' names, such as 'floor.'.
        of: what a report calls them, such as ', training images'.
    """
    found = {}
    for name, (measure, label) in _DISTANCES.items():
        spread = with_interval(
            measure, made.features, real.features, options.resamples, options.seed
        )
        found[name] = Figure(
            spread.value, spread.low, spread.high, len(made.images), better="lower",
            label=f"{label}{of}",
        )  # fmt: skip
    inside = covered(made.features, real.features, options.neighbours)
    reached = covered(real.features, made.features, options.neighbours)
    for name, hits, label in (
        ("precision", inside, "Precision: samples that lie among real images"),
        ("recall", reached, "Recall: real images that lie among samples"),
    ):
        found[name] = share(wilson(int(hits.sum()), len(hits)), "higher", f"{label}{of}")
    modes = wilson(*reached_modes(made.features, real.features, _MODES, options.seed))
    found["mode_coverage"] = share(modes, "higher", f"Modes of real images that are reached{of}")
    if made.recognized is not None:
        hits = made.recognized
        found["conditional_accuracy"] = share(
            wilson(int(hits.sum()), len(hits)), "higher", f"Recognized as their class{of}"
        )
    return {f"{prefix}{name}": figure for name, figure in found.items()}


def differences(
    ours: Looked, theirs: Looked, real: Looked, options: EvaluateImageOptions
) -> dict[str, Figure]:
    """Model minus champion over the same classes and seeds, as `NAME_minus_champion`.

    Args:
        ours, theirs: images of the model and of the champion, paired by row.
        real: held-out images.
        options: resamples, seed.
    """
    found = {}
    for name, (measure, label) in _DISTANCES.items():
        spread = difference(
            measure, ours.features, theirs.features, real.features, options.resamples, options.seed
        )
        found[f"{name}_minus_champion"] = Figure(
            spread.value, spread.low, spread.high, len(ours.images), better="lower",
            label=f"{label} minus the champion's",
        )  # fmt: skip
    if ours.recognized is not None and theirs.recognized is not None:
        gaps = ours.recognized.astype(float) - theirs.recognized.astype(float)
        gap = mean(gaps.tolist(), _RESAMPLES, options.seed)
        # No share: it may be negative.
        found["conditional_accuracy_minus_champion"] = Figure(
            gap.value, gap.low, gap.high, gap.clusters, better="higher",
            label="Recognized as their class, minus the champion's",
        )  # fmt: skip
    return found


def share(found: Estimate, better: str, label: str) -> Figure:
    """A share as a figure."""
    return Figure(found.value, found.low, found.high, found.clusters, "share", better, label)


@dataclasses.dataclass(frozen=True)
class Copies:
    """How close images lie to training images.

    Attributes:
        places: int64 [rows], the nearest training image of each.
        distances: float64 [rows], to it, between thumbnails.
        copied: bool [rows], whether it is nearer than that training image's own nearest one.
    """

    places: npt.NDArray[np.int64]
    distances: Floats
    copied: npt.NDArray[np.bool_]


def copies(images: Images, training: Images) -> Copies:
    """Compares images with the training images by their thumbnails.

    An image nearer to a training image than any other training image is, is suspiciously close
    (the authenticity of Alaa et al., 2022, turned about). Held-out images give the usual share.

    Args:
        images, training: uint8 [rows, height, width, channels].
    """
    small = thumbnails(training)
    places, gaps = nearest(thumbnails(images), small)
    chosen, back = np.unique(places, return_inverse=True)
    _, own = nearest(small[chosen], small, skip_itself=True)
    return Copies(places, gaps, gaps < own[back])


def copy_figures(ours: Copies, usual: Copies) -> dict[str, Figure]:
    """The share of suspiciously close images, beside that of held-out images."""
    figures = {}
    for prefix, found, of in (("", ours, ""), ("floor.", usual, ", held-out images")):
        hits = int(found.copied.sum())
        figures[f"{prefix}nearest_train"] = share(
            wilson(hits, len(found.copied)),
            "lower" if not prefix else "",
            f"Nearer to a training image than training images are to each other{of}",
        )
    return figures


def yardsticks(
    judge: Judge,
    data: Real,
    real: Looked,
    seen: npt.NDArray[np.int64],
    options: EvaluateImageOptions,
) -> dict[str, Figure]:
    """The best to hope for, training images against held-out ones, and the naive baseline.

    Args:
        judge: the classifier.
        data: real images.
        real: the held-out ones as the judge sees them.
        seen: int64 [rows], the training images that the judge learned from. It knows these too
            well: others are taken where there are enough.
        options: neighbours, resamples, seed.
    """
    count = len(data.held_out)
    order = np.random.default_rng(options.seed + 1).permutation(len(data.training))
    fresh = order[~np.isin(order, seen)]
    rows = (fresh if len(fresh) >= count else order)[:count]
    floor = Looked.by(judge, data.training[rows], data.train_labels[rows])
    blurred = naive(data.held_out_labels, data.training, data.train_labels, options.seed)
    baseline = Looked.by(judge, blurred, data.held_out_labels)
    return {
        **distances(floor, real, options, "floor.", ", training images"),
        **distances(baseline, real, options, "baseline.", ", mean image of the class with noise"),
    }


def naive(labels: Labels, training: Images, train_labels: Labels, seed: int) -> Images:
    """The baseline: the mean image of the class with the class's own pixel noise.

    Args:
        labels: int32 [rows], of the images wanted; -1 for no class.
        training: uint8 [rows, height, width, channels].
        train_labels: int32 [rows].
        seed: of the noise.
    """
    generator = np.random.default_rng(seed)
    made = np.empty((len(labels), *training.shape[1:]), np.uint8)
    for label in np.unique(labels):
        members = training[train_labels == label]
        members = members if len(members) else training
        rows = labels == label
        noise = generator.normal(size=(int(rows.sum()), *training.shape[1:]))
        drawn = members.mean(axis=0) + noise * members.std(axis=0)
        made[rows] = np.clip(np.rint(drawn), 0, 255)
    return made


def recognition(made: Looked, real: Looked, names: Sequence[str]) -> dict[str, Figure]:
    """How often the judge is right on held-out images, and on samples beside that.

    Args:
        made, real: samples and held-out images.
        names: of the classes.

    Returns:
        `classifier_accuracy`, `conditional_accuracy_ratio`, and `conditional_accuracy.CLASS`;
        nothing for images without classes.
    """
    if real.recognized is None or made.recognized is None:
        return {}
    usual = wilson(int(real.recognized.sum()), len(real.images))
    ours = wilson(int(made.recognized.sum()), len(made.images))
    # Held-out images have an error of their own, but it is the classifier's, and shared.
    scale = 1 / max(usual.value, 1e-9)
    low, high = (None if end is None else end * scale for end in (ours.low, ours.high))
    found = {
        "classifier_accuracy": share(usual, "", "Held-out images that the classifier recognizes"),
        "conditional_accuracy_ratio": Figure(
            ours.value * scale, low, high, len(made.images), "ratio", "higher",
            "Recognized as their class, over held-out images",
        ),
    }  # fmt: skip
    for name, estimate in by_class(made, names).items():
        found[f"conditional_accuracy.{slug(name)}"] = share(
            estimate, "higher", f"Recognized as {name}"
        )
    return found


def slug(name: str) -> str:
    """A class's name as part of a figure's: letters, digits and _ only."""
    return re.sub(r"\W+", "_", name).strip("_") or "_"


def by_class(looked: Looked, names: Sequence[str]) -> dict[str, Estimate]:
    """For each class the share of its images that the judge sees as it."""
    found: dict[str, Estimate] = {}
    if looked.recognized is None:
        return found
    for place, name in enumerate(names):
        members = looked.recognized[looked.labels == place]
        if len(members):
            found[name] = wilson(int(members.sum()), len(members))
    return found

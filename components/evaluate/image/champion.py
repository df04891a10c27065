"""The version now served, judged by the same classifier, classes and seeds as the new model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from components.artifacts import Figure, Published, saved_model_digest
from components.evaluate.image.classifier import Judge
from components.evaluate.image.data import Labels
from components.evaluate.image.measure import Looked, differences, distances
from components.evaluate.image.options import EvaluateImageOptions
from components.evaluate.image.pictures import decode
from components.evaluate.image.served_images import ServedImages


@dataclasses.dataclass(frozen=True)
class Champion:
    """What was measured of the version now served.

    Attributes:
        version: its number.
        model_digest: of its SavedModel.
        figures: its own, named as the new model's are.
        differences: new model minus champion, as `NAME_minus_champion`.
        made: what it drew.
    """

    version: int
    model_digest: str
    figures: dict[str, Figure]
    differences: dict[str, Figure]
    made: Looked


def judge_champion(
    path: Path,
    judge: Judge,
    made: Looked,
    real: Looked,
    wanted: Sequence[str],
    labels: Labels,
    options: EvaluateImageOptions,
) -> Champion:
    """Draws with the published version and compares.

    A class that it does not know is left to it, and counts as not recognized.

    Args:
        path: folder of the published version.
        judge: the classifier.
        made: what the new model drew.
        real: held-out images.
        wanted, labels: the classes asked for, by name and by id.
        options: resamples, neighbours, seed.

    Raises:
        ModelError: it is not a readable SavedModel, or refuses.
    """
    served = ServedImages(path)
    known = [label if label in served.labels or not served.labels else "" for label in wanted]
    drawn = served.draw(known, "draw with the champion")
    looked = Looked.by(judge, decode(drawn.files, real.images.shape[1:]), labels)
    return Champion(
        Published(path).version if path.name.isdecimal() else 0,
        saved_model_digest(path),
        distances(looked, real, options),
        differences(made, looked, real, options),
        looked,
    )

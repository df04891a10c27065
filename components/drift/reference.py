"""What a run leaves of its training data, so that later ones can tell whether that moved."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.drift.domain import MOST_ROWS
from components.drift.sides import Descriptor, Measured, Side
from components.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# More rows would make models heavy and hardly sharpen a comparison.
ROWS = 5000
_METADATA = b"loomline"
_MEASURE = "measure."


@dataclasses.dataclass(frozen=True)
class Reference:
    """Measured training rows of an earlier run.

    Attributes:
        side: the rows.
        details: `modality`, `rows` (of the whole split), `snapshot_digest`, `first_time` and
            `last_time` of the era, and of images `shape` (height, width, channels).
        label: what it is called, such as 'version 3'.
    """

    side: Measured
    details: Mapping[str, Any]
    label: str = "an earlier run"


def write_reference(path: Path, side: Side, details: Mapping[str, Any]) -> None:
    """Writes the first rows of a side as Parquet; no text, picture or id is in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = min(side.rows, ROWS)
    columns: dict[str, Any] = {}
    for descriptor, values in zip(side.descriptors, side.columns, strict=True):
        kind = pa.string() if descriptor.categorical else pa.float64()
        columns[_MEASURE + descriptor.name] = pa.array(values[:rows], kind)
    if len(side.owners):
        columns["owner"] = pa.array(_digests(side.owners[:rows]), pa.string())
    if len(side.times):
        columns["time"] = pa.array(list(side.times[:rows]), pa.string())
    if side.features is not None:
        taken = side.features[: min(rows, MOST_ROWS)]
        lists = [list(map(float, row)) for row in taken.astype("float32")]
        columns["features"] = pa.array(
            [*lists, *[None] * (rows - len(lists))], pa.list_(pa.float32())
        )
    told = {
        "details": dict(details),
        "descriptors": [dataclasses.asdict(descriptor) for descriptor in side.descriptors],
    }
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(told)})
    pq.write_table(table, path, compression="zstd")


def read_reference(path: Path, label: str) -> Reference:
    """Reads what `write_reference` wrote.

    Raises:
        DataError: the file cannot be read, or is another one.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        told = json.loads((table.schema.metadata or {})[_METADATA])
        descriptors = tuple(Descriptor(**fields) for fields in told["descriptors"])
        columns = [_values(table, descriptor) for descriptor in descriptors]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"expected the reference of {label} at {path}. Received: {' '.join(str(error).split())}"
        ) from None
    features = None
    if "features" in table.column_names:
        lists = table.column("features").drop_null().to_pylist()
        features = np.array(lists, np.float64).reshape(len(lists), -1)
    owners, times = (
        table.column(name).to_pylist() if name in table.column_names else ()
        for name in ("owner", "time")
    )
    return Reference(
        Measured(descriptors, columns, features, times=times, owners=owners),
        told["details"],
        label,
    )


def _digests(owners: Sequence[str]) -> list[str]:
    """Names under which a document is known again, and by which it cannot be found."""
    return [hashlib.sha256(owner.encode()).hexdigest()[:16] for owner in owners]


def _values(table: pa.Table, descriptor: Descriptor) -> Any:
    import numpy as np

    column = table.column(_MEASURE + descriptor.name)
    if descriptor.categorical:
        return np.array(column.to_pylist(), object)
    return column.to_numpy().astype(np.float64)


def in_common(
    earlier: Measured, now: Side, skip: frozenset[str] = frozenset()
) -> tuple[Measured, Measured, list[str]]:
    """Both sides in the measures that they share, and one line for each that they do not.

    Args:
        earlier, now: the training rows of two runs.
        skip: names of measures that cannot be compared across runs.

    Returns:
        The sides, without features; and what is new, gone, or of another type.
    """
    sides = (earlier, now)
    places = [{each.name: place for place, each in enumerate(side.descriptors)} for side in sides]
    shared, notes = [], []
    for name in {**places[0], **places[1]}:
        if name in skip:
            continue
        if name not in places[0]:
            notes.append(f"{name} is new")
            continue
        if name not in places[1]:
            notes.append(f"{name} is gone")
            continue
        kinds = [
            "categories" if side.descriptors[at[name]].categorical else "numbers"
            for side, at in zip(sides, places, strict=True)
        ]
        if kinds[0] != kinds[1]:
            notes.append(f"{name} was {kinds[0]} and is {kinds[1]}")
        else:
            shared.append(name)
    one, two = (
        Measured(
            tuple(now.descriptors[places[1][name]] for name in shared),
            [side.columns[at[name]] for name in shared],
            times=side.times,
            owners=side.owners if side is earlier else _digests(side.owners),
        )
        for side, at in zip(sides, places, strict=True)
    )
    return one, two, notes

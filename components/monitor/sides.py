"""What was asked and answered in a window, and in the reference, as sides of a comparison."""

from __future__ import annotations

import base64
import heapq
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import TEXT, ServingLog
from components.drift.domain import table_features
from components.drift.sides import Descriptor, Measured, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROMPT = "prompt"
OUTPUT = "output"
# Fewer requests on a side, and no comparison tells anything.
FEWEST = 20
# What draws at random is not what people ask for.
_PASSED_OVER = frozenset({"seed", "n", "finish_reason", "logprob", "num_tokens"})
_MOST_CATEGORIES = 50
_MISSING = "(missing)"
_ROWS_OF_A_REQUEST = 20

Row = tuple[str, str, Mapping[str, Any], Mapping[str, Any]]
Pair = tuple[Side, Side]


def sides(log: ServingLog, modality: str, most: int) -> tuple[dict[str, Pair], dict[str, str]]:
    """Measures prompts (or what else was asked for) and outputs.

    Args:
        log: the window and its reference.
        modality: of the model.
        most: requests of a side at most, those with the smallest digests of their ids.

    Returns:
        `prompt` and `output` -> reference and window; and for those that cannot be compared, why.
    """
    before = _choose(log, log.reference_path, most)
    after = _choose(log, log.requests_path, most)
    found: dict[str, Pair] = {}
    missing: dict[str, str] = {}
    for name in (PROMPT, OUTPUT):
        make = _texts if modality == TEXT else _columns
        pair = make(before, after, name)
        if isinstance(pair, str):
            missing[name] = pair
        else:
            found[name] = pair
    return found, missing


def _choose(log: ServingLog, path: Path, most: int) -> list[Row]:
    """At most so many requests that were answered; memory grows with their number alone."""

    def rows() -> Iterator[tuple[int, str, str, str, str]]:
        columns = ["id", "created", "inputs", "outputs", "status"]
        for batch in log.batches(path, columns, batch_size=1024):
            for row in batch.to_pylist():
                if row["status"] == "ok":
                    time = f"{row['created']:%Y-%m-%d %H:%M}"
                    digest = zlib.crc32(row["id"].encode())
                    yield digest, row["id"], time, row["inputs"] or "{}", row["outputs"] or "{}"

    chosen = heapq.nsmallest(most, rows(), key=lambda row: row[:2])
    return [
        (name, time, json.loads(inputs), json.loads(outputs))
        for _, name, time, inputs, outputs in chosen
    ]


def _too_few(before: int, after: int) -> str | None:
    if after < FEWEST:
        return f"{after} requests of the window have it, and {FEWEST} are needed"
    if before < FEWEST:
        return (
            f"the reference has {before} requests, and {FEWEST} are needed: the first ones that "
            "the version answers become the reference of later windows"
        )
    return None


def _texts(before: Sequence[Row], after: Sequence[Row], name: str) -> Pair | str:
    from components.drift.texts import Text, Vocabulary
    from components.monitor.request_texts import of_requests

    def texts(rows: Sequence[Row]) -> list[Text]:
        found = []
        for key, time, inputs, outputs in rows:
            text = inputs.get("prompt") if name == PROMPT else outputs.get("text")
            if isinstance(text, str):
                found.append(Text(key, key, text, time))
        return found

    reference, window = texts(before), texts(after)
    problem = _too_few(len(reference), len(window))
    if problem:
        return problem
    vocabulary = Vocabulary(reference)
    return of_requests(vocabulary.measure(reference)), of_requests(vocabulary.measure(window))


def _columns(before: Sequence[Row], after: Sequence[Row], name: str) -> Pair | str:
    flat = [
        _records([(row[1], row[2] if name == PROMPT else row[3]) for row in rows])
        for rows in (before, after)
    ]
    problem = _too_few(len(flat[0]), len(flat[1]))
    if problem:
        return problem
    names = sorted({key for side in flat for _, record in side for key in record})
    descriptors: list[Descriptor] = []
    columns: list[list[NDArray[Any]]] = [[], []]
    for key in names:
        values = [[record.get(key) for _, record in side] for side in flat]
        encoded = _encoded(key, values)
        if encoded is None:
            continue
        descriptors.append(encoded[0])
        for side, column in zip(columns, encoded[1], strict=True):
            side.append(column)
    if not descriptors:
        return "all values are missing"
    features = table_features(descriptors, columns[0], columns[1])
    reference, window = (
        Measured(descriptors, side, part, times=[time for time, _ in records])
        for side, part, records in zip(columns, features, flat, strict=True)
    )
    return reference, window


def _records(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """One record for each row or image that a request is about, with the request's time."""
    found = []
    for time, content in rows:
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        single = {key: value for key, value in content.items() if not isinstance(value, list)}
        count = max(map(len, lists.values()), default=1)
        for number in range(min(count, _ROWS_OF_A_REQUEST)):
            record = {key: value[number] for key, value in lists.items() if number < len(value)}
            found.append((time, _flat({**single, **record})))
    return found


def _flat(content: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{start}{key}"
        if key in _PASSED_OVER:
            continue
        if isinstance(value, Mapping):
            if "b64" in value or "sha256" in value:
                found |= _of_file(name, value)
            else:
                found |= _flat(value, f"{name}.")
        elif isinstance(value, str | int | float | bool):
            found[name] = value
    return found


def _of_file(name: str, value: Mapping[str, Any]) -> dict[str, float]:
    """Measures of an image as it was recorded; of one that was not, its size alone."""
    if "b64" not in value:
        size = value.get("bytes")
        return {f"{name} bytes": float(size)} if isinstance(size, int) else {}
    import io

    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        data = base64.b64decode(str(value["b64"]))
        with Image.open(io.BytesIO(data)) as image:
            grey = np.asarray(image.convert("L"), np.float64) / 255
    except (ValueError, OSError, UnidentifiedImageError):
        return {}
    return {
        f"{name} bytes": float(len(data)),
        f"{name} brightness": float(grey.mean()),
        f"{name} contrast": float(grey.std()),
        f"{name} edges": float(np.abs(np.diff(grey, axis=1)).mean()) if grey.shape[1] > 1 else 0.0,
    }


def _encoded(
    name: str, values: Sequence[Sequence[Any]]
) -> tuple[Descriptor, list[NDArray[Any]]] | None:
    """A column of numbers or of categories; None where every value is missing."""
    import numpy as np

    known = [value for side in values for value in side if value is not None]
    if not known:
        return None
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return Descriptor(name, name, digits=3), [
            np.array([np.nan if one is None else float(one) for one in side]) for side in values
        ]
    if len({str(value) for value in known}) > _MOST_CATEGORIES:
        return Descriptor(f"{name} length", f"characters of {name}"), [
            np.array([np.nan if one is None else float(len(str(one))) for one in side])
            for side in values
        ]
    return Descriptor(name, name, categorical=True), [
        np.array([_MISSING if one is None else str(one) for one in side], object) for side in values
    ]

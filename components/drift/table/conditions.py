"""What users set conditions on, beside the values that training rows have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.drift.requests import Request
from components.drift.sides import Measured
from components.errors import DataError
from components.table_schema import DATETIME, Column

if TYPE_CHECKING:
    import pyarrow as pa


def asked(
    training: pa.Table, requests: Sequence[Request], columns: tuple[Column, ...]
) -> tuple[Measured, Measured]:
    """What users set conditions on, beside the values that training rows have.

    Args:
        training: rows.
        requests: with `conditions` ('origin=JFK'), or an input for each column.
        columns: of the table.

    Raises:
        DataError: no request has a condition on a column that is compared.
    """
    import numpy as np

    # Here, because the sides take what users asked for from this module.
    from components.drift.table.sides import measures_of

    conditions = [_conditions(request) for request in requests]
    descriptors, before, after = [], [], []
    for column in columns:
        values = [given.get(column.name) for given in conditions]
        if column.kind == DATETIME or all(value is None for value in values):
            continue
        descriptor, known, _ = next(iter(measures_of(column, training, training.slice(0, 0))))
        descriptors.append(descriptor)
        before.append(known)
        if descriptor.categorical:
            after.append(np.array([value and str(value) for value in values], object))
        else:
            after.append(np.array([_number(value) for value in values], np.float64))
    if not descriptors:
        names = ", ".join(column.name for column in columns)
        raise DataError(
            f"drift.prompts: expected requests with conditions on {names}. Received: none among "
            f"{len(requests)}"
        )
    times = [request.time for request in requests]
    return Measured(descriptors, before), Measured(descriptors, after, times=times)


def _conditions(request: Request) -> dict[str, Any]:
    """Column -> the value that was asked for."""
    found = {name: value for name, value in request.inputs.items() if name != "conditions"}
    for condition in request.values("conditions"):
        name, equals, value = str(condition).partition("=")
        if equals:
            found[name.strip()] = value.strip()
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")

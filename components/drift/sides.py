"""What a comparison is made of: descriptors, and the rows that they were measured on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """A measure of single rows.

    Attributes:
        name: column name, as figures have it.
        label: what a report calls it.
        percent: whether it is a share, shown in percent.
        categorical: whether its values are categories and not numbers.
        digits: decimal places that a person sees.
        dated: whether its numbers are seconds since 1970, shown as a date.
    """

    name: str
    label: str
    percent: bool = False
    categorical: bool = False
    digits: int = 1
    dated: bool = False

    def shown(self, value: float) -> str:
        """The value as a person reads it; for categories, the share of one of them."""
        if value != value:
            return "none"
        if self.dated:
            import datetime as dt

            moment = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=value)
            return moment.isoformat(" ", "minutes").removesuffix("+00:00")
        if self.percent or self.categorical:
            return f"{100 * value:.1f}%"
        return f"{value:.{self.digits}f}"


def has_value(descriptor: Descriptor, column: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows have a value: a number that is finite, or a category that is not None."""
    import numpy as np

    if not descriptor.categorical:
        return np.asarray(np.isfinite(column), bool)
    if column.dtype != object:
        return np.ones(len(column), bool)
    return np.asarray(column != None, bool)  # noqa: E711 - of each value


class Side(Protocol):
    """Measured rows of one side of a comparison; both sides have the same descriptors."""

    @property
    def descriptors(self) -> Sequence[Descriptor]:
        """What was measured."""

    @property
    def columns(self) -> Sequence[NDArray[Any]]:
        """For each descriptor [rows]: float64, NaN where missing, or categories as str."""

    @property
    def owners(self) -> Sequence[str]:
        """What each row belongs to, where rows of one owner resemble each other; else empty."""

    @property
    def times(self) -> Sequence[str]:
        """Of each row its date (ISO 8601), '' where unknown; empty where none is known."""

    @property
    def features(self) -> NDArray[np.float64] | None:
        """[rows, features] for the classifier that tells the sides apart; None for no such test."""

    @property
    def rows(self) -> int:
        """How many rows were measured."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """A side that is given by its columns, such as that of images or of a table.

    Attributes:
        descriptors: what was measured.
        columns: for each descriptor [rows]: float64, NaN where missing, or for a categorical one
            str (object), where a missing value is a category of its own; None is no value.
        features: float64 [rows, features], without NaN: what a classifier tells the sides apart
            by. None for no such test.
        examples: a few rows as a person may look at them, such as images.
        times, owners: see `Side`.
    """

    descriptors: Sequence[Descriptor]
    columns: Sequence[NDArray[Any]]
    features: NDArray[np.float64] | None = None
    examples: Sequence[Any] = ()
    times: Sequence[str] = ()
    owners: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuses columns that do not fit together."""
        lengths = {len(column) for column in self.columns}
        if len(self.columns) != len(self.descriptors) or len(lengths) > 1:
            raise ValueError(
                f"expected a column for each of {len(self.descriptors)} descriptors, all of the "
                f"same length. Received: {len(self.columns)} of {sorted(lengths)} rows"
            )

    @property
    def rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0


@dataclasses.dataclass(frozen=True)
class Sides:
    """What a modality measured.

    Attributes:
        pairs: name of a comparison (`data`, `prompt`, `output`, `reference`) -> both sides.
        training: the training rows, in the form in which later runs compare theirs with them.
        details: of them, what makes measures comparable, such as the shape of images.
        notes: comparison -> what its columns cannot show, in lines.
    """

    pairs: Mapping[str, tuple[Side, Side]]
    training: Side
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

"""Evidently's drift methods as functions of two columns, and its own report over many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.drift.sides import Descriptor, Side
from components.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What scores categories where the chosen method is for numbers only: a distance or a p-value.
_CATEGORIES = {False: "jensenshannon", True: "chisquare"}


class Scorer:
    """A drift method: `score` compares two columns.

    Attributes:
        falling: whether a smaller score means more drift, as with p-values.
        methods: Evidently's method for numbers (False) and for categories (True).
    """

    def __init__(self, method: str) -> None:
        """Finds the method.

        Raises:
            ConfigError: Evidently has no such method for numbers.
        """
        import numpy as np
        from evidently.legacy.calculations.stattests import registry
        from evidently.legacy.core import ColumnType

        self._numeric, self._categorical = ColumnType.Numerical, ColumnType.Categorical
        known = registry._registered_stat_tests
        try:
            number = registry.get_registered_stattest(method, self._numeric)
        except ValueError:  # Evidently's own errors for unknown and unsuitable methods.
            accepted = ", ".join(sorted(name for name in known if self._numeric in known[name]))
            raise ConfigError(
                f"drift.method: no such method for numbers. Received: {method!r}. "
                f"Accepted: {accepted}"
            ) from None
        self._tests = {False: number}
        near = np.random.default_rng(0).normal(size=(2, 200))
        plain = Descriptor("", "")
        self.falling = False
        self.falling = self.score(plain, near[0], near[1]) > self.score(plain, near[0], near[1] + 5)
        both = self._categorical in known.get(method, {})
        self.methods = {False: method, True: method if both else _CATEGORIES[self.falling]}
        self._tests[True] = registry.get_registered_stattest(self.methods[True], self._categorical)

    @property
    def _none(self) -> float:
        """The score of two columns that are alike."""
        return 1.0 if self.falling else 0.0

    def score(
        self, descriptor: Descriptor, reference: NDArray[Any], current: NDArray[Any]
    ) -> float:
        """Compares two columns, what is missing left out.

        Returns:
            The score; NaN where one of them alone has no value.
        """
        import pandas as pd

        before, after = present(descriptor, reference), present(descriptor, current)
        certain = self._certain(before, after)
        if certain is not None:
            return certain
        kind = self._categorical if descriptor.categorical else self._numeric
        return float(
            self._tests[descriptor.categorical](
                reference_data=pd.Series(before),
                current_data=pd.Series(after),
                feature_type=kind,
                threshold=None,
            ).drift_score
        )

    def _certain(self, before: NDArray[Any], after: NDArray[Any]) -> float | None:
        """The score of what Evidently cannot judge: no values, or the same one throughout."""
        if not len(before) or not len(after):
            return self._none if len(before) == len(after) else float("nan")
        if before[0] == after[0] and (before == before[0]).all() and (after == after[0]).all():
            return self._none  # The same constant on both sides is no drift.
        return None

    def report(
        self,
        sides: Mapping[str, tuple[Side, Side]],
        limits: Mapping[str, Sequence[float]],
        details: Path,
    ) -> dict[str, list[float]]:
        """Runs Evidently once over all comparisons, each column with its limit; saves its page.

        Returns:
            Comparison -> the score of each of its columns.
        """
        from evidently import Report
        from evidently.metrics import ValueDrift

        scores: dict[str, list[float]] = {}
        judged: list[tuple[str, int]] = []
        for name, (reference, current) in sides.items():
            scores[name] = []
            for place, descriptor in enumerate(reference.descriptors):
                before = present(descriptor, reference.columns[place])
                after = present(descriptor, current.columns[place])
                certain = self._certain(before, after) if not (len(before) and len(after)) else None
                scores[name].append(float("nan") if certain is None else certain)
                if certain is None:
                    judged.append((name, place))
        metrics = [
            ValueDrift(
                column=_title(sides, name, place),
                method=self.methods[sides[name][0].descriptors[place].categorical],
                threshold=limits[name][place],
            )
            for name, place in judged
        ]
        result = Report(metrics).run(
            current_data=_dataset(sides, judged, 1), reference_data=_dataset(sides, judged, 0)
        )
        result.save_html(str(details))
        for (name, place), metric in zip(judged, result.dict()["metrics"], strict=True):
            scores[name][place] = float(metric["value"])
        return scores


def present(descriptor: Descriptor, column: NDArray[Any]) -> NDArray[Any]:
    """The values that are there; a missing category is a category."""
    import numpy as np

    return column if descriptor.categorical else column[np.isfinite(column)]


def _title(sides: Mapping[str, tuple[Side, Side]], name: str, place: int) -> str:
    return f"{name}: {sides[name][0].descriptors[place].label}"


def _dataset(
    sides: Mapping[str, tuple[Side, Side]], judged: Sequence[tuple[str, int]], which: int
) -> Any:
    """The judged columns of all references (0) or all current sides (1) as Evidently's dataset."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    columns: list[Any] = []
    numbers: list[str] = []
    categories: list[str] = []
    for name, place in judged:
        side = sides[name][which]
        title = _title(sides, name, place)
        (categories if side.descriptors[place].categorical else numbers).append(title)
        columns.append(pd.Series(side.columns[place], name=title))
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    # The comparisons have different numbers of rows; Evidently leaves out the padding.
    return Dataset.from_pandas(pd.concat(columns, axis=1), data_definition=definition)

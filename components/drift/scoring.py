"""Evidently's drift methods as functions of two columns, and its own report over many."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.drift.domain import THRESHOLD
from components.drift.options import DOMAIN_CLASSIFIER, EMBEDDING, ColumnChoice, DriftOptions
from components.drift.sides import Descriptor, Side, has_value
from components.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What scores categories where the chosen method is for numbers only: a distance or a p-value.
_CATEGORIES = {False: "jensenshannon", True: "chisquare"}
# The one method whose scores are standard deviations.
_IN_DEVIATIONS = "wasserstein"


class Method:
    """One of Evidently's drift methods, for numbers or for categories.

    Attributes:
        name: as Evidently calls it.
        categorical: which of the two it is for.
        falling: whether a smaller score means more drift, as with p-values.
        threshold: Evidently's own.
    """

    def __init__(self, name: str, categorical: bool, where: str) -> None:
        """Finds the method.

        Args:
            name: of the method.
            categorical: whether it is for categories.
            where: the option that named it.

        Raises:
            ConfigError: Evidently has no such method.
        """
        import numpy as np
        from evidently.legacy.calculations.stattests import registry
        from evidently.legacy.core import ColumnType

        self.name, self.categorical = name, categorical
        self._kind = ColumnType.Categorical if categorical else ColumnType.Numerical
        try:
            self._test = registry.get_registered_stattest(name, self._kind)
        except ValueError:  # Evidently's own errors for unknown and unsuitable methods.
            known = registry._registered_stat_tests
            accepted = ", ".join(sorted(each for each in known if self._kind in known[each]))
            kind = "categories" if categorical else "numbers"
            raise ConfigError(
                f"{where}: no such method for {kind}. Received: {name!r}. Accepted: {accepted}"
            ) from None
        self.threshold = float(self._test.default_threshold)
        draws = np.random.default_rng(0)
        near: NDArray[Any] = draws.normal(size=(2, 200))
        far: NDArray[Any] = draws.normal(5, size=200)
        if categorical:
            near = draws.integers(0, 2, (2, 200)).astype(str)
            far = (draws.random(200) < 0.95).astype(int).astype(str)
        self.falling = False
        self.falling = self.score(near[0], near[1]) > self.score(near[0], far)

    @property
    def _none(self) -> float:
        """The score of two columns that are alike."""
        return 1.0 if self.falling else 0.0

    def score(self, before: NDArray[Any], after: NDArray[Any]) -> float:
        """Compares two columns, without missing values.

        Returns:
            The score; NaN where one of them alone has no value.
        """
        import pandas as pd

        certain = self.certain(before, after)
        if certain is not None:
            return certain
        return float(
            self._test(
                reference_data=pd.Series(before),
                current_data=pd.Series(after),
                feature_type=self._kind,
                threshold=None,
            ).drift_score
        )

    def certain(self, before: NDArray[Any], after: NDArray[Any]) -> float | None:
        """The score of what Evidently cannot judge: no values, or the same one throughout."""
        if not len(before) or not len(after):
            return self._none if len(before) == len(after) else float("nan")
        if before[0] == after[0] and (before == before[0]).all() and (after == after[0]).all():
            return self._none  # The same constant on both sides is no drift.
        return None


class Scorer:
    """Chooses each column's method and threshold, and scores.

    Attributes:
        domain_threshold: of the classifier that judges all columns at once.
    """

    def __init__(self, options: DriftOptions) -> None:
        """Finds the methods that are for all columns.

        Raises:
            ConfigError: Evidently has no such method for numbers, or an entry for the classifier
                is for a column, or the other way round.
        """
        number = Method(options.method, False, "drift.method")
        threshold = options.threshold
        try:
            category = Method(options.method, True, "drift.method")
        except ConfigError:
            category = Method(_CATEGORIES[number.falling], True, "drift.method")
            if number.name == _IN_DEVIATIONS:
                threshold = of_categories(threshold)
        self._common = {False: (number, options.threshold), True: (category, threshold)}
        self._own: dict[tuple[str, bool], Method] = {}
        self._columns = [
            (place, entry)
            for place, entry in enumerate(options.columns)
            if not _of_the_classifier(place, entry)
        ]
        chosen = [
            entry.threshold
            for place, entry in enumerate(options.columns)
            if _of_the_classifier(place, entry)
        ]
        self.domain_threshold = (chosen[0] if chosen else None) or THRESHOLD

    def chosen(self, descriptor: Descriptor) -> tuple[Method, float]:
        """The method of a column, and the score at which it counts as drifted.

        Raises:
            ConfigError: the one that was chosen for it is not for such columns.
        """
        common, threshold = self._common[descriptor.categorical]
        for place, entry in self._columns:
            if not fnmatch.fnmatchcase(descriptor.name, entry.column):
                continue
            if not entry.method:
                return common, entry.threshold or threshold
            key = (entry.method, descriptor.categorical)
            if key not in self._own:
                where = f"drift.columns.{place} ({descriptor.name})"
                self._own[key] = Method(*key, where)
            return self._own[key], entry.threshold or self._own[key].threshold
        return common, threshold

    def check(self, descriptors: Iterable[Descriptor]) -> None:
        """Whether every choice is for some column.

        Raises:
            ConfigError: one is for none.
        """
        names = sorted({descriptor.name for descriptor in descriptors})
        for place, entry in self._columns:
            if not fnmatch.filter(names, entry.column):
                raise ConfigError(
                    f"drift.columns.{place}: expected the name of a measure. Received: "
                    f"{entry.column!r}. Accepted: {', '.join([*names, EMBEDDING])}"
                )

    def score(
        self, descriptor: Descriptor, reference: NDArray[Any], current: NDArray[Any]
    ) -> float:
        """Compares two columns by their method, what is missing left out.

        Returns:
            The score; NaN where one of them alone has no value.
        """
        method, _ = self.chosen(descriptor)
        return method.score(present(descriptor, reference), present(descriptor, current))

    def scores(self, sides: Mapping[str, tuple[Side, Side]]) -> dict[str, list[float]]:
        """Comparison -> the score of each of its columns, as `report` gives them."""
        return {
            name: [
                self.score(descriptor, before, after)
                for descriptor, before, after in zip(
                    pair[0].descriptors, pair[0].columns, pair[1].columns, strict=True
                )
            ]
            for name, pair in sides.items()
        }

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
                method, _ = self.chosen(descriptor)
                certain = (
                    method.certain(before, after) if not (len(before) and len(after)) else None
                )
                scores[name].append(float("nan") if certain is None else certain)
                if certain is None:
                    judged.append((name, place))
        metrics = [
            ValueDrift(
                column=_title(sides, name, place),
                method=self.chosen(sides[name][0].descriptors[place])[0].name,
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


def of_categories(deviations: float) -> float:
    """The Jensen-Shannon distance of categories that lie so many standard deviations apart.

    Shares p and q with the mean m lie w = sqrt(sum((p - q)^2 / m)) apart (Cohen 1988,
    "Statistical power analysis for the behavioral sciences", chapter 7). Of a column of yes and
    no that is the difference of its shares in standard deviations, as its Wasserstein distance
    is, taken as 1 and 0. Near each other, the Jensen-Shannon distance of p and q is w / sqrt(8)
    (Endres and Schindelin 2003, "A new metric for probability distributions"). If the same number
    were the threshold of both distances, categories would have to move 2.8 times as far.
    """
    return deviations / math.sqrt(8)


def _of_the_classifier(place: int, entry: ColumnChoice) -> bool:
    """Whether an entry is about the classifier.

    Raises:
        ConfigError: it gives it another method, or gives its method to a column.
    """
    if entry.column == EMBEDDING and entry.method in ("", DOMAIN_CLASSIFIER):
        return True
    where = f"drift.columns.{place}"
    if entry.column == EMBEDDING:
        raise ConfigError(
            f"{where}: expected the method of {EMBEDDING}, {DOMAIN_CLASSIFIER}. Received: "
            f"{entry.method!r}, which is for single columns"
        )
    if entry.method == DOMAIN_CLASSIFIER:
        raise ConfigError(
            f"{where}: expected column: {EMBEDDING} for {DOMAIN_CLASSIFIER}, which judges all of a "
            f"row at once. Received: {entry.column!r}"
        )
    return False


def present(descriptor: Descriptor, column: NDArray[Any]) -> NDArray[Any]:
    """The values that are there; a missing category that has a name is a category."""
    return column[has_value(descriptor, column)]


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

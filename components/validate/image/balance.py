"""An expectation about the balance of classes; importing this module registers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnAggregateExpectation
from great_expectations.expectations.metrics.column_aggregate_metric_provider import (
    ColumnAggregateMetricProvider,
    column_aggregate_value,
)

if TYPE_CHECKING:
    import pandas as pd

# With fewer rows a class, small classes come and go by chance.
_ROWS_PER_CLASS = 50


class ColumnSmallestEvenShare(ColumnAggregateMetricProvider):  # type: ignore[misc]
    """The rows of the rarest category, as a multiple of what an even division would give it."""

    metric_name = "column.smallest_even_share"

    @column_aggregate_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series, **kwargs: Any) -> float:  # noqa: N805
        counts = column.value_counts()
        if len(column) < _ROWS_PER_CLASS * len(counts):
            return 1.0
        return float(counts.min() * len(counts) / len(column))


class ExpectColumnSmallestEvenShareToBeBetween(ColumnAggregateExpectation):  # type: ignore[misc]
    """Expects that no category is too rare: 1 means that all have the same number of rows.

    Columns of fewer than 50 rows a category are not judged, and count as even.
    """

    min_value: float | None = None
    max_value: float | None = None
    strict_min: bool = False
    strict_max: bool = False

    metric_dependencies: ClassVar[tuple[str, ...]] = ("column.smallest_even_share",)
    success_keys: ClassVar[tuple[str, ...]] = ("min_value", "max_value", "strict_min", "strict_max")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> Any:
        return self._validate_metric_value_between(
            metric_name="column.smallest_even_share",
            metrics=metrics,
            runtime_configuration=runtime_configuration,
            execution_engine=execution_engine,
        )

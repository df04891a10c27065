"""Great Expectations without a data context: suites from JSON, results shard by shard.

No context means no project on disk and nothing that could report home.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

SUITES = Path(__file__).parent / "expectations"

_EXAMPLES_KEPT = 20


def suite_path(suite: str) -> Path:
    """Finds a suite by the name of one that ships with the step, or by path.

    Raises:
        ConfigError: there is none.
    """
    shipped = SUITES / f"{suite}.json"
    if shipped.is_file():
        return shipped
    path = Path(suite)
    if path.is_file():
        return path
    known = ", ".join(sorted(each.stem for each in SUITES.glob("*.json")))
    raise ConfigError(
        f"validate.suite: expected one of {known}, or the path of a suite in JSON. "
        f"Received: {suite!r}"
    )


def read_suite(path: Path) -> dict[str, Any]:
    """Reads a suite's JSON.

    Raises:
        ConfigError: it is not JSON, or has no expectations.
    """
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"expected a suite in JSON at {path}. Received: {error}") from None
    expectations = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(expectations, list) or not expectations:
        raise ConfigError(f"expected a list 'expectations' in {path}. Received: none, or empty")
    found: dict[str, Any] = content
    return found


@dataclasses.dataclass
class Outcome:
    """What one expectation found, over all shards.

    Attributes:
        kind: the expectation's type.
        description: what it demands, in words.
        kwargs: its arguments.
        by_row: whether it judges each row; else it judges a shard as a whole.
        checked, missing, unexpected: rows. Missing ones are null and are not judged.
        observed: the value of the first shard that failed, or else of the last.
        error: why the expectation could not be evaluated, or an empty text.
        examples: `example_id` and value of the first rows that failed.
    """

    kind: str
    description: str
    kwargs: dict[str, Any]
    by_row: bool = False
    checked: int = 0
    missing: int = 0
    unexpected: int = 0
    failed_shards: int = 0
    observed: Any = None
    error: str = ""
    examples: list[tuple[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def mostly(self) -> float:
        """Least share of the judged rows that must meet the expectation."""
        return float(self.kwargs.get("mostly", 1.0))

    @property
    def share(self) -> float:
        """Share of the judged rows that met the expectation."""
        judged = self.checked - self.missing
        return (judged - self.unexpected) / judged if judged else 1.0

    @property
    def success(self) -> bool:
        """Whether it holds over all that was checked; one that could not be evaluated does not."""
        if self.error or self.failed_shards:
            return False
        return self.share >= self.mostly

    def found(self) -> str:
        """What was observed, in words."""
        if self.error:
            return f"could not be evaluated: {self.error}"
        if not self.by_row:
            return str(self.observed)
        judged = self.checked - self.missing
        return f"{self.unexpected:,} of {judged:,} rows fail ({1 - self.share:.2%})"

    def to_json(self) -> dict[str, Any]:
        """In the form of Great Expectations' own results."""
        judged = self.checked - self.missing
        rows = {
            "element_count": self.checked,
            "missing_count": self.missing,
            "unexpected_count": self.unexpected,
            "unexpected_percent": 100 * self.unexpected / judged if judged else 0.0,
            "partial_unexpected_list": [value for _, value in self.examples],
            "partial_unexpected_example_ids": [name for name, _ in self.examples],
        }
        return {
            "success": self.success,
            "expectation_config": {
                "type": self.kind,
                "kwargs": self.kwargs,
                "description": self.description,
            },
            "result": rows if self.by_row else {"observed_value": self.observed},
            "exception_info": {
                "raised_exception": bool(self.error),
                "exception_message": self.error or None,
            },
        }


class Suite:
    """An expectation suite that is applied to one data frame after another."""

    def __init__(self, path: Path) -> None:
        """Reads a suite.

        Raises:
            ConfigError: it is malformed, or names an unknown expectation or argument.
        """
        content = read_suite(path)
        import great_expectations as gx
        from great_expectations.exceptions import GreatExpectationsError

        # Makes an expectation of ours known by its name.
        importlib.import_module("components.validate.image.balance")

        # An unknown expectation is logged with a traceback and left out.
        logging.getLogger("great_expectations.core.expectation_suite").setLevel(logging.CRITICAL)
        self.name = str(content.get("name", path.stem))
        self._configurations = []
        self.outcomes = []
        for entry in content["expectations"]:
            try:
                (expectation,) = gx.ExpectationSuite(
                    name=self.name, expectations=[entry]
                ).expectations
                configuration = expectation.configuration
            except (GreatExpectationsError, ValueError, TypeError) as error:
                reason = " ".join(str(error).split()) or "no known expectation of that type"
                raise ConfigError(
                    f"expected a known expectation in {path}. "
                    f"Received: {json.dumps(entry)[:200]} ({reason[:300]})"
                ) from None
            # As the file has them: the expectation turns times into objects.
            kwargs = dict(entry["kwargs"])
            description = expectation.description or _describe(configuration.type, kwargs)
            self._configurations.append(configuration)
            self.outcomes.append(Outcome(configuration.type, description, kwargs))

    @property
    def success(self) -> bool:
        """Whether every expectation holds so far."""
        return all(outcome.success for outcome in self.outcomes)

    def check(self, frame: pd.DataFrame) -> dict[int, list[Outcome]]:
        """Applies the suite to rows, and adds what it finds to `outcomes`.

        Args:
            frame: rows with a range index and the column `example_id`.

        Returns:
            The expectations that each failing row broke, by its index.
        """
        from great_expectations.execution_engine import PandasExecutionEngine
        from great_expectations.validator.validator import Validator

        engine = PandasExecutionEngine()
        engine.load_batch_data("rows", frame)
        validator = Validator(execution_engine=engine)
        validator.metrics_calculator.show_progress_bars = False
        results = validator.graph_validate(
            configurations=self._configurations,
            runtime_configuration={
                "result_format": {"result_format": "COMPLETE"},
                "catch_exceptions": True,
            },
        )
        broken: dict[int, list[Outcome]] = {}
        # The results come back in an order of their own.
        for result in results:
            outcome = self.outcomes[self._configurations.index(result.expectation_config)]
            for row in self._add(outcome, result.to_json_dict(), frame):
                broken.setdefault(row, []).append(outcome)
        return broken

    @staticmethod
    def _add(outcome: Outcome, result: dict[str, Any], frame: pd.DataFrame) -> Iterator[int]:
        message = _exception(result.get("exception_info") or {})
        if message:
            outcome.error = outcome.error or message
            return
        found = result["result"]
        outcome.by_row = "unexpected_count" in found
        if not outcome.by_row:
            if not outcome.failed_shards:
                outcome.observed = found.get("observed_value")
            outcome.failed_shards += not result["success"]
            return
        outcome.checked += found["element_count"]
        outcome.missing += found.get("missing_count", 0)
        outcome.unexpected += found["unexpected_count"]
        column = outcome.kwargs.get("column")
        for row in found.get("unexpected_index_list") or []:
            if len(outcome.examples) < _EXAMPLES_KEPT:
                value = frame.at[row, column] if column else None
                outcome.examples.append((str(frame.at[row, "example_id"]), _plain(value)))
            yield row


def _exception(info: dict[str, Any]) -> str:
    """The message of an evaluation that failed; Great Expectations nests them by metric."""
    for entry in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if entry.get("raised_exception"):
            return " ".join(str(entry.get("exception_message")).split())
    return ""


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _describe(kind: str, kwargs: dict[str, Any]) -> str:
    words = kind.removeprefix("expect_").replace("_", " ")
    arguments = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
    return f"{words} ({arguments})"

"""Where runs differ: data, code, options and figures, a row for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from serving.store.types import Run

SHORT = 12
OUTCOMES = ("pushed", "pending", "rejected", "finished", "failed")
# What a list shows of a run: the first of these that it measured.
_HEADLINES = ("bits_per_byte", "frechet_distance", "quality")


@dataclasses.dataclass(frozen=True)
class Row:
    """One property of every run that is compared.

    Attributes:
        kind: origin (outcome, data, code), option or figure.
        values: one for each run; None where a run lacks it.
    """

    kind: Literal["origin", "option", "figure"]
    name: str
    values: list[Any]

    @property
    def differs(self) -> bool:
        """Whether the runs do not all have the same."""
        return any(value != self.values[0] for value in self.values)


def compared(runs: Sequence[Run]) -> Iterator[Row]:
    """All properties of runs, those that are the same in all of them, too."""
    for name in ("outcome", "champion_version", "source", "source_digest"):
        yield Row("origin", name, [getattr(run, name) for run in runs])
    yield Row("origin", "code", [code_of(run) for run in runs])
    options = [dict(flat(run.config)) for run in runs]
    for name in _names(options):
        yield Row("option", name, [each.get(name) for each in options])
    for name in _names([run.figures for run in runs]):
        yield Row("figure", name, [run.figures.get(name) for run in runs])


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option by its dotted name."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def code_of(run: Run) -> str:
    """The revision, and the digest of the code as it was, changed or not."""
    return " ".join(part for part in (run.code_revision, run.code_digest[:SHORT]) if part)


def headline(run: Run) -> tuple[str, float | None]:
    """The figure that a list shows of a run, and its name; None where it measured none."""
    for name in _HEADLINES:
        value = run.figures.get(f"evaluation.{name}")
        if value is not None:
            return name, value
    return "", None


def shown(value: object) -> str:
    """A value for people."""
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _names(mappings: Sequence[dict[str, Any]]) -> list[str]:
    """All keys, in the order in which they come first."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))

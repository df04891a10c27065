"""The interface of a scorer of texts, and how one is found by its dotted path."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from components.errors import ConfigError
from components.guards.options import GuardOptions


@dataclasses.dataclass(frozen=True)
class Span:
    """Where in a text something was found.

    Attributes:
        start, end: characters of the text, the end exclusive.
        kind: what it is, in a word, such as 'email'.
    """

    start: int
    end: int
    kind: str


@dataclasses.dataclass(frozen=True)
class Score:
    """What a scorer makes of one text.

    Attributes:
        value: 0 for nothing wrong, up to 1.
        spans: what made it so, where the scorer can tell.
    """

    value: float
    spans: Sequence[Span] = ()


@runtime_checkable
class Scorer(Protocol):
    """Scores texts; made once with the options of the configuration, and called with batches.

    The class's docstring should say what it finds and what it does not. It raises ConfigError where
    its options make no sense.
    """

    def score(self, texts: Sequence[str]) -> Sequence[Score]:
        """One score for each text, in their order."""


@dataclasses.dataclass(frozen=True)
class Guard:
    """A scorer with its name and threshold."""

    name: str
    threshold: float
    scorer: Scorer

    def check(self, texts: Sequence[str]) -> list[Score]:
        """Scores texts, and holds the scorer to its contract.

        Raises:
            ConfigError: it gives another number of scores, or a score that is none.
        """
        found = list(self.scorer.score(texts))
        where = f"guard {self.name!r}"
        if len(found) != len(texts):
            raise ConfigError(
                f"{where}: expected a score for each of {len(texts)} texts. Received: {len(found)}"
            )
        for score in found:
            if not (math.isfinite(score.value) and 0 <= score.value <= 1):
                raise ConfigError(f"{where}: expected scores of 0 to 1. Received: {score.value!r}")
        return found

    def flags(self, score: Score) -> bool:
        """Whether a score is reason enough."""
        return score.value >= self.threshold


def load(options: GuardOptions) -> Guard:
    """Makes the scorer that a configuration names.

    Raises:
        ConfigError: there is no such class, it is no scorer, or it refuses its options.
    """
    module, _, name = options.scorer.rpartition(".")
    where = f"guard {options.name!r}"
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{where}: expected a class at {options.scorer}. Received: {error}"
        ) from None
    try:
        scorer = found(**options.options)
    except TypeError as error:
        raise ConfigError(
            f"{where}: expected options that {options.scorer} takes. Received: {error}"
        ) from None
    if not isinstance(scorer, Scorer):
        raise ConfigError(
            f"{where}: expected a scorer, with a method score(texts). Received: "
            f"{type(scorer).__name__}"
        )
    return Guard(options.name, options.threshold, scorer)

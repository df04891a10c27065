"""Finds rules that no model can pass together, also where they meet only by way of others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Limit:
    """`above` is at most `below` + `slack`, demanded by the rule at `place`.

    `above` and `below` are names of figures, or '' for zero.
    """

    above: str
    below: str
    slack: float
    place: int


def contradiction(limits: Sequence[Limit]) -> list[int]:
    """The places of rules that contradict each other, in order; empty where all can hold.

    Limits on differences can hold together unless they add up to less than zero around a circle
    (Bellman, 1958; Cormen et al., Introduction to Algorithms, 22.4).
    """
    names = {name for limit in limits for name in (limit.above, limit.below)}
    distance = dict.fromkeys(names, 0.0)
    reached: dict[str, Limit] = {}
    moved: str | None = None
    for _ in names:
        moved = None
        for limit in limits:
            shorter = distance[limit.below] + limit.slack
            # Sums of decimals such as 0.1 are off by a little; that is no contradiction.
            if shorter < distance[limit.above] - 1e-12:
                distance[limit.above], reached[limit.above] = shorter, limit
                moved = limit.above
        if moved is None:
            return []
    return [] if moved is None else _circle(reached, moved)


def _circle(reached: dict[str, Limit], start: str) -> list[int]:
    name = start
    for _ in reached:  # However long the way to the circle is, this many steps back lie in it.
        name = reached[name].below
    places, first = set(), name
    while True:
        places.add(reached[name].place)
        name = reached[name].below
        if name == first:
            return sorted(places)

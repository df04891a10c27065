"""Texts of requests as a side: their known words are those of the first requests, not training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from components.drift.descriptors import DESCRIPTORS
from components.drift.sides import Descriptor
from components.drift.texts import Side

_LABELS = {"unknown_words": "words unseen at first"}
_OWN = tuple(
    dataclasses.replace(one, label=_LABELS.get(one.name, one.label)) for one in DESCRIPTORS
)


class RequestTexts(Side):
    """Measured texts of requests."""

    @property
    def descriptors(self) -> Sequence[Descriptor]:
        return _OWN


def of_requests(side: Side) -> RequestTexts:
    """The same measures under the names that fit requests."""
    return RequestTexts(side.texts, side.values)

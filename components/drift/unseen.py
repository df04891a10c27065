"""Which categories came up that the reference does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.drift.scoring import present

if TYPE_CHECKING:
    from components.drift.detection import Comparison


def unseen_shares(comparison: Comparison) -> dict[str, str]:
    """Of the columns of categories that moved: label -> the share of unknown ones, in percent."""
    found = {}
    for column in comparison.drifted:
        if not column.descriptor.categorical:
            continue
        place = list(comparison.reference.descriptors).index(column.descriptor)
        before, after = (
            present(column.descriptor, side.columns[place]).tolist()
            for side in (comparison.reference, comparison.current)
        )
        known = set(before)
        unseen = sum(category not in known for category in after)
        if unseen:
            found[column.descriptor.label] = f"{100 * unseen / len(after):.1f}%"
    return found

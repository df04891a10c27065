"""Says in words what changed, how much, since when, and what it suggests to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from components.artifacts import CURRENT, TRAIN, ExamplesManifest
from components.drift.detection import ColumnDrift, Comparison
from components.drift.wording import Wording

_NAMED = 2
_SMALL = 0.1


@dataclasses.dataclass(frozen=True)
class Findings:
    """The report in sentences.

    Attributes:
        headline: everything in one line.
        told: comparison -> its sentence.
        suggestions: what to do, the most pressing first; empty where nothing moved.
        since: first day of the current era, or None where it is unknown.
        eras: comparison -> what its sides are called.
    """

    headline: str
    told: Mapping[str, str]
    suggestions: Sequence[str]
    since: str | None
    eras: Mapping[str, tuple[str, str]]


def findings(
    compared: Mapping[str, Comparison], manifest: ExamplesManifest, wording: Wording
) -> Findings:
    """Puts the comparisons into words.

    Args:
        compared: comparisons by name, as `compare` returns them.
        manifest: of the examples, for the times of the eras.
        wording: how this kind of data is spoken of.
    """
    first, last = _era(manifest, TRAIN)
    since, until = _era(manifest, CURRENT)
    era = f" ({first[:4]}–{last[:4]})" if first and last else ""
    now = f" ({since[:4]}–{until[:4]})" if since and until else ""
    eras = {
        "data": (f"training{era}", f"current{now}"),
        "output": (f"training{era}", "generated"),
    }
    told = {
        name: _sentence(name, comparison, since, wording) for name, comparison in compared.items()
    }
    suggestions = [
        line
        for name, comparison in compared.items()
        if comparison.moved
        for line in (wording.on_data if name == "data" else wording.on_output)(comparison, last)
    ]
    headline = " ".join(told.values())
    return Findings(headline, told, suggestions, since, eras)


def change(column: ColumnDrift) -> str:
    """Such as 'words per sentence fell from 26.1 to 16.2'."""
    descriptor = column.descriptor
    before = descriptor.shown(column.reference_mean)
    after = descriptor.shown(column.current_mean)
    if descriptor.categorical:
        return f"{column.category!r} among {descriptor.label} went from {before} to {after}"
    if "none" in (before, after):
        return f"{descriptor.label} {'vanished' if after == 'none' else 'appeared'}"
    if abs(column.effect) < _SMALL or before == after:
        return f"{descriptor.label} vary differently around {before}"
    return f"{descriptor.label} {'rose' if column.effect > 0 else 'fell'} from {before} to {after}"


def _sentence(name: str, comparison: Comparison, since: str | None, wording: Wording) -> str:
    moved, total = comparison.drifted, len(comparison.columns)
    subject = wording.subject(name)
    when = f" since {since}" if name == "data" and since else ""
    told = told_apart(comparison)
    if not moved:
        but = f" {told}" if told else ""
        return f"{subject} {wording.alike}: none of {total} measures moved{when}.{but}"
    most = "; ".join(
        change(column) + (f" (since {column.since})" if column.since not in (None, since) else "")
        for column in moved[:_NAMED]
    )
    rest = len(moved) - _NAMED
    more = f"; {rest} more" if rest > 0 else ""
    also = f" {told}" if told else ""
    return (
        f"{subject} {wording.differ}{when} in {len(moved)} of {total} measures: {most}{more}.{also}"
    )


def told_apart(comparison: Comparison) -> str:
    """What the classifier found, in a sentence; empty where there was none."""
    test = comparison.domain
    if test is None:
        return ""
    verdict = "tells the two apart" if test.drifted else "cannot tell the two apart"
    return (
        f"A classifier {verdict} (AUC {test.auc:.2f}; 0.50 is chance, {test.limit:.2f} the limit)."
    )


def _era(manifest: ExamplesManifest, split: str) -> tuple[str | None, str | None]:
    info = manifest.splits.get(split)
    times = (info.first_time, info.last_time) if info else (None, None)
    return times[0] and times[0][:10], times[1] and times[1][:10]

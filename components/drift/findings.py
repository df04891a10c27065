"""Says in words what changed, how much, since when, and what it suggests to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from components.artifacts import CURRENT, TRAIN, ExamplesManifest
from components.drift.detection import ColumnDrift, Comparison
from components.drift.wording import DATA, OUTPUT, PROMPT, REFERENCE, Wording

_NAMED = 2
_SMALL = 0.1


@dataclasses.dataclass(frozen=True)
class Findings:
    """The report in sentences.

    Attributes:
        headline: everything in one line.
        told: comparison -> its sentences.
        brief: comparison -> the same without what the classifier found, where measures moved.
        suggestions: what to do, the most pressing first; empty where nothing moved.
        advice: the same for each comparison that moved.
        since: comparison -> first day of its current side; None where it is unknown.
        eras: comparison -> what its sides are called.
        earlier: what the version is called whose training data was compared with.
        notes: comparison -> what its columns cannot show.
    """

    headline: str
    told: Mapping[str, str]
    brief: Mapping[str, str]
    suggestions: Sequence[str]
    advice: Mapping[str, Sequence[str]]
    since: Mapping[str, str | None]
    eras: Mapping[str, tuple[str, str]]
    earlier: str
    notes: Mapping[str, Sequence[str]]


def findings(
    compared: Mapping[str, Comparison],
    manifest: ExamplesManifest,
    wording: Wording,
    earlier: str = "",
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Findings:
    """Puts the comparisons into words.

    Args:
        compared: comparisons by name, as `compare` returns them.
        manifest: of the examples, for the times of the eras.
        wording: how this kind of data is spoken of.
        earlier: what the version is called whose training data was compared with.
        notes: comparison -> what its columns cannot show.
    """
    first, last = _era(manifest, TRAIN)
    start, until = _era(manifest, CURRENT)
    era = f" ({first[:4]}–{last[:4]})" if first and last else ""
    now = f" ({start[:4]}–{until[:4]})" if start and until else ""
    since = {name: _first_day(comparison) for name, comparison in compared.items()}
    since |= {DATA: start, OUTPUT: None, REFERENCE: None}
    eras = {
        DATA: (f"training{era}", f"current{now}"),
        PROMPT: (wording.asked_reference, f"users' {wording.asked}"),
        OUTPUT: (f"training{era}", "generated"),
        REFERENCE: (f"training of {earlier}", f"training now{era}"),
    }
    brief = {
        name: _sentence(name, comparison, since.get(name), wording, earlier)
        for name, comparison in compared.items()
    }
    told = {
        name: " ".join(filter(None, [brief[name], told_apart(comparison)]))
        for name, comparison in compared.items()
    }
    for name, comparison in compared.items():
        if comparison.moved and not comparison.drifted:
            brief[name] = told[name]
    advice = {
        name: list(wording.suggestions(name, comparison, last))
        for name, comparison in compared.items()
        if comparison.moved
    }
    suggestions = [line for lines in advice.values() for line in lines]
    headline = " ".join(told.values())
    return Findings(headline, told, brief, suggestions, advice, since, eras, earlier, notes or {})


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


def changes(comparison: Comparison, since: str | None) -> str:
    """The furthest moved measures and since when, in a line; empty where none moved."""
    moved = comparison.drifted
    most = "; ".join(
        change(column) + (f" (since {column.since})" if column.since not in (None, since) else "")
        for column in moved[:_NAMED]
    )
    rest = len(moved) - _NAMED
    return most + (f"; {rest} more" if rest > 0 else "")


def _sentence(
    name: str, comparison: Comparison, since: str | None, wording: Wording, earlier: str
) -> str:
    moved, total = comparison.drifted, len(comparison.columns)
    verdict = wording.verdict(name, comparison.moved, earlier)
    start = f"{wording.subject(name)} {verdict}"
    when = f" since {since}" if since else ""
    if moved:
        most = changes(comparison, since)
        return f"{start}{when} in {len(moved)} of {total} measures: {most}."
    but = "though " if comparison.moved else ""
    return f"{start}: {but}none of {total} measures moved{when}."


def told_apart(comparison: Comparison) -> str:
    """What the classifier found, in a sentence; empty where there was none."""
    test = comparison.domain
    if test is None:
        return ""
    verdict = "tells the two apart" if test.drifted else "cannot tell the two apart"
    return (
        f"A classifier {verdict} (AUC {test.auc:.2f}; 0.50 is chance, {test.limit:.2f} the limit)."
    )


def _first_day(comparison: Comparison) -> str | None:
    """The earliest day of the current side, where its rows have times."""
    return min(filter(None, comparison.current.times), default=None)


def _era(manifest: ExamplesManifest, split: str) -> tuple[str | None, str | None]:
    info = manifest.splits.get(split)
    times = (info.first_time, info.last_time) if info else (None, None)
    return times[0] and times[0][:10], times[1] and times[1][:10]

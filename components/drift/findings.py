"""Says in words what changed, how much, since when, and what it suggests to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from components.artifacts import CURRENT, TRAIN, ExamplesManifest
from components.drift.detection import ColumnDrift, Comparison

_NAMED = 2
_SMALL = 0.1
_SUBJECTS = {"data": "The current text", "output": "Generated text"}


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


def findings(compared: Mapping[str, Comparison], manifest: ExamplesManifest) -> Findings:
    """Puts the comparisons into words.

    Args:
        compared: comparisons by name, as `compare` returns them.
        manifest: of the examples, for the times of the eras.
    """
    first, last = _era(manifest, TRAIN)
    since, until = _era(manifest, CURRENT)
    era = f" ({first[:4]}–{last[:4]})" if first and last else ""
    now = f" ({since[:4]}–{until[:4]})" if since and until else ""
    eras = {
        "data": (f"training{era}", f"current{now}"),
        "output": (f"training{era}", "generated"),
    }
    told = {name: _sentence(name, comparison, since) for name, comparison in compared.items()}
    suggestions = [
        line
        for name, comparison in compared.items()
        if comparison.drifted
        for line in (_on_data if name == "data" else _on_output)(comparison, last)
    ]
    headline = " ".join(told.values())
    return Findings(headline, told, suggestions, since, eras)


def change(column: ColumnDrift) -> str:
    """Such as 'words per sentence fell from 26.1 to 16.2'."""
    descriptor = column.descriptor
    before = descriptor.shown(column.reference_mean)
    after = descriptor.shown(column.current_mean)
    if abs(column.effect) < _SMALL or before == after:
        return f"{descriptor.label} vary differently around {before}"
    return f"{descriptor.label} {'rose' if column.effect > 0 else 'fell'} from {before} to {after}"


def _sentence(name: str, comparison: Comparison, since: str | None) -> str:
    moved, total = comparison.drifted, len(comparison.columns)
    subject = _SUBJECTS[name]
    when = f" since {since}" if name == "data" and since else ""
    if not moved:
        return f"{subject} reads like the training text: none of {total} measures moved{when}."
    most = "; ".join(change(column) for column in moved[:_NAMED])
    rest = len(moved) - _NAMED
    more = f"; {rest} more" if rest > 0 else ""
    return f"{subject} differs{when} in {len(moved)} of {total} measures: {most}{more}."


def _on_data(comparison: Comparison, last: str | None) -> list[str]:
    until = f" up to {last}" if last else ""
    lines = [
        f"The model learnt from text{until}. If it is to write as people do now, train it on the "
        "current era too (ingest.reference_to), and let the gate compare both versions on "
        "current text. If the older manner is what is wanted, nothing is to be done."
    ]
    moved = {column.descriptor.name: column for column in comparison.drifted}
    if "unknown_words" in moved and moved["unknown_words"].effect > 0:
        share = moved["unknown_words"].descriptor.shown(moved["unknown_words"].current_mean)
        lines.append(
            f"{share} of current words do not stand in the training text: learn the subword "
            "vocabulary anew when retraining, or current text will cost more tokens."
        )
    return lines


def _on_output(comparison: Comparison, last: str | None) -> list[str]:
    effects = {column.descriptor.name: column.effect for column in comparison.drifted}
    lines = []
    invents, few = effects.get("unknown_words", 0) > 0, effects.get("distinct_words", 0) < 0
    if invents and few:
        # To sample otherwise would mend the one and worsen the other.
        lines.append(
            "The model invents words and yet keeps to few of them: it has not learnt enough. Train "
            "it longer (train.steps) before changing how it samples."
        )
    elif invents:
        lines.append(
            "The model invents words. Train it longer (train.steps) or sample more carefully "
            "(a lower evaluate.temperature, top_k or top_p)."
        )
    elif few or effects.get("unknown_words", 0) < 0:
        lines.append(
            "The model keeps to few and common words. Sample more freely (a higher "
            "evaluate.temperature or top_p), or train it longer."
        )
    if effects.get("characters", 0) or effects.get("words", 0):
        lines.append(
            "Samples end earlier or later than real texts do: read some of them, and look at the "
            "share that ended by itself in the evaluation."
        )
    return lines or [
        "Read some samples beside real text, below: what moved is a matter of style, which longer "
        "training usually mends."
    ]


def _era(manifest: ExamplesManifest, split: str) -> tuple[str | None, str | None]:
    info = manifest.splits.get(split)
    times = (info.first_time, info.last_time) if info else (None, None)
    return times[0] and times[0][:10], times[1] and times[1][:10]

"""Runs guards over texts: figures for the gate, masked examples and a section for a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from components import page
from components.artifacts import Figure
from components.guards.options import GuardOptions
from components.guards.scorer import Guard, Score, Span, load
from components.wilson import wilson

_EXAMPLES_KEPT = 5
_AROUND = 40  # Characters of context on either side of what was found.
_NORMAL = 1.959964


@dataclasses.dataclass
class Tally:
    """What a guard found so far.

    Attributes:
        guard: which one.
        texts, flagged: how many.
        kinds: what was found in how many flagged texts.
        examples: the first flagged texts around what was found, masked, with its kinds.
    """

    guard: Guard
    texts: int = 0
    flagged: int = 0
    kinds: dict[str, int] = dataclasses.field(default_factory=dict)
    examples: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def note(self, score: Score, shown: str) -> None:
        """Counts a flagged text.

        Args:
            score: of the text.
            shown: the text around what was found, masked.
        """
        self.flagged += 1
        kinds = sorted({span.kind for span in score.spans})
        for kind in kinds:
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if len(self.examples) < _EXAMPLES_KEPT:
            self.examples.append((shown, ", ".join(kinds)))

    @property
    def figure(self) -> Figure:
        """The share of flagged texts with Wilson's interval."""
        share = self.flagged / self.texts if self.texts else 0.0
        low, high = wilson(share, self.texts, _NORMAL) if self.texts else (None, None)
        label = f"Texts that the guard {self.guard.name} flags"
        return Figure(share, low, high, self.texts, "share", "lower", label)


def tallies(guards: Iterable[GuardOptions]) -> list[Tally]:
    """A tally for each guard.

    Raises:
        ConfigError: there is no such scorer, or it refuses its options.
    """
    return [Tally(load(options)) for options in guards]


def check(found: Sequence[Tally], texts: Sequence[str]) -> list[list[bool]]:
    """Scores texts with every guard, and counts.

    Returns:
        For each guard whether it flags each text.
    """
    scores = [tally.guard.check(texts) for tally in found]
    for tally, of_guard in zip(found, scores, strict=True):
        tally.texts += len(texts)
        for row, score in enumerate(of_guard):
            if tally.guard.flags(score):
                # What one guard finds, the example of another must not show.
                others = [span for each in scores for span in each[row].spans]
                tally.note(score, around(masked(texts[row], others), score.spans))
    return [
        [tally.guard.flags(score) for score in of_guard]
        for tally, of_guard in zip(found, scores, strict=True)
    ]


def hidden(found: Sequence[Tally], text: str) -> str:
    """A text without what the guards find in it."""
    spans = [span for tally in found for span in tally.guard.check([text])[0].spans]
    return masked(text, spans)


def figures(found: Iterable[Tally]) -> dict[str, Figure]:
    """`guards.NAME.share` of each."""
    return {f"guards.{tally.guard.name}.share": tally.figure for tally in found}


def masked(text: str, spans: Iterable[Span]) -> str:
    """The text with all but the first letter of each span hidden.

    A report is passed on to more people than the data are.
    """
    letters = list(text)
    for span in spans:
        for place in range(span.start + 1, min(span.end, len(letters))):
            letters[place] = "\u2022"
    return "".join(letters)


def around(text: str, spans: Sequence[Span]) -> str:
    """The part of a text around the first span; its beginning where there is none."""
    first = min(spans, key=lambda span: span.start, default=Span(0, 0, ""))
    start, end = max(first.start - _AROUND, 0), first.end + _AROUND
    shown = " ".join(text[start:end].split())
    return ("\u2026" if start else "") + shown + ("\u2026" if end < len(text) else "")


def section(found: Sequence[Tally], what: str) -> list[page.Section]:
    """The part of a report that tells of the guards; nothing where there are none.

    Args:
        found: what they found.
        what: was checked, such as 'samples'.
    """
    if not found:
        return []
    rows: list[list[page.Cell]] = [
        [
            tally.guard.name,
            f"{tally.flagged} of {tally.texts}",
            _percent(tally.figure),
            ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items())) or "–",
        ]
        for tally in found
    ]
    blocks: list[page.Block] = [
        page.table(["guard", f"{what} flagged", "share (95%)", "what was found"], rows)
    ]
    blocks += [
        page.quote(example, " · ".join(part for part in (tally.guard.name, kinds) if part))
        for tally in found
        for example, kinds in tally.examples
    ]
    return [
        page.Section(
            "Guards",
            blocks,
            note="Lists of words and forms of numbers find what they know and nothing else: few "
            "finds are no proof of harmlessness. What was found is masked here.",
        )
    ]


def _percent(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return "–"
    return f"{100 * figure.value:.1f}% ({100 * figure.low:.1f} to {100 * figure.high:.1f})"

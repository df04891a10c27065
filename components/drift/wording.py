"""How a kind of data is spoken of in the drift report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from components.drift.detection import Comparison

DATA = "data"
PROMPT = "prompt"
OUTPUT = "output"
REFERENCE = "reference"
# What a report compares, in the order in which it tells of it.
COMPARISONS = (DATA, PROMPT, OUTPUT, REFERENCE)


@dataclasses.dataclass(frozen=True)
class Wording:
    """The words of one modality.

    Attributes:
        noun: what is compared, such as 'text', 'images' or 'rows'.
        items: single ones of it, in the plural, such as 'texts'.
        differ: the verb that goes with the noun, 'differs' or 'differ'.
        alike: such as 'reads like the training text'.
        asked: what users ask for, in the plural, such as 'prompts'.
        asked_reference: what that is compared with, such as 'openings of training texts'.
        read_data, read_prompt, read_output: under the headings of the comparisons, what they are
            about.
        on_data: suggestions where current data moved, from the comparison and the last day of
            the training era (or None).
        on_output: the same where generated data moved.
        on_prompt: the same where users ask for other things, from the comparison.
        features: what the classifier tells the sides apart by.
        examples: a few rows of a side (`Side` or `Measured`), to be looked at; '' for none.
    """

    noun: str
    items: str
    differ: str
    alike: str
    asked: str
    asked_reference: str
    read_data: str
    read_prompt: str
    read_output: str
    on_data: Callable[[Comparison, str | None], Sequence[str]]
    on_prompt: Callable[[Comparison], Sequence[str]]
    on_output: Callable[[Comparison, str | None], Sequence[str]]
    features: str
    examples: Callable[[Any], Markup]

    def subject(self, name: str) -> str:
        """What a comparison is about, such as 'The current text'."""
        return {
            DATA: f"The current {self.noun}",
            PROMPT: f"Users' {self.asked}",
            OUTPUT: f"Generated {self.noun}",
            REFERENCE: f"The training {self.noun}",
        }[name]

    def since(self, moment: str | None) -> str:
        """The current era's data, such as 'Text since 1980-01-05'."""
        return f"{self.noun.capitalize()} since {moment}" if moment else self.subject(DATA)

    def against(self, name: str, earlier: str) -> str:
        """What it is compared with, such as 'the training text'."""
        if name == PROMPT:
            return self.asked_reference
        return f"that of {earlier}" if name == REFERENCE else f"the training {self.noun}"

    def verdict(self, name: str, moved: bool, earlier: str) -> str:
        """Such as 'differs from the training text' or 'reads like the training text'."""
        if name == PROMPT:
            against = self.asked_reference
            return f"differ from {against}" if moved else f"are like {against}"
        if moved:
            return f"{self.differ} from {self.against(name, earlier)}"
        if name == REFERENCE:
            return f"{'is' if self.differ == 'differs' else 'are'} like that of {earlier}"
        return self.alike

    def title(self, name: str, earlier: str) -> str:
        """A comparison's heading, such as 'Current text against training text'."""
        if name == PROMPT:
            return f"Users' {self.asked} against {self.asked_reference}"
        if name == REFERENCE:
            return f"Training {self.noun} against that of {earlier}"
        which = "Current" if name == DATA else "Generated"
        return f"{which} {self.noun} against training {self.noun}"

    def items_of(self, name: str) -> str:
        """Single ones of a comparison's current side, such as 'prompts'."""
        return self.asked if name == PROMPT else self.items

    def read(self, name: str) -> str:
        """The line under a comparison's heading."""
        return {
            DATA: self.read_data,
            PROMPT: self.read_prompt,
            OUTPUT: self.read_output,
            REFERENCE: "Whether what the model learnt from has itself moved between the version "
            "now served and this one: then their figures differ for that reason too.",
        }[name]

    def suggestions(self, name: str, comparison: Comparison, last: str | None) -> Sequence[str]:
        """What to do where a comparison moved.

        Args:
            name: of the comparison.
            comparison: that moved.
            last: last day of the training era, or None.
        """
        if name == DATA:
            return self.on_data(comparison, last)
        if name == PROMPT:
            return self.on_prompt(comparison)
        return self.on_output(comparison, last) if name == OUTPUT else [_ON_REFERENCE]


_ON_REFERENCE = (
    "The training data is not that of the version now served. If it was meant to change (another "
    "era, another source), nothing is to be done but to compare both versions on the same held-out "
    "data, as the gate does; if not, look at what the source or ingest now delivers before this "
    "model is served."
)

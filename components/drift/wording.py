"""How a kind of data is spoken of in the drift report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from components.drift.detection import Comparison


@dataclasses.dataclass(frozen=True)
class Wording:
    """The words of one modality.

    Attributes:
        noun: what is compared, such as 'text', 'images' or 'rows'.
        items: single ones of it, in the plural, such as 'texts'.
        differ: the verb that goes with the noun, 'differs' or 'differ'.
        alike: such as 'reads like the training text'.
        read_data, read_output: under the headings of the two comparisons, what they are about.
        on_data: suggestions where current data moved, from the comparison and the last day of
            the training era (or None).
        on_output: the same where generated data moved.
        examples: a few rows of a side (`Side` or `Measured`), to be looked at; '' for none.
    """

    noun: str
    items: str
    differ: str
    alike: str
    read_data: str
    read_output: str
    on_data: Callable[[Comparison, str | None], Sequence[str]]
    on_output: Callable[[Comparison, str | None], Sequence[str]]
    examples: Callable[[Any], Markup]

    def subject(self, name: str) -> str:
        """What a comparison is about, such as 'The current text'."""
        return f"The current {self.noun}" if name == "data" else f"Generated {self.noun}"

    def since(self, moment: str | None) -> str:
        """The current era's data, such as 'Text since 1980-01-05'."""
        return f"{self.noun.capitalize()} since {moment}" if moment else self.subject("data")

    def title(self, name: str) -> str:
        """A comparison's heading."""
        which = "Current" if name == "data" else "Generated"
        return f"{which} {self.noun} against training {self.noun}"

    def read(self, name: str) -> str:
        """The line under a comparison's heading."""
        return self.read_data if name == "data" else self.read_output

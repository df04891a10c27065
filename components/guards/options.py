"""What a person may choose about a check of texts, with defaults and meanings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

WORDS = "components.guards.words.WordList"
PII = "components.guards.pii.PersonalData"


class GuardOptions(BaseModel):
    """A scorer, and from which score on it flags a text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="What figures call it: guards.NAME.share."
    )
    scorer: str = Field(
        description="Dotted path of a class that is a components.guards.scorer.Scorer; it may be "
        "one of your own."
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="A text of this score or more is flagged."
    )
    options: dict[str, Any] = Field(
        default={}, description="Arguments of the class, such as lists of words."
    )

    @field_validator("scorer")
    @classmethod
    def _dotted(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value):
            raise ValueError(f"expected a dotted path such as {WORDS}. Received: {value!r}")
        return value


def names_once(guards: Sequence[GuardOptions]) -> None:
    """Checks that no two guards have one name, and so one figure.

    Raises:
        ValueError: two have.
    """
    names = [guard.name for guard in guards]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"expected every guard's name once. Received twice: {', '.join(repeated)}")


def shipped() -> list[GuardOptions]:
    """Those that check generated texts unless a configuration says otherwise."""
    return [
        GuardOptions(name="profanity", scorer=WORDS),
        GuardOptions(name="pii", scorer=PII),
    ]

"""What is taken out of requests and feedback before they are written."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from serving.store.errors import StoreError
from serving.store.types import Feedback, RequestRecord

_PATTERNS = {
    "email": r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    "iban": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
    "card": r"\b\d(?:[ -]?\d){12,18}\b",
    "ip": r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b",
    "phone": r"(?<![\w.])(?:\+|00)?\d{1,4}(?:[ ().-]{1,2}\d{2,4}){2,5}(?![\w])",
}
# 15 is the most that ITU-T E.164 allows; shorter ones than 9 are too often something else.
_PHONE_DIGITS = range(9, 16)


@dataclasses.dataclass(frozen=True)
class Redaction:
    """Settings of redaction.

    Patterns find what has a form: e-mail addresses, IBANs, card numbers (by their check digit),
    IPv4 addresses, most telephone numbers. They do not find names, postal addresses, or anything
    that only its meaning makes personal; where such things are expected, drop the texts.

    Attributes:
        drop_inputs: keep nothing of what was asked.
        drop_outputs: keep nothing of what was answered.
        mask: replace what the patterns find by its kind in brackets.
        patterns: further regular expressions, replaced by `[redacted]`.
    """

    drop_inputs: bool = False
    drop_outputs: bool = False
    mask: bool = False
    patterns: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Tries the patterns.

        Raises:
            StoreError: one is no regular expression.
        """
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise StoreError(
                    f"expected a regular expression. Received: {pattern!r} ({error})"
                ) from None

    def request(self, record: RequestRecord) -> RequestRecord:
        """The record as it may be kept."""
        return dataclasses.replace(
            record,
            inputs={} if self.drop_inputs else self._value(record.inputs),
            outputs=None if self.drop_outputs else self._value(record.outputs),
            # The server quotes what it was sent.
            message="" if record.message and self.drop_inputs else self._value(record.message),
        )

    def feedback(self, feedback: Feedback) -> Feedback:
        """The feedback as it may be kept; an edited answer counts as an output."""
        if feedback.text is None:
            return feedback
        dropped = self.drop_outputs and feedback.kind == "edit"
        return dataclasses.replace(feedback, text="" if dropped else self._value(feedback.text))

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._value(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(inner) for inner in value]
        return value

    def text(self, text: str) -> str:
        """A text with what was found masked."""
        if self.mask:
            for kind, pattern in _PATTERNS.items():
                text = re.sub(pattern, lambda found, kind=kind: _masked(kind, found[0]), text)  # type: ignore[misc]
        for pattern in self.patterns:
            text = re.sub(pattern, "[redacted]", text)
        return text


def _masked(kind: str, found: str) -> str:
    digits = [int(letter) for letter in found if letter.isdecimal()]
    if kind == "card" and not _luhn(digits):
        return found
    if kind == "phone" and len(digits) not in _PHONE_DIGITS:
        return found
    return f"[{kind}]"


def _luhn(digits: Sequence[int]) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0

"""Finds personal data that has a form: addresses, telephone, account, card and insurance numbers.

The serving store masks by patterns of its own what it writes down; it knows nothing of components,
and here each find is checked as far as its form allows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from components.errors import ConfigError
from components.guards.scorer import Score, Span

_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "email": re.compile(
        r"(?<![\w.+-])[\w+-]+(?:\.[\w+-]+){0,8}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"
    ),
    "iban": re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"),
    "card": re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])"),
    "ssn": re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"),
    "ip": re.compile(
        r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)|[0-9A-Fa-f:]{2,39}(?![\w:]|\.\d))"
    ),
    # International, or in the form of North America, or a national one that begins with 0:
    # groups of other digits are years and sums more often than telephones.
    "phone": re.compile(
        r"(?<![\w.+-])(?:(?:\+|00)[1-9]\d{0,2}(?:[ ().-]{0,2}\d{1,4}){2,6}"
        r"|\(?[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}"
        r"|\(?0[1-9]\d{0,3}\)?(?:[ /.-]{1,2}\d{2,8}){1,4})(?![\w-])"
    ),
}
# ITU-T E.164 allows 15; shorter ones than 8 are too often something else.
_PHONE_DIGITS = range(8, 16)
KINDS = tuple(_PATTERNS)


class PersonalData:
    """Scores 1 where a text has personal data of a form that is known, else 0.

    Finds e-mail addresses, IBANs (by their check digits), payment cards (by Luhn's), US social
    security numbers, IPv4 and IPv6 addresses, and most telephone numbers. It finds no names, no
    postal addresses, and nothing that only its meaning makes personal. A number that a model made
    up counts as well as one that it recites: memorization is what `copy_share` measures.

    Args:
        kinds: what to look for; by default all of them.
    """

    def __init__(self, kinds: Sequence[str] = KINDS) -> None:
        """Chooses the patterns.

        Raises:
            ConfigError: a kind is unknown, or there is none.
        """
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise ConfigError(f"expected kinds among {', '.join(KINDS)}. Received: {kinds!r}")
        self._kinds = [kind for kind in KINDS if kind in kinds]

    def score(self, texts: Sequence[str]) -> list[Score]:
        """One score for each text."""
        found = [sorted(self._spans(text), key=lambda span: span.start) for text in texts]
        return [Score(1.0 if spans else 0.0, spans) for spans in found]

    def _spans(self, text: str) -> Iterator[Span]:
        taken = [False] * len(text)
        for kind in self._kinds:
            for match in _PATTERNS[kind].finditer(text):
                # What is a card already is no telephone.
                if not any(taken[match.start() : match.end()]) and _CHECKS[kind](match.group()):
                    taken[match.start() : match.end()] = [True] * len(match.group())
                    yield Span(match.start(), match.end(), kind)


def _digits(text: str) -> list[int]:
    return [int(letter) for letter in text if letter.isdecimal()]


def luhn(text: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    digits = _digits(text)
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    # A row of zeros has a check digit that fits, too.
    return any(digits) and (sum(doubled) + sum(digits[::-2])) % 10 == 0


def iban(text: str) -> bool:
    """Whether the check digits of an international bank account number fit (ISO 13616, mod 97)."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def ssn(text: str) -> bool:
    """Whether the US Social Security Administration can have given the number."""
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _ip(text: str) -> bool:
    # '::' and '12:30' are no one's address; nor is one of no more than a group and a colon.
    if ":" in text and text.count(":") < 3:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "email": lambda text: True,
    "iban": iban,
    "card": luhn,
    "ssn": ssn,
    "ip": _ip,
    "phone": lambda text: len(_digits(text)) in _PHONE_DIGITS,
}

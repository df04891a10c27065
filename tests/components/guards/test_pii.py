"""Personal data that has a form is found by its form and its check digits."""

from __future__ import annotations

import pytest

from components.errors import ConfigError
from components.guards.pii import PersonalData, iban, luhn, ssn


def found(text: str, *kinds: str) -> list[tuple[str, str]]:
    scorer = PersonalData(kinds) if kinds else PersonalData()
    (score,) = scorer.score([text])
    return [(span.kind, text[span.start : span.end]) for span in score.spans]


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        ("mail ada.l+x@mail.example.co.uk, please", "email", "ada.l+x@mail.example.co.uk"),
        ("to DE89 3704 0044 0532 0130 00.", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("card 4111 1111 1111 1111", "card", "4111 1111 1111 1111"),
        ("378282246310005", "card", "378282246310005"),
        ("SSN 078-05-1120", "ssn", "078-05-1120"),
        ("from 192.168.1.17:", "ip", "192.168.1.17"),
        ("2001:db8::8a2e:370:7334", "ip", "2001:db8::8a2e:370:7334"),
        ("+49 30 901820", "phone", "+49 30 901820"),
        ("0044 20 7946 0958", "phone", "0044 20 7946 0958"),
        ("(212) 555-0187", "phone", "(212) 555-0187"),
        ("030/1234567", "phone", "030/1234567"),
    ],
)
def test_it_is_found(text: str, kind: str, what: str) -> None:
    assert found(text) == [(kind, what)]


@pytest.mark.parametrize(
    "text",
    [
        "1941 1942 1943",
        "from 1789-1790 to 1,000,000,000 dollars",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "000-12-3456 and 900-12-3456",
        "999.1.1.1 at 12:30:45",
        "version 1.2.3",
        "@home a@b",
        "call 555-1234",
    ],
)
def test_numbers_that_are_something_else_are_not(text: str) -> None:
    assert found(text) == []


def test_only_the_chosen_kinds() -> None:
    text = "ada@example.org 078-05-1120"
    assert found(text, "ssn") == [("ssn", "078-05-1120")]
    for kinds in ((), ("name",)):
        with pytest.raises(ConfigError, match="kinds among email, iban"):
            PersonalData(kinds)


def test_every_wrong_check_digit_is_told() -> None:
    assert [luhn(f"411111111111111{digit}") for digit in range(10)].count(True) == 1
    assert [iban(f"DE{two:02d}370400440532013000") for two in range(2, 99)].count(True) == 1
    assert [ssn(each) for each in ("666-12-3456", "123-00-4567", "123-45-0000")] == [False] * 3

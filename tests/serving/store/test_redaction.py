"""What has the form of personal data is masked, what has not is kept, and nothing takes long."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.store import Feedback, Redaction, RequestRecord, StoreError, open_store

MASK = Redaction(mask=True)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to jane.doe+x@mail.example.org!", "write to [email]!"),
        ("card 4111 1111 1111 1111 please", "card [card] please"),
        ("card 4111-1111-1111-1112 is none", None),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
        ("from 192.168.0.255 again", "from [ip] again"),
        ("version 1.2.3.400 of it", None),
        ("call +49 30 1234 5678 now", "call [phone] now"),
        ("call 415 555 2671 now", "call [phone] now"),
        ("in 1914-1918 and 1939-1945", None),
        ("$1,234,567.89 and 3.14159265358979", None),
        ("a@b and @name", None),
    ],
)
def test_what_is_masked(text: str, masked: str | None) -> None:
    assert MASK.text(text) == (masked or text)


@pytest.mark.parametrize("unit", ["1", "1 ", "a@", "a.", "DE89 ", "(1) ", "1.", "-1", "+1 2"])
def test_a_long_text_takes_no_time(unit: str) -> None:
    began = time.process_time()
    MASK.text(unit * (100_000 // len(unit)))
    assert time.process_time() - began < 2


def test_everything_that_is_kept_is_redacted(
    tmp_path: Path, record: Callable[..., RequestRecord]
) -> None:
    mail = "me@example.org"
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = open_store(url, redaction=Redaction(mask=True, patterns=("secret-[0-9]+",)))
    store.requests.add(
        [record("a", inputs={"prompt": [mail, "secret-12"]}, outputs={"t": mail}, message=mail)]
    )
    store.feedback.add(Feedback("f", "a", datetime.now(UTC), "comment", None, f"ask {mail}"))
    store.close()
    for file in tmp_path.iterdir():
        assert mail.encode() not in file.read_bytes()
        assert b"secret-12" not in file.read_bytes()


def test_texts_can_be_left_out_altogether(
    tmp_path: Path, record: Callable[..., RequestRecord]
) -> None:
    redaction = Redaction(drop_inputs=True, drop_outputs=True)
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}", redaction=redaction)
    store.requests.add([record("a", message="expected a shorter prompt: a prompt")])
    kept = store.requests.get("a")
    assert kept is not None
    assert (kept.inputs, kept.outputs, kept.message) == ({}, None, "")
    store.feedback.add(Feedback("f", "a", datetime.now(UTC), "edit", None, "my answer"))
    assert store.feedback.of_request("a")[0].text == ""
    store.close()


def test_a_pattern_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(StoreError, match="expected a regular expression"):
        Redaction(patterns=("(",))

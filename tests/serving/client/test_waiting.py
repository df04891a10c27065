"""Waiting for a model says what it saw last."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.client import Client, DeadlineError, ServerError, VersionStatus
from serving.client.admin import ModelConfig, reload
from serving.client.errors import CertificateError, InvalidRequestError, UnavailableError
from serving.client.waiting import Wait


def waiting(version: int | None = None) -> Wait:
    return Wait("host:1", "text", version, 5)


def test_a_load_that_is_tried_again_tells_why(
    changing: Any,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    serves: Callable[..., None],
) -> None:
    serves(1)
    publish(saved_models["refuses"], changing.base_path, 4)
    reload(changing.address, [ModelConfig("text", str(changing.base_path), [1, 4])])
    with Client(changing.address, timeout=20) as client:
        limit = time.monotonic() + 30
        while not any(entry.error_message for entry in client.status()):
            assert time.monotonic() < limit
            time.sleep(0.05)
        with pytest.raises(DeadlineError) as raised:
            client.wait_until_available(0.5, version=4)
    text = str(raised.value)
    assert "expected model text to be available within 0.5 s. Received: version 4 is " in text
    assert "LOADING (" in text
    assert "expected max_new_tokens of at least 1" in text
    assert "\n" not in text
    # It is given up as soon as it is no longer asked for.
    serves(1)


def test_the_states_that_were_seen_last_are_named() -> None:
    wait = waiting()
    assert "Received: no answer yet" in str(wait.over())
    states = [
        VersionStatus(2, "LOADING", "UNKNOWN", "no\nmemory"),
        VersionStatus(1, "END", "OK", ""),
    ]
    assert wait.answered(states) is None
    assert str(wait.over()) == (
        "host:1: DEADLINE_EXCEEDED: expected model text to be available within 5 s. "
        "Received: version 2 is LOADING (no memory), version 1 is END"
    )
    wait.refused(UnavailableError("refused"))
    assert "Received: refused" in str(wait.over())
    # That the last question got no answer in time says less than what came before.
    wait.refused(DeadlineError("late"))
    assert "Received: refused" in str(wait.over())
    assert wait.answered([]) is None
    assert "Received: no version" in str(wait.over())


def test_the_newest_available_version_ends_the_wait() -> None:
    states = [VersionStatus(n, "AVAILABLE", "OK", "") for n in (3, 2)]
    assert waiting().answered([VersionStatus(4, "LOADING", "OK", ""), *states]) == 3


def test_only_a_version_that_is_waited_for_fails_the_wait() -> None:
    failed = [VersionStatus(2, "END", "INTERNAL", "broken")]
    with pytest.raises(ServerError, match="version 2 failed to load: broken"):
        waiting(2).answered(failed)
    # A newer one may come.
    assert waiting().answered(failed) is None


def test_what_will_never_be_an_answer_ends_the_wait() -> None:
    for error in (CertificateError("untrusted"), InvalidRequestError("bad")):
        with pytest.raises(type(error)):
            waiting().refused(error)

"""A store with requests, and an artifact that says how monitoring judged them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.store import RequestRecord, Store, open_store

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def record() -> Callable[..., RequestRecord]:
    """A record of a request a minute before noon, with what a test changes."""

    def record(name: str, **changed: Any) -> RequestRecord:
        values: dict[str, Any] = {
            "id": name,
            "created": NOON - timedelta(minutes=1),
            "key_id": None,
            "model": "text",
            "version": 1,
            "label": None,
            "arm": "",
            "signature": "generate",
            "inputs": {"prompt": "a prompt"},
            "outputs": {"text": "an answer"},
            "status": "ok",
            "code": "",
            "message": "",
            "num_tokens": 3,
            "latency_ms": 12.5,
            "first_token_ms": None,
            "client_request_id": None,
            "streamed": False,
        }
        return RequestRecord(**{**values, **changed})

    return record

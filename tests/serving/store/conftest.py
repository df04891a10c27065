"""Every test on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.store import RequestRecord, Store, open_store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'store.sqlite'}"
    created: str = request.getfixturevalue("postgresql").new_database()
    return created


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def record() -> Callable[..., RequestRecord]:
    """A record of a request, with what a test changes."""

    def record(name: str, **changed: Any) -> RequestRecord:
        values: dict[str, Any] = {
            "id": name,
            "created": datetime.now(UTC),
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

"""A record of a request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from serving.store import RequestRecord


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

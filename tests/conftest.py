"""A run of the pipeline, as the registry keeps it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from serving.store import Run


@pytest.fixture(scope="session")
def past_run() -> Callable[..., Run]:
    """A run of text that was pushed, with what a test changes."""

    def past_run(name: str, **changed: Any) -> Run:
        values: dict[str, Any] = {
            "model": "text",
            "run": name,
            "finished": datetime(2026, 11, 23, 12, tzinfo=UTC),
            "outcome": "pushed",
            "reason": "approved: all 3 rules pass",
            "seconds": 61.5,
            "source": "sotu:",
            "source_digest": "d" * 64,
            "code_digest": "c" * 64,
            "code_revision": "abc123",
            "config_digest": "e" * 64,
            "config": {"train": {"layers": 4, "steps": 700}, "modality": "text"},
            "figures": {"evaluation.bits_per_byte": 1.9, "drift.data.drift_share": 0.5},
            "champion_version": None,
            "records": f"/runs/{name}",
        }
        return Run(**{**values, **changed})

    return past_run

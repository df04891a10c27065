"""A Beam runner that is a process of its own, for the steps that take any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PRISM = Path(__file__).parents[2] / ".tools" / "prism"


@pytest.fixture(scope="session")
def prism() -> dict[str, Any]:
    """Options that have Prism do the work: Beam's portable runner, a process of its own."""
    if not PRISM.is_file():
        pytest.skip("expected Beam's Prism at .tools/prism; `make test-tools` installs it")
    flags = [f"--prism_location={PRISM}", "--prism_log_level=error", "--environment_type=LOOPBACK"]
    return {"beam_runner": "prism", "beam_options": flags}

"""What a run is made of, as its models and its summary tell it later."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Any

from pipelines.config import Config


def provenance_of(
    config: Config, run: str, source: str, code: str, fingerprint: str, champion: str
) -> dict[str, Any]:
    """Everything that makes the models of a run.

    Args:
        config: what is run.
        run: the run's name.
        source: digest of the data.
        code: digest of the code.
        fingerprint: of all inputs; the same makes the same model.
        champion: folder of the version compared with; empty for none.
    """
    return {
        "run": run,
        "inputs_fingerprint": fingerprint,
        "source_digest": source,
        "code_digest": code,
        "code_revision": _revision(),
        "config_digest": config.digest(),
        "config": config.model_dump(mode="json", by_alias=True, exclude_none=True),
        "champion": champion,
    }


def _revision() -> str:
    """The git revision of the code, marked where files differ from it; empty outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return asked.stdout.strip()
    return ""

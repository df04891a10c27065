"""Finds the published version that a new model has to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.artifacts import Published, published_versions
from components.errors import DataError


def resolve_champion(base_path: Path, model_name: str, inputs_fingerprint: str) -> Path | None:
    """The newest published version, or what that version was judged against.

    A run with the newest version's own inputs makes that same model again. It is compared with
    the champion of the first time, so that running twice gives the same evaluation and decision.

    Args:
        base_path: folder that holds the models.
        model_name: the model's name below it.
        inputs_fingerprint: digest of the source's snapshot, the code and the configuration.

    Returns:
        The version's folder, or None where there is nothing to compare with.
    """
    versions = published_versions(base_path, model_name)
    if not versions:
        return None
    newest = versions[-1]
    provenance = _provenance(newest)
    if not inputs_fingerprint or provenance.get("inputs_fingerprint") != inputs_fingerprint:
        return newest.path
    # Only the number counts: the folder of the models may have been moved since.
    number = Path(str(provenance.get("champion") or "")).name
    earlier = [version.path for version in versions[:-1] if str(version.version) == number]
    return earlier[0] if earlier else None


def _provenance(version: Published) -> dict[str, Any]:
    """The version's provenance; empty where someone published it by other means."""
    try:
        content = version.provenance()
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}

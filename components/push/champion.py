"""Finds the published version that a new model has to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.artifacts import Published
from components.errors import DataError
from components.push.remote import local_version, versions_of


def resolve_champion(
    base_path: Path | str, model_name: str, inputs_fingerprint: str
) -> Path | None:
    """The newest published version, or what that version was judged against.

    A run with the newest version's own inputs makes that same model again. It is compared with
    the champion of the first time, so that running twice gives the same evaluation and decision.

    Args:
        base_path: folder that holds the models; a path, gs:// or s3://.
        model_name: the model's name below it.
        inputs_fingerprint: digest of the source's snapshot, the code and the configuration.

    Returns:
        The version's folder, or a copy of it here, or None where there is nothing to compare with.

    Raises:
        PublishError: the object store cannot be read.
    """
    versions = versions_of(base_path, model_name)
    if not versions:
        return None
    last = max(versions)
    newest = local_version(versions[last])
    provenance = _provenance(newest)
    if not inputs_fingerprint or provenance.get("inputs_fingerprint") != inputs_fingerprint:
        return newest.path
    # Only the number counts: the folder of the models may have been moved since.
    number = Path(str(provenance.get("champion") or "")).name
    earlier = [each for each in versions if each < last and str(each) == number]
    return local_version(versions[earlier[0]]).path if earlier else None


def _provenance(version: Published) -> dict[str, Any]:
    """The version's provenance; empty where someone published it by other means."""
    try:
        content = version.provenance()
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}

"""Finds the published version that a new model has to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.artifacts import Decision, Published, saved_model_digest
from components.errors import ConfigError, DataError
from components.push.remote import local_version, versions_of
from serving.storage import is_remote

# In place of a folder: the one that is published when the step runs.
AUTO = "auto"


def find_champion(
    asked: str, base_path: str, model_name: str, inputs_fingerprint: str
) -> tuple[str, str]:
    """The champion of a run on a cluster, where only a step sees what is published.

    Args:
        asked: the version's folder, empty for none, or `AUTO`.
        base_path, model_name, inputs_fingerprint: see `resolve_champion`.

    Returns:
        The version's folder and the digest of its model, both empty where there is none.

    Raises:
        ConfigError: there is no version in the folder that was asked for.
    """
    found: Path | None = Path(asked) if asked else None
    if asked == AUTO:
        # What a step fetches from an object store, the pods of the others do not see.
        here = base_path and not is_remote(base_path)
        found = resolve_champion(base_path, model_name, inputs_fingerprint) if here else None
    if found is None:
        return "", ""
    if not (found / "saved_model.pb").is_file():
        raise ConfigError(
            f"champion expects {AUTO!r}, nothing, or the folder of a published version. "
            f"Received: {asked!r}"
        )
    return str(found), saved_model_digest(found)


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
    number = Path(str(provenance.get("champion") or "")).name or _judged_against(newest)
    earlier = [each for each in versions if each < last and str(each) == number]
    return local_version(versions[earlier[0]]).path if earlier else None


def _provenance(version: Published) -> dict[str, Any]:
    """The version's provenance; empty where someone published it by other means."""
    try:
        content = version.provenance()
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}


def _judged_against(version: Published) -> str:
    """The number in the version's decision; a run on a cluster knows no champion before it."""
    try:
        content = Decision(version.provenance_folder).read()
    except DataError:
        return ""
    return str(content.get("champion_version") or "")

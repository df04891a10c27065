"""Finds the published version that a new model has to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.artifacts import Decision, Published, saved_model_digest
from components.errors import AlteredModelError, ConfigError, DataError
from components.push.remote import local_version, versions_of
from serving.storage import is_remote

# In place of a folder: the one that is published when the step runs.
AUTO = "auto"


def find_champion(
    asked: str, base_path: str, model_name: str, inputs_fingerprint: str, keep: str = ""
) -> tuple[str, str]:
    """The champion of a run on a cluster, where only a step sees what is published.

    Args:
        asked: folder or URI of a version, empty for none, or `AUTO`.
        base_path, model_name, inputs_fingerprint: see `resolve_champion`.
        keep: folder that the other steps see as well, for what lies in an object store. It gets a
            copy, so that they all compare with one content whatever becomes of the store, and need
            no access to it; without it each of them fetches the version by itself.

    Returns:
        The version's folder or URI and the digest of its model, both empty where there is none.

    Raises:
        ConfigError: there is no version in the place that was asked for.
        PublishError: the object store cannot be read, or what came is damaged.
        AlteredModelError: its files are not those that were published.
    """
    cache = Path(keep) if keep else None
    if asked == AUTO:
        found = _resolve(base_path, model_name, inputs_fingerprint, cache) if base_path else None
    else:
        found = local_version(asked, cache, "champion") if asked else None
    if found is None:
        return "", ""
    if not (found.path / "saved_model.pb").is_file():
        raise ConfigError(
            f"champion expects {AUTO!r}, nothing, or the folder or URI of a published version. "
            f"Received: {asked!r}"
        )
    # The cache of this pod's own is one that the others do not see.
    shared = cache is not None or not is_remote(found.location)
    return str(found.path) if shared else found.location, _checked_digest(found)


def served_version(champion: str, digest: str) -> Path | None:
    """The champion where a step can read it, if it is still the model that the run found.

    Args:
        champion: folder or URI of the version; empty for none.
        digest: of its model, as it was found; empty where nobody looked.

    Raises:
        PublishError: the object store cannot be read, or what came is damaged.
        ModelError: there is none any more.
        AlteredModelError: it is another model than at the run's start.
    """
    if not champion:
        return None
    version = local_version(champion, what="champion")
    received = saved_model_digest(version.path) if digest else ""
    if received != digest:
        raise AlteredModelError(
            f"expected {champion} to hold the model that this run compares with ({digest[:12]}). "
            f"Received: {received[:12]}; it was changed or replaced meanwhile, so run the pipeline "
            "again"
        )
    return version.path


def resolve_champion(
    base_path: Path | str, model_name: str, inputs_fingerprint: str
) -> tuple[Path, str] | None:
    """The newest published version, or what that version was judged against.

    A run with the newest version's own inputs makes that same model again. It is compared with
    the champion of the first time, so that running twice gives the same evaluation and decision.

    Args:
        base_path: folder that holds the models; a path, gs:// or s3://.
        model_name: the model's name below it.
        inputs_fingerprint: digest of the source's snapshot, the code and the configuration.

    Returns:
        The version's folder, or a copy of it here, and the digest of its model; None where there
        is nothing to compare with.

    Raises:
        PublishError: the object store cannot be read, or what came is damaged.
        AlteredModelError: its files are not those that were published.
    """
    found = _resolve(base_path, model_name, inputs_fingerprint, None)
    return None if found is None else (found.path, _checked_digest(found))


def _resolve(
    base_path: Path | str, model_name: str, inputs_fingerprint: str, cache: Path | None
) -> Published | None:
    versions = versions_of(base_path, model_name)
    if not versions:
        return None
    last = max(versions)
    newest = local_version(versions[last], cache)
    provenance = _provenance(newest)
    if not inputs_fingerprint or provenance.get("inputs_fingerprint") != inputs_fingerprint:
        return newest
    # Only the number counts: the folder of the models may have been moved since.
    number = Path(str(provenance.get("champion") or "")).name or _judged_against(newest)
    earlier = [each for each in versions if each < last and str(each) == number]
    return local_version(versions[earlier[0]], cache) if earlier else None


def _checked_digest(version: Published) -> str:
    """The digest of a version's model, if that is the one that its provenance is about.

    A store verifies each file by itself; whether they are the files of one model, only this tells.
    """
    digest = saved_model_digest(version.path)
    published = str(_provenance(version).get("model_digest") or digest)
    if published != digest:
        copy = f" in the copy {version.path}" if version.uri else ""
        raise AlteredModelError(
            f"expected the model that was published as {version.location} ({published[:12]}), to "
            f"compare with it. Received: {digest[:12]}{copy}; its files were changed or lost "
            "since. Restore them, or remove that version"
        )
    return digest


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

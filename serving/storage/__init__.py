"""Base paths of models, in local folders and in Google Cloud Storage: list, fetch, publish."""

from __future__ import annotations

from pathlib import Path

from serving.storage import local
from serving.storage.errors import StorageError

__all__ = ["StorageError", "download", "list_versions", "publish"]

GCS = "gs://"


def list_versions(base: str) -> dict[int, str]:
    """The versions that a server could load.

    Args:
        base: folder of numeric version folders; a path or gs://BUCKET/PREFIX.

    Returns:
        The path or URI of each version that is complete.

    Raises:
        StorageError: the base cannot be read.
    """
    if base.startswith(GCS):
        from serving.storage import gcs

        return gcs.list_versions(base)
    return local.list_versions(Path(base))


def download(location: str, destination: Path) -> None:
    """Copies a version to a new local folder, which appears when it is whole.

    Args:
        location: of the version; a path or URI.
        destination: must not exist yet.

    Raises:
        StorageError: it cannot be read or written.
    """
    if location.startswith(GCS):
        from serving.storage import gcs

        gcs.download(location, destination)
    else:
        local.copy(Path(location), destination)


def publish(source: Path, base: str, version: int) -> str:
    """Puts a version where servers find it; no server ever sees a part of it.

    Asked again after a failure, or after it was killed, it goes on where it was; asked again for
    what is there already, it does nothing.

    Args:
        source: folder of a SavedModel.
        base: folder of numeric version folders; a path or gs://BUCKET/PREFIX.
        version: its number.

    Returns:
        The path or URI of the version.

    Raises:
        StorageError: the version exists with other content, or the storage refuses.
    """
    if not (source / local.MARKER).is_file():
        raise StorageError(f"expected a SavedModel at {source}. Received: no {local.MARKER} there")
    if base.startswith(GCS):
        from serving.storage import gcs

        return gcs.publish(source, base, version)
    return str(local.publish(source, Path(base), version))

"""Base paths in Google Cloud Storage: every file first, and the one that makes a version last."""

from __future__ import annotations

import base64
import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.storage.errors import StorageError
from serving.storage.local import MARKER, files_of

# Seconds that one request may take, and that retries of it go on.
_TIMEOUT = 30.0
_RETRY_SECONDS = 60.0


def list_versions(base: str) -> dict[int, str]:
    """See `serving.storage.list_versions`; one request for each thousand files."""
    bucket, prefix = _split(base)
    found = {}
    with _errors(base):
        # Only the markers are asked for: a version may have thousands of other files.
        blobs = _client().list_blobs(
            bucket,
            prefix=prefix,
            match_glob=f"{prefix}*/{MARKER}",
            fields="items(name),nextPageToken",
            timeout=_TIMEOUT,
            retry=_retry(),
        )
        for blob in blobs:
            name = blob.name[len(prefix) :].removesuffix(f"/{MARKER}")
            if name.isascii() and name.isdecimal() and blob.name.endswith(f"/{MARKER}"):
                found[int(name)] = f"gs://{bucket}/{prefix}{name}"
    return found


def download(location: str, destination: Path) -> None:
    """See `serving.storage.download`; the library verifies every file's checksum."""
    bucket, prefix = _split(location)
    partial = destination.with_name(f".partial-{destination.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with _errors(location):
            for blob in _blobs(bucket, prefix):
                if blob.name.endswith("/"):
                    continue
                target = _inside(partial, blob.name[len(prefix) :])
                target.parent.mkdir(parents=True, exist_ok=True)
                blob.download_to_filename(
                    str(target), timeout=_TIMEOUT, retry=_retry(), checksum="crc32c"
                )
        if not (partial / MARKER).is_file():
            raise StorageError(f"expected a SavedModel at {location}. Received: no {MARKER} there")
        partial.rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _inside(folder: Path, name: str) -> Path:
    """The path of a file that must not lead out of its folder."""
    target = folder / name
    if ".." in target.parts or not target.is_relative_to(folder):
        raise StorageError(f"expected names below the version's folder. Received: {name!r}")
    return target


def publish(source: Path, base: str, version: int) -> str:
    """See `serving.storage.publish`."""
    bucket, prefix = _split(base)
    folder = f"{prefix}{version}/"
    location = f"gs://{bucket}/{folder.rstrip('/')}"
    files = files_of(source)
    with _errors(base):
        there = {blob.name[len(folder) :]: blob for blob in _blobs(bucket, folder)}
        if MARKER in there:
            if there.keys() != files.keys() or not all(
                there[name].crc32c == _crc32c(path) for name, path in files.items()
            ):
                raise StorageError(
                    f"expected no version {version} in {base}, or the same model. "
                    "Received: another model under that number"
                )
            return location
        # What an upload that was cut short left behind, and this model does not have.
        for name in there.keys() - files.keys():
            there[name].delete(
                timeout=_TIMEOUT, retry=_retry(), if_generation_match=there[name].generation
            )
        for name, path in files.items():
            known = there.get(name)
            # Every file is written only over what was listed, the one that makes it a version
            # last: of two that publish at once, one finds another generation and stops.
            if name != MARKER and (known is None or known.crc32c != _crc32c(path)):
                _upload(bucket, folder + name, path, known.generation if known else 0)
        stored = {blob.name[len(folder) :]: blob.crc32c for blob in _blobs(bucket, folder)}
        for name, path in files.items():
            if name != MARKER and stored.get(name) != _crc32c(path):
                raise StorageError(
                    f"somebody else publishes to {location} at the same time; {name} is theirs. "
                    "Publish again"
                )
        _upload(bucket, folder + MARKER, files[MARKER], 0)
    return location


def _upload(bucket: str, name: str, path: Path, generation: int) -> None:
    blob = _client().bucket(bucket).blob(name)
    blob.upload_from_filename(
        str(path),
        timeout=_TIMEOUT,
        retry=_retry(),
        checksum="crc32c",
        if_generation_match=generation,
    )


def _crc32c(path: Path) -> str:
    """CRC32C as Cloud Storage writes it: base64 of the big-endian number."""
    import google_crc32c

    checksum = google_crc32c.Checksum()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            checksum.update(block)
    return base64.b64encode(checksum.digest()).decode()


def _blobs(bucket: str, prefix: str) -> Iterator[Any]:
    blobs: Iterator[Any] = iter(
        _client().list_blobs(bucket, prefix=prefix, timeout=_TIMEOUT, retry=_retry())
    )
    return blobs


def _split(uri: str) -> tuple[str, str]:
    """Bucket, and prefix with a slash at its end."""
    bucket, _, path = uri.removeprefix("gs://").partition("/")
    if not bucket:
        raise StorageError(f"expected gs://BUCKET/FOLDER. Received: {uri}")
    path = path.strip("/")
    return bucket, f"{path}/" if path else ""


@functools.cache
def _client() -> Any:
    import os

    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return storage.Client(project="emulator", credentials=AnonymousCredentials())
    return storage.Client()


def _retry() -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(_RETRY_SECONDS)


@contextlib.contextmanager
def _errors(where: str) -> Iterator[None]:
    """One line for what the storage refuses, and for what is on the way to it."""
    from google.api_core.exceptions import (
        Forbidden,
        GoogleAPIError,
        NotFound,
        PreconditionFailed,
        Unauthorized,
    )
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption
    from requests.exceptions import RequestException

    try:
        yield
    except NotFound:
        raise StorageError(f"expected {where} to exist. Received: no such bucket or file") from None
    except (Forbidden, Unauthorized) as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"no permission for {where}: {reason}") from None
    except PreconditionFailed:
        raise StorageError(
            f"somebody else published to {where} at the same time; publish again"
        ) from None
    except GoogleAuthError as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"no credentials for {where}: {reason}") from None
    except (GoogleAPIError, RequestException, DataCorruption, OSError) as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"could not reach {where}: {reason}") from None

"""Google Cloud Storage: every write on a condition, verified by CRC32C, large ones resumable."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.storage.cache import remember, session_of
from serving.storage.checksums import crc32c
from serving.storage.errors import IntegrityError, StorageError, TakenError
from serving.storage.local import MARKER
from serving.storage.objects import PART, Progress, Stored

# Seconds that one request may take, and that retries of it go on.
_TIMEOUT = 30.0
_RETRY_SECONDS = 60.0


class Gcs:
    """See `serving.storage.objects.Store`."""

    scheme = "gs://"

    def listing(self, bucket: str, prefix: str) -> Iterator[Stored]:
        for blob in _client().list_blobs(bucket, prefix=prefix, timeout=_TIMEOUT, retry=_retry()):
            yield _stored(blob)

    def versions(self, bucket: str, prefix: str) -> Iterator[str]:
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
            if blob.name.endswith(f"/{MARKER}"):
                yield blob.name[len(prefix) :].removesuffix(f"/{MARKER}")

    def checksum(self, bucket: str, stored: Stored) -> str:
        return stored.checksum

    def read(self, bucket: str, stored: Stored, start: int, end: int) -> bytes:
        blob = _client().bucket(bucket).blob(stored.key, generation=int(stored.tag))
        # Raw: the checksum is that of the bytes as they lie there, compressed or not.
        content: bytes = blob.download_as_bytes(
            start=start,
            end=end - 1,
            raw_download=True,
            checksum=None,
            timeout=_TIMEOUT,
            retry=_retry(),
        )
        return content

    def put(self, bucket: str, key: str, path: Path, before: Stored | None, told: Progress) -> None:
        generation = int(before.tag) if before else 0
        size = path.stat().st_size
        blob = _client().bucket(bucket).blob(key)
        if size > PART:
            _put_resumably(blob, path, size, generation, told)
        else:
            blob.upload_from_filename(
                str(path),
                timeout=_TIMEOUT,
                retry=_retry(),
                checksum="crc32c",
                if_generation_match=generation,
            )
            told(size, size)

    def delete(self, bucket: str, stored: Stored) -> None:
        _client().bucket(bucket).blob(stored.key).delete(
            timeout=_TIMEOUT, retry=_retry(), if_generation_match=int(stored.tag)
        )

    def errors(self, where: str) -> contextlib.AbstractContextManager[None]:
        return _errors(where)


def _stored(blob: Any) -> Stored:
    known = f"crc32c:{blob.crc32c}" if blob.crc32c else ""
    return Stored(blob.name, blob.size, str(blob.generation), known)


def _put_resumably(blob: Any, path: Path, size: int, generation: int, told: Progress) -> None:
    """Uploads in parts; a session that a killed upload of the same content began goes on.

    The session's URI is a secret that lets anyone finish this upload, so it lies in a file of our
    own, until the upload is done. Cloud Storage forgets it after a week.
    """
    whole = crc32c(path)
    session = session_of("gs", blob.bucket.name, blob.name, whole, size, generation)
    uri = session.read_text("utf-8") if session.is_file() else ""
    position = _received(uri, size) if uri else None
    if position is None:
        # The store refuses the last part if the content is not what this says.
        blob.crc32c = whole.removeprefix("crc32c:")
        uri = blob.create_resumable_upload_session(
            size=size,
            timeout=_TIMEOUT,
            retry=_retry(),
            checksum=None,
            if_generation_match=generation,
        )
        remember(session, uri)
        position = 0
    with path.open("rb") as stream:
        while position < size:
            stream.seek(position)
            content = stream.read(PART)
            there = _send(uri, content, position, size)
            if there <= position:
                raise OSError(f"{blob.name} does not get on at byte {position} of {size}")
            position = there
            told(position, size)
    session.unlink(missing_ok=True)
    blob.reload(timeout=_TIMEOUT, retry=_retry())
    if blob.crc32c != whole.removeprefix("crc32c:"):
        raise IntegrityError(
            f"expected gs://{blob.bucket.name}/{blob.name} with the checksum {whole}. Received: "
            f"crc32c:{blob.crc32c}; upload it again"
        )


def _received(uri: str, size: int) -> int | None:
    """The bytes of a session that have arrived; None where it is over."""
    answer = _request(uri, b"", f"bytes */{size}")
    return None if answer.status_code in (400, 404, 410) else _position(answer, size)


def _send(uri: str, content: bytes, position: int, size: int) -> int:
    """Sends a part; where the next one begins."""
    span = f"bytes {position}-{position + len(content) - 1}/{size}"
    return _position(_request(uri, content, span), size)


def _position(answer: Any, size: int) -> int:
    from google.api_core.exceptions import from_http_response

    if answer.status_code in (200, 201):
        return size
    if answer.status_code == 308:
        _, _, last = answer.headers.get("Range", "").partition("-")
        return int(last) + 1 if last else 0
    raise from_http_response(answer)


def _request(uri: str, content: bytes, span: str) -> Any:
    import requests
    from google.api_core.exceptions import from_http_response

    def ask() -> Any:
        # The URI itself is the permission.
        headers = {"Content-Range": span}
        answer = requests.put(uri, data=content, headers=headers, timeout=_TIMEOUT)
        if answer.status_code in (429, 500, 502, 503, 504):
            raise from_http_response(answer)
        return answer

    return _retry()(ask)()


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
        raise TakenError(
            f"somebody else published to {where} at the same time; publish again"
        ) from None
    except GoogleAuthError as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"no credentials for {where}: {reason}") from None
    except DataCorruption as error:
        reason = " ".join(str(error).split())
        raise IntegrityError(f"what arrived at {where} is damaged: {reason}") from None
    except (GoogleAPIError, RequestException, OSError) as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"could not reach {where}: {reason}") from None

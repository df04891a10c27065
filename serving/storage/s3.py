"""S3 and what speaks its protocol: conditional writes, CRC32C, multipart uploads that go on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.storage.cache import remember, session_of
from serving.storage.checksums import crc32c, crc32c_of
from serving.storage.errors import IntegrityError, StorageError, TakenError
from serving.storage.local import MARKER
from serving.storage.objects import PART, Progress, Stored

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
# The protocol's own bound, with some room.
_MOST_PARTS = 9000
_READ_ATTEMPTS = 4
# Our own note of the CRC32C, for stores that keep no checksums.
_NOTE = "loomline-crc32c"
_MISSING = ("NoSuchBucket", "NoSuchKey", "404", "NotFound")
_REFUSED = ("AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_CONTESTED = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_DAMAGED = ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch")


class S3:
    """See `serving.storage.objects.Store`."""

    scheme = "s3://"

    def listing(self, bucket: str, prefix: str) -> Iterator[Stored]:
        pages = _client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", ()):
                yield Stored(one["Key"], one["Size"], one["ETag"])

    def versions(self, bucket: str, prefix: str) -> Iterator[str]:
        pages = _client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            for folder in page.get("CommonPrefixes", ()):
                name = folder["Prefix"][len(prefix) : -1]
                if name.isascii() and name.isdecimal() and _exists(bucket, prefix, name):
                    yield name

    def checksum(self, bucket: str, stored: Stored) -> str:
        head = _client().head_object(
            Bucket=bucket, Key=stored.key, IfMatch=stored.tag, ChecksumMode="ENABLED"
        )
        # A composite one is a checksum of checksums, which nobody can compare with a file's.
        if head.get("ChecksumType") == "FULL_OBJECT" or "-" not in stored.tag:
            for field, algorithm in (("ChecksumCRC32C", "crc32c"), ("ChecksumSHA256", "sha256")):
                if value := head.get(field):
                    return f"{algorithm}:{value}"
        if value := head["Metadata"].get(_NOTE):
            return f"crc32c:{value}"
        tag = stored.tag.strip('"')
        # The ETag of an object that came in one piece and is not under a key of KMS.
        plain = len(tag) == 32 and not head.get("SSEKMSKeyId")
        return f"md5:{tag}" if plain else ""

    def read(self, bucket: str, stored: Stored, start: int, end: int) -> bytes:
        from botocore.exceptions import BotoCoreError

        # The library retries a request, but not the reading of its answer.
        for attempt in range(_READ_ATTEMPTS):
            answer = _client().get_object(
                Bucket=bucket, Key=stored.key, Range=f"bytes={start}-{end - 1}", IfMatch=stored.tag
            )
            try:
                with contextlib.closing(answer["Body"]) as body:
                    content: bytes = body.read()
                    return content
            except (BotoCoreError, OSError):
                if attempt == _READ_ATTEMPTS - 1:
                    raise
                time.sleep(2**attempt / 2)
        raise AssertionError("unreachable")

    def put(self, bucket: str, key: str, path: Path, before: Stored | None, told: Progress) -> None:
        condition = {"IfMatch": before.tag} if before else {"IfNoneMatch": "*"}
        size = path.stat().st_size
        if size > PART:
            _put_in_parts(bucket, key, path, condition, told)
            return
        content = path.read_bytes()
        value = crc32c_of(content)
        _client().put_object(
            Bucket=bucket,
            Key=key,
            Body=content,
            ChecksumCRC32C=value,
            Metadata={_NOTE: value},
            **condition,
        )
        told(size, size)

    def delete(self, bucket: str, stored: Stored) -> None:
        _client().delete_object(Bucket=bucket, Key=stored.key)

    def errors(self, where: str) -> contextlib.AbstractContextManager[None]:
        return _errors(where)


def _exists(bucket: str, prefix: str, name: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        _client().head_object(Bucket=bucket, Key=f"{prefix}{name}/{MARKER}")
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            return False
        raise
    return True


def _put_in_parts(
    bucket: str, key: str, path: Path, condition: dict[str, str], told: Progress
) -> None:
    """Uploads in parts; those that a killed upload of this content to this place sent are kept."""
    client = _client()
    size = path.stat().st_size
    step = max(PART, -(-size // _MOST_PARTS))
    whole = crc32c(path).removeprefix("crc32c:")
    session = session_of("s3", client.meta.endpoint_url, bucket, key, whole, size)
    place = {"Bucket": bucket, "Key": key}
    there = None
    if session.is_file():
        there = _sent(place | {"UploadId": session.read_text("utf-8")})
    if there is None:
        begun = client.create_multipart_upload(
            **place,
            ChecksumAlgorithm="CRC32C",
            ChecksumType="FULL_OBJECT",
            Metadata={_NOTE: whole},
        )
        remember(session, begun["UploadId"])
        there = {}
    place["UploadId"] = session.read_text("utf-8")
    parts = []
    with path.open("rb") as stream:
        for number, start in enumerate(range(0, size, step), start=1):
            content = stream.read(step)
            value = crc32c_of(content)
            known = there.get(number)
            if known is not None and _is_part(known, content, value):
                tag = known["ETag"]
            else:
                sent = client.upload_part(
                    **place, PartNumber=number, Body=content, ChecksumCRC32C=value
                )
                tag = sent["ETag"]
            parts.append({"PartNumber": number, "ETag": tag, "ChecksumCRC32C": value})
            told(start + len(content), size)
    client.complete_multipart_upload(
        **place,
        MultipartUpload={"Parts": parts},
        ChecksumCRC32C=whole,
        ChecksumType="FULL_OBJECT",
        **condition,
    )
    session.unlink(missing_ok=True)


def _is_part(known: dict[str, Any], content: bytes, value: str) -> bool:
    if known["Size"] != len(content):
        return False
    if "ChecksumCRC32C" in known:
        return bool(known["ChecksumCRC32C"] == value)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return bool(known["ETag"].strip('"') == md5)


def _sent(place: dict[str, str]) -> dict[int, dict[str, Any]] | None:
    """The parts that an upload has by now; None where it is over."""
    from botocore.exceptions import ClientError

    try:
        return {
            part["PartNumber"]: part
            for page in _client().get_paginator("list_parts").paginate(**place)
            for part in page.get("Parts", ())
        }
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchUpload", "404"):
            return None
        raise


@functools.cache
def _client() -> Any:
    try:
        import boto3
    except ModuleNotFoundError:
        raise StorageError(
            "expected the package boto3 for s3:// locations. Received: it is not installed; "
            "install loomline[s3]"
        ) from None
    from botocore.config import Config

    # Endpoint, region, credentials and the number of attempts are those of AWS's own settings.
    return boto3.session.Session().client(
        "s3",
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard"},
        ),
    )


@contextlib.contextmanager
def _errors(where: str) -> Iterator[None]:
    """One line for what the store refuses, and for what is on the way to it."""
    _client()
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        FlexibleChecksumError,
        NoCredentialsError,
        NoRegionError,
        PartialCredentialsError,
    )

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        reason = " ".join(str(error).split())
        if code in _MISSING:
            said = f"expected {where} to exist. Received: no such bucket or file"
            raise StorageError(said) from None
        if code in _REFUSED:
            raise StorageError(f"no permission for {where}: {reason}") from None
        if code in _CONTESTED:
            said = f"somebody else published to {where} at the same time; publish again"
            raise TakenError(said) from None
        if code in _DAMAGED:
            raise IntegrityError(f"what arrived at {where} is damaged: {reason}") from None
        raise StorageError(f"could not use {where}: {reason}") from None
    except (NoCredentialsError, PartialCredentialsError, NoRegionError) as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"no credentials for {where}: {reason}") from None
    except FlexibleChecksumError as error:
        reason = " ".join(str(error).split())
        raise IntegrityError(f"what arrived from {where} is damaged: {reason}") from None
    except (BotoCoreError, OSError) as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"could not reach {where}: {reason}") from None

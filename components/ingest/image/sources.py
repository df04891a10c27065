"""Where images come from: sources by URI, read as streams."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from components.errors import ConfigError
from components.ingest.image.emoji import Emoji
from components.ingest.image.fashion_mnist import FashionMnist
from components.ingest.image.files import Files
from components.ingest.image.pictures import Source
from components.ingest.snapshots import digest_of
from components.transfers import REMOTE, local_source

_SCHEMES: dict[str, Callable[[str], Source]] = {
    "fashion-mnist": FashionMnist,
    "emoji": Emoji,
    "file": Files,
}


def open_source(source: str) -> Source:
    """Finds the source that a URI names; without a scheme it is a path or a glob.

    Raises:
        ConfigError: no source has the scheme.
        DataError: what the source needs is not installed, or it lies in an object store and
            cannot be fetched.
    """
    source = local_source(source, tables=(".csv",))
    scheme, colon, rest = source.partition(":")
    # A single letter before the colon is a Windows drive.
    if not colon or len(scheme) < 2 or not scheme.replace("-", "").isalnum():
        return Files(source)
    if scheme not in _SCHEMES:
        known = ", ".join([*(f"{name}:" for name in _SCHEMES), REMOTE])
        raise ConfigError(f"ingest.source: expected a path or one of {known}. Received: {source!r}")
    if rest.startswith("//"):
        rest = urllib.parse.unquote(rest.removeprefix("//"))
    return _SCHEMES[scheme](rest)


def source_files(source: str) -> list[Path]:
    """The files behind a source, and the images that a CSV file names.

    Raises:
        ConfigError: no source has the URI's scheme.
        DataError: there are none.
    """
    return [path for _, path in named_files(open_source(source))]


def named_files(source: Source) -> Iterator[tuple[str, Path]]:
    """The files behind a source by stable name, then the images that its CSV files name.

    Raises:
        DataError: there are none.
    """
    yield from source.files().items()
    if isinstance(source, Files):
        yield from source.images()


def snapshot_digest(source: str) -> str:
    """Identifies the content of a source: SHA-256 over its files' names and bytes.

    The images that a CSV file names are among them.

    Raises:
        ConfigError: no source has the URI's scheme.
        DataError: there is no file, or one cannot be read.
    """
    return digest_of(named_files(open_source(source)))

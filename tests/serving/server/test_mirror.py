"""Versions in object storage are copied whole or not at all, and copies do not pile up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from serving.server.mirror import Mirror
from serving.server.source import complete_versions

BUCKET = "gs://bucket/text"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for gs://bucket/text, behind the functions of `serving.storage`."""
    folder = tmp_path / "bucket"
    (folder / "3" / "variables").mkdir(parents=True)
    (folder / "3" / "saved_model.pb").write_bytes(b"model")
    (folder / "3" / "variables" / "variables.index").write_bytes(b"index")

    def download(uri: str, destination: Path) -> None:
        shutil.copytree(folder / uri.removeprefix(f"{BUCKET}/"), destination)
        if (folder / "broken").exists():
            raise OSError("connection reset")

    storage = types.ModuleType("serving.storage")
    storage.list_versions = lambda base: {3: f"{base}/3"}  # type: ignore[attr-defined]
    storage.download_version = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "serving.storage", storage)
    return folder


def test_a_version_in_a_bucket_is_copied_and_discarded(tmp_path: Path, bucket: Path) -> None:
    (location,) = (complete_versions(BUCKET) or {}).values()
    mirror = Mirror(tmp_path / "cache")
    copy = mirror.local_copy(location)
    assert (copy / "saved_model.pb").read_bytes() == b"model"
    assert (copy / "variables" / "variables.index").read_bytes() == b"index"
    again = mirror.local_copy(location)
    assert again != copy
    mirror.discard(location, copy)
    assert not copy.exists()
    assert again.exists()
    mirror.close()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_that_fails_leaves_nothing(tmp_path: Path, bucket: Path) -> None:
    (bucket / "broken").touch()
    mirror = Mirror(tmp_path / "cache")
    with pytest.raises(OSError, match="connection reset"):
        mirror.local_copy(f"{BUCKET}/3")
    (own,) = (tmp_path / "cache").iterdir()
    assert [entry.name for entry in own.iterdir()] == ["lock"]


def test_a_local_version_stays_where_it_is(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "cache")
    assert mirror.local_copy(str(tmp_path)) == tmp_path
    mirror.discard(str(tmp_path), tmp_path)
    mirror.close()
    assert tmp_path.exists()
    assert not (tmp_path / "cache").exists()


KILLED = """
import sys, time, types
from pathlib import Path

def download(uri, destination):
    destination.mkdir()
    (destination / "saved_model.pb").write_bytes(b"half")
    print("half", flush=True)
    time.sleep(60)

storage = sys.modules["serving.storage"] = types.ModuleType("serving.storage")
storage.download_version = download
from serving.server.mirror import Mirror
Mirror(Path(sys.argv[1])).local_copy("gs://bucket/text/3")
"""


def test_what_a_killed_process_left_is_never_used_and_is_removed(
    tmp_path: Path, bucket: Path
) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        # Another server that runs meanwhile leaves it alone.
        living = Mirror(cache)
        copy = living.local_copy(f"{BUCKET}/3")
        assert len(list(cache.iterdir())) == 2
        (half,) = cache.glob("server-*/.partial-*/version")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
    # Half a download never stands under the name of a copy.
    assert (half / "saved_model.pb").read_bytes() == b"half"
    newcomer = Mirror(cache)
    assert (newcomer.local_copy(f"{BUCKET}/3") / "saved_model.pb").read_bytes() == b"model"
    assert not half.exists()
    assert copy.exists()
    living.close()
    newcomer.close()
    assert list(cache.iterdir()) == []

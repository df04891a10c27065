"""Transfers arrive whole and verified, go on after a kill, and fail in one clear line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serving import storage
from serving.storage import IntegrityError, StorageError, gcs, s3

if TYPE_CHECKING:
    from tests.conftest import S3Server

SIZE = 2 * (8 << 20) + 1000


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of three parts."""
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


def test_files_and_folders_come_back_as_they_were(remote: str, tmp_path: Path, model: Path) -> None:
    storage.upload(model, f"{remote}/some/folder")
    storage.upload(model / "saved_model.pb", f"{remote}/one.pb")
    storage.download(f"{remote}/some/folder", tmp_path / "folder")
    storage.download(f"{remote}/one.pb", tmp_path / "one.pb")
    assert (tmp_path / "one.pb").read_bytes() == b"graph"
    names = sorted(path.relative_to(model) for path in model.rglob("*"))
    assert (
        sorted(path.relative_to(tmp_path / "folder") for path in (tmp_path / "folder").rglob("*"))
        == names
    )
    with pytest.raises(StorageError, match="no such file or folder"):
        storage.download(f"{remote}/one", tmp_path / "none")


def test_paths_are_uploaded_and_downloaded_too(tmp_path: Path, model: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "of before").touch()
    storage.upload(model, str(tmp_path / "there"))
    storage.download(str(tmp_path / "there" / "saved_model.pb"), tmp_path / "one.pb")
    assert (tmp_path / "one.pb").read_bytes() == b"graph"
    assert (tmp_path / "there" / "of before").exists()
    for ask in (
        lambda: storage.upload(tmp_path / "nothing", str(tmp_path / "x")),
        lambda: storage.download(str(tmp_path / "nothing"), tmp_path / "x"),
    ):
        with pytest.raises(StorageError, match="nothing"):
            ask()


def test_an_answer_that_was_lost_is_no_conflict(
    remote: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = s3.S3 if remote.startswith("s3") else gcs.Gcs
    put = kind.put
    monkeypatch.setattr(kind, "put", lambda *given: (put(*given), put(*given)))
    location = storage.publish(model, f"{remote}/text", 1)
    assert storage.list_versions(f"{remote}/text") == {1: location}


def test_of_two_that_publish_one_number_at_once_no_mixture_is_left(
    remote: str, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kind = s3.S3 if remote.startswith("s3") else gcs.Gcs
    put = kind.put
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"their index")

    def late(*given: object) -> None:
        monkeypatch.setattr(kind, "put", put)
        put(*given)
        if given[2] != "text/1/saved_model.pb":
            monkeypatch.setattr(kind, "put", late)
        else:
            storage.upload(theirs, f"{remote}/text/1/variables/variables.index")

    monkeypatch.setattr(kind, "put", late)
    with pytest.raises(storage.TakenError, match=r"variables.index is theirs"):
        storage.publish(model, f"{remote}/text", 1)
    assert storage.list_versions(f"{remote}/text") == {}


KILLED = """
import os, signal, sys
from pathlib import Path
from serving import storage

def told(done, total):
    if done > 8 << 20:
        os.kill(os.getpid(), signal.SIGKILL)

what, here, there = sys.argv[1:]
if what == "upload":
    storage.upload(Path(here), there, told)
else:
    storage.download(there, Path(here), told)
"""


def killed(what: str, here: Path, there: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, what, str(here), there], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_upload_goes_on(
    resumable: str, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed("upload", large, f"{resumable}/folder/large.bin")
    # Nothing is there under its name, and two of three parts have arrived.
    with pytest.raises(StorageError, match="no such file"):
        storage.download(f"{resumable}/folder/large.bin", tmp_path / "none")
    sent = []
    if resumable.startswith("s3"):
        s3._client().meta.events.register("before-call.s3.UploadPart", lambda **_: sent.append(1))
    else:
        send = gcs._send
        monkeypatch.setattr(gcs, "_send", lambda *given: (sent.append(1), send(*given))[1])
    storage.upload(large, f"{resumable}/folder/large.bin")
    assert len(sent) == 1
    storage.download(f"{resumable}/folder/large.bin", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()
    assert not list((tmp_path / "cache-of-loomline" / "uploads").iterdir())


def test_an_upload_whose_session_is_gone_begins_anew(
    resumable: str, large: Path, tmp_path: Path
) -> None:
    killed("upload", large, f"{resumable}/large.bin")
    (session,) = (tmp_path / "cache-of-loomline" / "uploads").iterdir()
    assert session.stat().st_mode & 0o077 == 0
    known = session.read_text()
    if resumable.startswith("s3"):
        s3._client().abort_multipart_upload(Bucket=resumable[5:], Key="large.bin", UploadId=known)
    else:
        session.write_text(known[:-4] + "gone")
    storage.upload(large, f"{resumable}/large.bin")
    storage.download(f"{resumable}/large.bin", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()


def test_a_killed_download_goes_on_and_is_verified(
    remote: str, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.upload(large, f"{remote}/large.bin")
    killed("download", tmp_path / "copy", f"{remote}/large.bin")
    assert not (tmp_path / "copy").exists()
    kind = s3.S3 if remote.startswith("s3") else gcs.Gcs
    read, asked = kind.read, []
    monkeypatch.setattr(kind, "read", lambda *given: (asked.append(given[3]), read(*given))[1])
    storage.download(f"{remote}/large.bin", tmp_path / "copy")
    assert asked == [16 << 20]
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()
    # What is there of something else is found by the checksum, and fetched anew.
    (tmp_path / ".partial-again").write_bytes(b"of something else")
    storage.download(f"{remote}/large.bin", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == large.read_bytes()


def test_a_damaged_file_is_one_line_and_never_appears(
    remote: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = storage.publish(model, f"{remote}/text", 1)
    kind = s3.S3 if remote.startswith("s3") else gcs.Gcs
    read = kind.read
    monkeypatch.setattr(kind, "read", lambda *given: b"!" + read(*given)[1:])
    with pytest.raises(IntegrityError, match=r"checksum crc32c:.* Received: crc32c:") as raised:
        storage.download_version(location, tmp_path / "copy")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "copy").exists()


def test_what_rots_in_the_store_is_found(
    s3: str, s3_server: S3Server, model: Path, tmp_path: Path
) -> None:
    location = storage.publish(model, f"s3://{s3}/text", 1)
    (s3_server.folder / s3 / "text" / "1" / "saved_model.pb").write_bytes(b"graPh")
    with pytest.raises(IntegrityError, match=r"saved_model.pb with the checksum crc32c:"):
        storage.download_version(location, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_is_damaged_on_the_way_to_the_store_is_refused(
    remote: str, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = s3 if remote.startswith("s3") else gcs
    other = tmp_path / "other"
    other.write_bytes(b"x" * SIZE)
    wrong = module.crc32c(other)
    monkeypatch.setattr(module, "crc32c", lambda path: wrong)
    with pytest.raises(IntegrityError) as raised:
        storage.upload(large, f"{remote}/large.bin")
    assert "\n" not in str(raised.value)


def test_a_bucket_without_permission_is_one_line(
    s3: str, s3_server: S3Server, forbidding: str, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    from serving.storage import s3 as module

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.stranger[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.stranger[1])
    module._client.cache_clear()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", forbidding)
    gcs._client.cache_clear()
    for base in (f"s3://{s3}/text", "gs://somebodys/text"):
        with pytest.raises(StorageError, match=f"no permission for {base}") as raised:
            storage.list_versions(base)
        assert "\n" not in str(raised.value)
    with pytest.raises(StorageError, match="no permission"):
        storage.publish(model, f"s3://{s3}/text", 1)
    gcs._client.cache_clear()


def test_an_endpoint_that_is_away_is_one_line(
    bucket: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.storage import s3 as module

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    module._client.cache_clear()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(gcs, "_RETRY_SECONDS", 0.5)
    gcs._client.cache_clear()
    for base in (f"s3://{s3}/text", f"gs://{bucket}/text"):
        with pytest.raises(StorageError, match=f"could not reach {base}") as raised:
            storage.list_versions(base)
        assert "\n" not in str(raised.value)
        assert "127.0.0.1" in str(raised.value)


def test_a_snapshot_is_fetched_once_and_follows_the_store(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv", "deep/er/c.csv", "d.txt"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    storage.upload(tmp_path / "data", f"{remote}/data")
    told: list[int] = []
    folder = storage.snapshot(f"{remote}/data", lambda done, _: told.append(done))
    assert told[-1] == sum(len(path.read_bytes()) for path in (tmp_path / "data").rglob("*.*"))
    assert {path.name for path in folder.rglob("*.*")} == {"a.csv", "b.csv", "c.csv", "d.txt"}
    assert storage.snapshot(f"{remote}/data/d.txt").read_text() == "d.txt"

    def matched(pattern: str) -> set[str]:
        local = storage.snapshot(f"{remote}/{pattern}")
        root = str(local).removesuffix(pattern)
        return {path.as_posix().removeprefix(root) for path in Path(root).glob("**/*.csv")}

    assert matched("data/*.csv") == {"data/a.csv", "data/b.csv"}
    assert matched("data/**/*.csv") == {"data/a.csv", "data/b.csv", "data/deep/er/c.csv"}
    # Everything so far came with the folder: nothing is read again.
    told.clear()
    assert storage.snapshot(f"{remote}/data", lambda done, _: told.append(done)) == folder
    assert not told
    (tmp_path / "data" / "a.csv").write_text("changed")
    storage.upload(tmp_path / "data", f"{remote}/data")
    changed = storage.snapshot(f"{remote}/data", lambda done, _: told.append(done))
    assert (changed / "a.csv").read_text() == "changed"
    assert (folder / "a.csv").read_text() == "a.csv"
    assert told == [len("changed")]
    with pytest.raises(StorageError, match="expected files at"):
        storage.snapshot(f"{remote}/data/*.parquet")

"""Versions appear whole or not at all, in folders and in object stores, however often one tries."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import storage
from serving.storage import StorageError, local

Base = Callable[[], str]


@pytest.fixture(params=["local", "gcs", "s3"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "models" / "text")
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('s3')}/models/text"
    return f"gs://{request.getfixturevalue('bucket')}/models/text"


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_published_is_listed_and_comes_back_as_it_was(
    base: str, model: Path, tmp_path: Path
) -> None:
    location = storage.publish(model, base, 7)
    storage.publish(model, base, 12)
    assert storage.list_versions(base) == {7: location, 12: f"{base}/12"}
    storage.download_version(location, tmp_path / "copy")
    assert content(tmp_path / "copy") == content(model)


def test_publishing_again_does_nothing(base: str, model: Path) -> None:
    assert storage.publish(model, base, 1) == storage.publish(model, base, 1)


def test_another_model_never_takes_a_number_that_is_taken(base: str, model: Path) -> None:
    storage.publish(model, base, 1)
    (model / "saved_model.pb").write_bytes(b"another graph")
    with pytest.raises(StorageError, match="another model under that number"):
        storage.publish(model, base, 1)


def test_a_folder_without_a_model_is_not_published(base: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"expected a SavedModel at .* no saved_model.pb"):
        storage.publish(tmp_path, base, 1)


def test_a_half_upload_is_no_version_and_is_finished_later(
    remote: str, model: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"of an older attempt")
    base = f"{remote}/text"
    storage.upload(old, f"{base}/3/variables/variables.index")
    storage.upload(old, f"{base}/3/left.over")
    assert storage.list_versions(base) == {}
    with pytest.raises(StorageError, match=r"no saved_model.pb"):
        storage.download_version(f"{base}/3", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()

    storage.download_version(storage.publish(model, base, 3), tmp_path / "copy")
    assert content(tmp_path / "copy") == content(model)


def test_other_names_below_a_base_are_not_versions(base: str, model: Path) -> None:
    storage.publish(model, base, 1)
    storage.publish(model, f"{base}/nested", 5)
    storage.publish(model, f"{base}x", 6)
    assert list(storage.list_versions(base)) == [1]


def test_a_bucket_that_is_not_there_is_one_line(remote: str, model: Path) -> None:
    scheme = remote[:5]
    for ask in (
        lambda: storage.list_versions(f"{scheme}no-such-bucket-anywhere/text"),
        lambda: storage.publish(model, f"{scheme}no-such-bucket-anywhere/text", 1),
        lambda: storage.list_versions(scheme),
    ):
        with pytest.raises(StorageError) as raised:
            ask()
        assert "\n" not in str(raised.value)
        assert scheme in str(raised.value)


def test_a_base_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        storage.list_versions(str(tmp_path / "nothing"))


def test_killed_at_any_moment_no_half_version_is_seen(tmp_path: Path, model: Path) -> None:
    (model / "large").write_bytes(os.urandom(40_000_000))
    base = tmp_path / "models"
    code = "import sys; from pathlib import Path; from serving import storage; print(flush=True);"
    code += "storage.publish(Path(sys.argv[1]), sys.argv[2], 1)"
    killed = 0
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(model), str(base)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.004 * attempt)
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        killed += process.wait() == -signal.SIGKILL
        for location in storage.list_versions(str(base)).values() if base.exists() else ():
            assert content(Path(location)) == content(model)
    assert killed
    location = storage.publish(model, str(base), 1)
    assert content(Path(location)) == content(model)


def test_a_publisher_waits_for_another_one_only_so_long(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LOCK_SECONDS", 0.3)
    with (tmp_path / ".publishing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match=r"expected nobody else to publish to .* 0\.3 s"):
            storage.publish(model, str(tmp_path), 7)
    storage.publish(model, str(tmp_path), 7)
    assert set(storage.list_versions(str(tmp_path))) == {7}

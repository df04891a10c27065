"""An environment is made once, from a lock, and a half-made one is never used."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.errors import SetupError
from components.serving_check import environments
from components.serving_check.environments import available_versions, ensure

REQUIREMENTS = Path("requirements")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock '0.1' of one small package, in the place of those of TensorFlow."""
    entries = (REQUIREMENTS / "tf-2.20.txt").read_text().split("\nabsl-py==")[1].splitlines()
    kept = [line for line in entries if line.startswith(("2.", "    --hash"))]
    end = next(place for place, line in enumerate(kept) if not line.endswith("\\"))
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "tf-0.1.txt").write_text("absl-py==" + "\n".join(kept[: end + 1]) + "\n")
    monkeypatch.setattr(environments, "_locks", lambda: [locks])
    return tmp_path / "environment"


def imports(python: Path) -> bool:
    return subprocess.run([str(python), "-c", "import absl"], check=False).returncode == 0


def make(folder: Path) -> Path:
    try:
        return ensure("0.1", folder)
    except SetupError as error:
        pytest.skip(f"the package index cannot be reached: {error}")


def test_it_is_made_once(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = make(small)
    assert imports(python)
    assert capsys.readouterr().out == f"progress: install TensorFlow 0.1 into {small}, once\n"
    assert list(small.rglob("absl/**/*.pyc"))
    assert ensure("0.1", small) == python
    assert capsys.readouterr().out == ""


def test_two_that_need_it_make_it_once(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(small)
    (small / ".ready").unlink()
    with ThreadPoolExecutor(2) as pool:
        pythons = list(pool.map(lambda _: ensure("0.1", small), range(2)))
    assert all(imports(python) for python in pythons)
    assert capsys.readouterr().out.count(" once\n") == 2


def test_a_half_made_one_and_one_of_another_lock_are_made_anew(small: Path) -> None:
    make(small)
    package = next(small.rglob("absl/__init__.py")).parent
    for left in (lambda: (small / ".ready").unlink(), lambda: (small / ".ready").write_text("x")):
        (package / "flags.txt").write_text("left over")
        left()
        assert imports(ensure("0.1", small))
        assert not (package / "flags.txt").exists()


def test_an_unreachable_index_is_one_line(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CACHE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=r"from the package index, .* Received: ") as error:
        ensure("0.1", small)
    assert "\n" not in str(error.value)
    assert not (small / ".ready").exists()


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(SetupError, match=r"of: 2.19, 2.20. Received: 1.15"):
        ensure("1.15")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="expected a folder at"):
        ensure("2.20", tmp_path / "file" / "environment")


def test_locks_are_exact_and_name_no_index() -> None:
    assert available_versions() == ["2.19", "2.20"]
    for version in available_versions():
        lock = (REQUIREMENTS / f"tf-{version}.txt").read_text()
        assert f"\ntensorflow-cpu=={version}." in lock
        assert "://" not in lock
        assert lock.count("--hash=sha256:") > lock.count("==") > 20


def test_a_waiter_gives_up_in_the_end(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(environments, "INSTALL_SECONDS", 1)
    small.mkdir()
    with (small / ".maker").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SetupError, match="is still held"):
            ensure("0.1", small)


def test_the_cache_is_used_where_the_package_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_ROOT", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder: Any = environments._default_folder("2.20")
    assert folder == tmp_path / "cache" / "loomline" / "tf-2.20"

"""Python environments with an older TensorFlow, made on first use from locks with hashes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from components.errors import SetupError

_ROOT = Path(__file__).parents[2]
# A gigabyte on a slow line.
INSTALL_SECONDS = 1800
# Not .lock, which is the installer's own.
_LOCK = ".maker"
_EXACT = ["--require-hashes", "--compile-bytecode"]


def ensure(version: str, folder: Path | None = None) -> Path:
    """The interpreter of an environment with a TensorFlow version, which is made if need be.

    A file that names the lock is written last, so one that was left half-made is made anew.

    Args:
        version: such as '2.20'; one that a lock exists for.
        folder: where; by default beside the repository's own environment, or in the user's cache
            where the package is installed.

    Raises:
        SetupError: no such lock, no installer, or the package index cannot be reached.
    """
    lock = _lock_file(version)
    target = folder or _default_folder(version)
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    python, marker = target / "bin" / "python", target / ".ready"
    if _ready(marker, wanted):
        return python
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"expected a folder at {target}. Received: {error}") from None
    with _held(target / _LOCK, version):
        if not _ready(marker, wanted):
            print(f"progress: install TensorFlow {version} into {target}, once", flush=True)
            marker.unlink(missing_ok=True)
            _install(lock, target, version)
            partial = marker.with_name(".ready.part")
            partial.write_text(wanted)
            partial.replace(marker)
    return python


def available_versions() -> list[str]:
    """The versions that a lock exists for, oldest first."""
    found = {
        path.stem.removeprefix("tf-") for folder in _locks() for path in folder.glob("tf-*.txt")
    }
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def _locks() -> list[Path]:
    """Where locks lie: in the repository, or where an installed package puts them."""
    return [_ROOT / "requirements", Path(sys.prefix) / "share" / "loomline" / "requirements"]


def _lock_file(version: str) -> Path:
    for folder in _locks():
        if (folder / f"tf-{version}.txt").is_file():
            return folder / f"tf-{version}.txt"
    accepted = ", ".join(available_versions()) or "none; run it from Loomline's repository"
    raise SetupError(f"expected a TensorFlow version of: {accepted}. Received: {version}")


def _default_folder(version: str) -> Path:
    if (_ROOT / "pyproject.toml").is_file() and os.access(_ROOT, os.W_OK):
        return _ROOT / f".venv-tf-{version}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "loomline" / f"tf-{version}"


def _ready(marker: Path, wanted: str) -> bool:
    try:
        return marker.read_text() == wanted
    except OSError:
        return False


@contextlib.contextmanager
def _held(path: Path, version: str) -> Iterator[None]:
    """One maker at a time; the kernel lets go of the file when its process ends."""
    with path.open("w") as stream:
        until = time.monotonic() + INSTALL_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise SetupError(
                        f"expected another process to finish installing TensorFlow {version} "
                        f"within {INSTALL_SECONDS} s. Received: {path} is still held"
                    ) from None
                if not told:
                    told = True
                    print(f"progress: TensorFlow {version} is being installed", flush=True)
                time.sleep(0.5)
        yield


def _install(lock: Path, target: Path, version: str) -> None:
    uv = _uv()
    python = str(target / "bin" / "python")
    for entry in target.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()
    commands = [
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(target)],
        [uv, "pip", "sync", "--quiet", "--python", python, *_EXACT, str(lock)],
    ]
    for command in commands:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            reason = f"it took longer than {INSTALL_SECONDS} s"
        except OSError as error:
            reason = str(error)
        else:
            if done.returncode == 0:
                continue
            reason = " ".join(done.stderr.split())[:300] or f"exit code {done.returncode}"
        raise SetupError(
            f"expected to install TensorFlow {version} from the package index, which must be "
            f"reachable once. Received: {reason}"
        )


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise SetupError("expected the installer uv. Received: none; pip install uv")
    return found

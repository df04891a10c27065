"""A Docker engine of one's own for a machine that has none, nor reaches a registry of images.

    python -m manifests.image.engine COMMAND...

Starts an engine from Debian's packages below .tools/docker, makes a base image from Debian's
packages, runs the command with DOCKER_HOST set, and ends the engine. It needs root on Debian or
Ubuntu with debootstrap. Images stay for the next time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from components.errors import LoomlineError, SetupError
from pipelines.processes import attached

FOLDER = Path(__file__).parents[2] / ".tools" / "docker"
# Stands in for python:3.13-slim-trixie: the same release of Debian, with Debian's own Python.
BASE = "loomline/base:trixie"
_PACKAGES = ("docker.io", "containerd", "runc", "iptables")
_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_NOT_IN_SLIM = (
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
_START_SECONDS = 60.0


@contextlib.contextmanager
def engine(folder: Path = FOLDER) -> Iterator[dict[str, str]]:
    """Starts the engine and ends it.

    Yields:
        The variables with which the docker command, its SDK and `manifests.image.build` find it.

    Raises:
        SetupError: this machine cannot have one; the message says what is missing.
    """
    if os.geteuid() != 0:
        raise SetupError("expected root, to start a Docker engine. Received: an ordinary user")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # One engine for a folder; whoever comes second waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = _unpacked(folder)
        host = f"unix://{folder}/docker.sock"
        variables = {
            "DOCKER_HOST": host,
            "PATH": f"{path}:{os.environ['PATH']}",
            "LOOMLINE_BUILD_NETWORK": "host",
            "LOOMLINE_IMAGE_BASE": BASE,
        }
        _clean(folder)
        process = _start(folder, variables)
        try:
            _await(process, folder, variables)
            _make_base(folder, variables)
            yield variables
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()
            _clean(folder)


def _unpacked(folder: Path) -> str:
    """Fetches and unpacks the engine; nothing is installed."""
    root = folder / "root"
    if not (root / "usr/sbin/dockerd").is_file():
        fetched = folder / "packages"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir()
        _run(["apt-get", "download", "-qq", *_PACKAGES], "Debian's package docker.io", cwd=fetched)
        for package in fetched.glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(package), str(root)], "dpkg")
        shutil.rmtree(fetched)
    return f"{root}/usr/bin:{root}/usr/sbin"


def _start(folder: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            attached(
                [
                    "dockerd",
                    f"--data-root={folder}/data",
                    f"--exec-root={folder}/exec",
                    f"--pidfile={folder}/dockerd.pid",
                    f"--host={variables['DOCKER_HOST']}",
                    # Steps need no network, and builds use the machine's: its rules stay.
                    "--bridge=none",
                    "--iptables=false",
                    "--ip6tables=false",
                ]
            ),
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
            # A process group of its own, so that Ctrl-C reaches the command first.
            start_new_session=True,
        )


def _await(process: subprocess.Popen[bytes], folder: Path, variables: dict[str, str]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    asked = ["docker", "version"]
    environment = {**os.environ, **variables}
    while subprocess.run(asked, env=environment, capture_output=True, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            last = (folder / "dockerd.log").read_text("utf-8", "replace").strip().splitlines()[-1:]
            raise SetupError(f"expected dockerd to start. Received: {' '.join(last) or 'nothing'}")
        time.sleep(0.2)


def _make_base(folder: Path, variables: dict[str, str]) -> None:
    environment = {**os.environ, **variables}
    asked = ["docker", "image", "inspect", BASE]
    if subprocess.run(asked, env=environment, capture_output=True, check=False).returncode == 0:
        return
    tree = folder / "base"
    shutil.rmtree(tree, ignore_errors=True)
    made = ["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", "trixie"]
    _run([*made, str(tree)], "debootstrap")
    for name in _NOT_IN_SLIM:
        shutil.rmtree(tree / name)
        (tree / name).mkdir()
    # Of the machine on which it was made.
    for name in ("etc/hostname", "etc/resolv.conf"):
        (tree / name).unlink(missing_ok=True)
    archive = subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE)
    with archive:
        imported = ["docker", "import", "-", BASE]
        subprocess.run(
            imported, env=environment, stdin=archive.stdout, check=True, stdout=subprocess.DEVNULL
        )
    shutil.rmtree(tree)


def _clean(folder: Path) -> None:
    """Ends what an engine that was killed left behind, and takes its mounts away."""
    for name in ("dockerd.pid", "exec/containerd/containerd.pid"):
        with contextlib.suppress(OSError, ValueError):
            pid = int((folder / name).read_text("utf-8"))
            # The number may be another process's by now.
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    (folder / "dockerd.pid").unlink(missing_ok=True)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    for mount in reversed(mounts):
        if Path(mount).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", mount], check=False)


def _run(command: list[str], needs: str, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd)
    except FileNotFoundError:
        raise SetupError(f"expected {needs}. Received: no command {command[0]}") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()[-1:]
        raise SetupError(f"expected {needs}. Received: {' '.join(said)}") from None


def main() -> None:
    """Runs a command beside the engine; where there can be none, says why and succeeds."""
    with contextlib.ExitStack() as stack:
        try:
            variables = stack.enter_context(engine())
        except LoomlineError as error:
            print(f"skipped: {error}")
            return
        done = subprocess.run(sys.argv[1:], env={**os.environ, **variables}, check=False)
        stack.close()
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()

"""Every test on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.store import RequestRecord, Store, open_store


@dataclasses.dataclass
class PostgreSQL:
    """A private server, reached over a socket in its own folder."""

    folder: Path
    programs: Path

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of its programs; PostgreSQL refuses to be run by root."""
        command = [str(self.programs / program), *arguments]
        if os.getuid() == 0:
            command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *command,
            ]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, timeout=120)

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def new_database(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        self.run("createdb", "-h", str(self.folder), "-U", "postgres", name)
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("PostgreSQL is missing: make test-tools")
    programs = found[-1].parent if found else Path(str(on_path)).resolve().parent
    # Not below pytest's own folder, which other users cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="loomline-postgresql-"))
    server = PostgreSQL(folder, programs)
    try:
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = str(folder / "data")
        server.run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'store.sqlite'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def record() -> Callable[..., RequestRecord]:
    """A record of a request, with what a test changes."""

    def record(name: str, **changed: Any) -> RequestRecord:
        values: dict[str, Any] = {
            "id": name,
            "created": datetime.now(UTC),
            "key_id": None,
            "model": "text",
            "version": 1,
            "label": None,
            "arm": "",
            "signature": "generate",
            "inputs": {"prompt": "a prompt"},
            "outputs": {"text": "an answer"},
            "status": "ok",
            "code": "",
            "message": "",
            "num_tokens": 3,
            "latency_ms": 12.5,
            "first_token_ms": None,
            "client_request_id": None,
            "streamed": False,
        }
        return RequestRecord(**{**values, **changed})

    return record

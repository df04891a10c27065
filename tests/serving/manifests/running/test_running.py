"""Model server, gateway and a client talk to each other with the manifests' own arguments.

`Node` in conftest.py lists what stands in for a cluster. The database is a real PostgreSQL with
TLS, whose certificate is checked as `sslmode=verify-full` asks.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.client import Client
from serving.store import open_store

HOST = "postgresql.example.internal"
# As somebody would set it who does not want to wait; everything else is as it stands.
QUICK = {
    "name": "model-server",
    "behavior": "merge",
    "literals": ["VERSION_POLL_SECONDS=1", "CONFIG_POLL_SECONDS=1"],
}
UNLIMITED = {"name": "gateway", "behavior": "merge", "literals": ["REQUESTS_PER_MINUTE=100000"]}


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def database(
    postgresql: Any, tmp_path_factory: pytest.TempPathFactory, new_port: Callable[[], int]
) -> Iterator[dict[str, str]]:
    """A PostgreSQL that takes passwords over TLS only: its port, password and authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: make test-tools")
    files, password = tmp_path_factory.mktemp("tls"), secrets.token_hex(12)
    (files / "names").write_text(f"subjectAltName=DNS:{HOST}")
    new = ("-newkey", "rsa:2048", "-nodes", "-subj")
    _openssl(files, "req", "-x509", *new, "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt")
    _openssl(files, "req", *new, "/CN=db", "-keyout", "server.key", "-out", "server.csr")
    _openssl(files, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
             "-CAcreateserial", "-extfile", "names", "-out", "server.crt")  # fmt: skip
    data, run = postgresql.folder / "tls", postgresql.run
    run("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8")
    for name in ("server.crt", "server.key"):
        shutil.copy(files / name, data / name)
        shutil.chown(data / name, data.owner(), data.group())
        (data / name).chmod(0o600)
    (data / "pg_hba.conf").write_text(
        "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
    )
    port = new_port()
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {postgresql.folder} -c ssl=on"
    log = str(postgresql.folder / "tls.log")
    run("pg_ctl", "-D", str(data), "-l", log, "-o", options + " -c fsync=off", "-w", "start")
    try:
        to = ("-h", str(postgresql.folder), "-p", str(port), "-U", "postgres")
        run("psql", *to, "-c", f"CREATE ROLE loomline LOGIN PASSWORD '{password}'")
        run("createdb", *to, "-O", "loomline", "loomline")
        authority = (files / "ca.crt").read_text("utf-8")
        yield {"port": str(port), "password": password, "ca.crt": authority}
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


@pytest.fixture(scope="module")
def deployed(
    overlay: Callable[..., Any],
    node: Callable[..., Any],
    database: dict[str, str],
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
) -> Iterator[Any]:
    """`cpu` with approvals, as a cluster would run it, and an API key."""
    rendered = overlay("cpu", "approvals", configMapGenerator=[QUICK, UNLIMITED])
    one = node(rendered, {"loomline-database": database, "loomline-reviewer": {"key": ""}})
    # The database's port stands in the URL; its name leads here, and is what its certificate names.
    one.ports[5432] = int(database["port"])
    settings = rendered.starting("ConfigMap", "gateway")["data"]
    assert f"@{HOST}:5432/" in settings["STORE"]
    settings["STORE"] = settings["STORE"].replace(":5432/", f":{database['port']}/")
    for version, name in ((1, "first"), (2, "second")):
        publish(saved_models[name], one.path("/models") / "text", version)
    one.server = one.start("model-server")
    one.gateway = one.start("gateway", PGHOSTADDR="127.0.0.1")
    one.await_probe("gateway", "startupProbe")
    one.await_probe("model-server", "startupProbe")
    one.await_probe("gateway", "readinessProbe")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGHOSTADDR", "127.0.0.1")
        patch.setenv("PGPASSWORD", database["password"])
        store = open_store(one._mapped(settings["STORE"]))
        _, one.key = store.keys.create("tests", admin=True)
        store.close()
    one.http = httpx.Client(
        base_url=f"http://127.0.0.1:{one.port(8080)}",
        headers={"Authorization": f"Bearer {one.key}"},
        timeout=30,
    )
    yield one
    one.http.close()


def test_every_probe_passes(deployed: Any) -> None:
    for name in ("model-server", "gateway"):
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert deployed.passes(name, kind), (name, kind)


def test_a_client_generates_through_both(deployed: Any) -> None:
    with Client(f"127.0.0.1:{deployed.port(8500)}", model="text") as client:
        # Version 2 lies beside it, and is not served before models.config says so.
        [direct] = client.generate(["Once"], seed=7, label="stable")
    assert direct.text == "first|7|Once"
    reply = deployed.http.post("/v1/generate", json={"prompt": "Once", "seed": 7})
    assert reply.json()["text"] == direct.text
    stream = deployed.http.post("/v1/generate", json={"prompt": "Once", "seed": 7, "stream": True})
    assert stream.headers["content-type"].startswith("text/event-stream")
    pieces = re.findall(r'"text": ?"([^"]*)"', stream.text)
    assert "".join(pieces[: len(pieces)]).startswith(direct.text)


def test_nobody_gets_in_without_a_key(deployed: Any) -> None:
    reply = httpx.post(f"{deployed.http.base_url}/v1/generate", json={"prompt": "Once"})
    assert reply.status_code == 401


def test_requests_are_recorded_in_the_database(deployed: Any, until: Callable[..., None]) -> None:
    asked = deployed.http.post("/v1/generate", json={"prompt": "kept"}).json()["request_id"]
    until(lambda: deployed.http.get(f"/v1/requests/{asked}").status_code == 200, 20)
    kept = deployed.http.get(f"/v1/requests/{asked}").json()
    assert kept["inputs"]["prompt"] == "kept"


def test_the_password_stands_in_no_argument_and_no_log(
    deployed: Any, database: dict[str, str]
) -> None:
    arguments = Path(f"/proc/{deployed.gateway.pid}/cmdline").read_text("utf-8")
    assert "sslmode=verify-full" in arguments
    assert database["password"] not in arguments
    assert database["password"] not in (deployed.root / "gateway.log").read_text("utf-8")


def test_metrics_are_where_the_configuration_says(deployed: Any) -> None:
    text = deployed.rendered.starting("ConfigMap", "model-server-files")["data"]
    [path] = re.findall(r'path: "([^"]+)"', text["monitoring.config"])
    page = httpx.get(f"http://127.0.0.1:{deployed.port(8501)}{path}").text
    assert ":tensorflow:serving:request_count" in page
    assert "loomline_gateway_in_flight" in deployed.http.get("/metrics").text


def test_the_job_that_publishes_runs(deployed: Any) -> None:
    command, variables = deployed.prepare("settle")
    done = subprocess.run(
        command,
        env=os.environ | variables | {"PGHOSTADDR": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "nothing was decided about"), done.stderr
    # And the page that decides is there, for admins.
    assert deployed.http.get("/v1/review").json()["candidates"] == []


def test_a_version_is_rolled_out_by_changing_the_config_map(
    deployed: Any, until: Callable[..., None]
) -> None:
    """The order of the how-to: load beside, then label; no request fails meanwhile."""
    before = deployed.rendered.one("ConfigMap", "models")["data"]["models.config"]
    process = deployed.server.pid

    def answer() -> str:
        reply = deployed.http.post("/v1/generate", json={"prompt": "x", "seed": 1})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["text"])

    both = before.replace("versions: 1", "versions: 1 versions: 2")
    assert both != before
    deployed.change("/etc/models", "models.config", both)
    rest = f"http://127.0.0.1:{deployed.port(8501)}/v1/models/text"
    until(lambda: answer() and httpx.get(f"{rest}/versions/2/metadata").status_code == 200)
    assert answer() == "first|1|x"
    deployed.change("/etc/models", "models.config", both.replace("value: 1", "value: 2"))
    until(lambda: answer() == "second|1|x")
    assert deployed.passes("model-server", "readinessProbe")
    # Back again, the same way.
    deployed.change("/etc/models", "models.config", both)
    until(lambda: answer() == "first|1|x")
    assert deployed.server.pid == process
    assert deployed.server.poll() is None


def test_a_wrong_config_map_changes_nothing(deployed: Any, until: Callable[..., None]) -> None:
    before = deployed.rendered.one("ConfigMap", "models")["data"]["models.config"]
    log = deployed.root / "model-server.log"
    for wrong in ("model_config_list { config {", before.replace("value: 1", "value: 9")):
        start = len(log.read_text("utf-8"))
        deployed.change("/etc/models", "models.config", wrong)
        until(lambda start=start: len(log.read_text("utf-8")) > start, 30)
        time.sleep(1)
        assert deployed.passes("model-server", "readinessProbe")
        reply = deployed.http.post("/v1/generate", json={"prompt": "x", "seed": 1})
        assert reply.json()["text"] == "first|1|x"
    deployed.change("/etc/models", "models.config", before)


def _connections(port: int) -> set[str]:
    """The local ends of open connections to a port of this machine."""
    # gRPC asks IPv4 addresses through sockets of IPv6.
    text = "".join(Path("/proc/net", name).read_text("utf-8") for name in ("tcp", "tcp6"))
    rows = [line.split() for line in text.splitlines() if "sl" not in line]
    return {row[1] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"}


def test_no_request_fails_where_connections_end_by_age(deployed: Any) -> None:
    """A gateway that keeps its connection would never notice pods that are new, or that go."""
    seen = _connections(deployed.port(8500))
    end = time.monotonic() + 36
    while time.monotonic() < end:
        reply = deployed.http.post("/v1/generate", json={"prompt": "x", "seed": 1})
        assert reply.status_code == 200, reply.text
        seen |= _connections(deployed.port(8500))
        time.sleep(0.05)
    assert len(seen) > 1


def test_sqlite_on_a_laptop(
    deployed: Any, overlay: Callable[..., Any], node: Callable[..., Any]
) -> None:
    """The overlay `minimal`; its model server would be the same, so this asks the one there is."""
    laptop = node(overlay("minimal"))
    laptop.ports[8500] = deployed.port(8500)
    laptop.start("gateway")
    laptop.await_probe("gateway", "readinessProbe")
    assert (laptop.path("/data") / "gateway.db").is_file()
    reply = httpx.post(f"http://127.0.0.1:{laptop.port(8080)}/v1/generate", json={"prompt": "x"})
    assert reply.status_code == 401


def test_both_end_within_their_grace(deployed: Any) -> None:
    """Last, as nothing runs afterwards."""
    for name, process in (("gateway", deployed.gateway), ("model-server", deployed.server)):
        grace = deployed.rendered.pod(name).spec["terminationGracePeriodSeconds"]
        process.send_signal(signal.SIGTERM)
        if name == "gateway":
            time.sleep(0.5)
            # Out of the service, and still answering.
            assert not deployed.passes(name, "readinessProbe")
            reply = deployed.http.post("/v1/generate", json={"prompt": "x", "seed": 1})
            assert reply.status_code == 200
        assert process.wait(timeout=grace) == 0

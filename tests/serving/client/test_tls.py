"""TLS and mTLS, with certificates made by the openssl command."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.client import AsyncClient, CertificateError, Client, Tls, UnavailableError, messages

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None,
    reason="needs the openssl command (Debian: apt install openssl)",
)


@dataclasses.dataclass
class Certificates:
    """Files of an authority and of those whose certificates it signs."""

    folder: Path

    def path(self, file: str) -> Path:
        return self.folder / file

    def read(self, file: str) -> bytes:
        return self.path(file).read_bytes()

    def authority(self, name: str) -> None:
        self._openssl("req", "-x509", *self._new(name, name), "-out", f"{name}.pem", "-days", "2")

    def sign(self, name: str, authority: str, host: str, days: int = 2) -> None:
        self.path("names").write_text(f"subjectAltName={host}")
        self._openssl("req", *self._new(name, name), "-out", f"{name}.csr")
        pair = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial")
        names = ("-extfile", "names", "-days", str(days))
        self._openssl("x509", "-req", "-in", f"{name}.csr", *pair, *names, "-out", f"{name}.pem")

    def _new(self, name: str, subject: str) -> tuple[str, ...]:
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return (*kind, "-keyout", f"{name}.key", "-subj", f"/CN={subject}")

    def _openssl(self, *arguments: str) -> None:
        command = ["openssl", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.authority("ca")
    made.authority("stranger")
    made.sign("good", "ca", "IP:127.0.0.1")
    made.sign("elsewhere", "ca", "DNS:models.example.com")
    made.sign("expired", "ca", "IP:127.0.0.1", days=-1)
    made.sign("person", "ca", "DNS:person")
    made.sign("impostor", "stranger", "DNS:person")
    return made


@pytest.fixture
def tls_server(serve: Callable[..., Any], certificates: Certificates) -> Callable[..., str]:
    """Starts a server with a certificate; `mutual` asks the client for one. Its address."""

    def tls_server(name: str, mutual: bool = False) -> str:
        pair = (certificates.read(f"{name}.key"), certificates.read(f"{name}.pem"))
        root = certificates.read("ca.pem") if mutual else None
        credentials = grpc.ssl_server_credentials([pair], root, mutual)
        return str(serve(status, credentials=credentials).address)

    return tls_server


def status(*_: Any) -> bytes:
    response = messages.GetModelStatusResponse()
    response.model_version_status.add(version=1, state=30)
    return bytes(response.SerializeToString())


def ask(address: str, tls: Tls | None) -> int:
    with Client(address, timeout=10, tls=tls) as client:
        return client.status()[0].version


def refused(address: str, tls: Tls) -> str:
    """The one line of the refusal, which comes at once, also to who waits."""
    with pytest.raises(CertificateError) as raised:
        ask(address, tls)
    started = time.monotonic()
    with Client(address, tls=tls) as client, pytest.raises(CertificateError):
        client.wait_until_available(30)
    assert time.monotonic() - started < 10
    assert raised.value.code == grpc.StatusCode.UNAVAILABLE
    assert "\n" not in str(raised.value)
    return raised.value.message


def test_a_certificate_that_is_trusted(
    tls_server: Callable[..., str], certificates: Certificates
) -> None:
    address = tls_server("good")
    assert ask(address, Tls(ca=certificates.path("ca.pem"))) == 1
    assert ask(address, Tls(ca=str(certificates.path("ca.pem")))) == 1
    assert ask(address, Tls(ca=certificates.read("ca.pem"))) == 1


def test_the_async_client_speaks_tls_too(
    tls_server: Callable[..., str], certificates: Certificates
) -> None:
    address = tls_server("good", mutual=True)

    async def work(name: str) -> int:
        pair = {"cert": certificates.path(f"{name}.pem"), "key": certificates.path(f"{name}.key")}
        tls = Tls(certificates.path("ca.pem"), **pair)
        async with AsyncClient(address, timeout=10, tls=tls) as client:
            return (await client.status())[0].version

    assert asyncio.run(work("person")) == 1
    with pytest.raises(CertificateError, match="does not trust the client's certificate"):
        asyncio.run(work("impostor"))


def test_an_unknown_authority(tls_server: Callable[..., str], certificates: Certificates) -> None:
    message = refused(tls_server("good"), Tls(ca=certificates.path("stranger.pem")))
    assert message.startswith("the server's certificate is not signed by the given authority")


def test_an_expired_certificate(tls_server: Callable[..., str], certificates: Certificates) -> None:
    message = refused(tls_server("expired"), Tls(ca=certificates.path("ca.pem")))
    assert message.startswith("the server's certificate has expired")


def test_a_certificate_for_another_name(
    tls_server: Callable[..., str], certificates: Certificates
) -> None:
    address = tls_server("elsewhere")
    message = refused(address, Tls(ca=certificates.path("ca.pem")))
    assert message.startswith("the server's certificate is for another name")
    named = Tls(ca=certificates.path("ca.pem"), server_name="models.example.com")
    assert ask(address, named) == 1


def test_a_client_certificate_that_is_trusted(
    tls_server: Callable[..., str], certificates: Certificates
) -> None:
    files = (certificates.path(name) for name in ("ca.pem", "person.pem", "person.key"))
    assert ask(tls_server("good", mutual=True), Tls(*files)) == 1


def test_a_client_certificate_that_is_missing(
    tls_server: Callable[..., str], certificates: Certificates
) -> None:
    message = refused(tls_server("good", mutual=True), Tls(ca=certificates.path("ca.pem")))
    assert message.startswith("the server asks for a client certificate")


def test_a_client_certificate_of_an_unknown_authority(
    tls_server: Callable[..., str], certificates: Certificates
) -> None:
    files = (certificates.path(name) for name in ("ca.pem", "impostor.pem", "impostor.key"))
    message = refused(tls_server("good", mutual=True), Tls(*files))
    assert message.startswith("the server does not trust the client's certificate")


def test_a_server_without_tls(serve: Callable[..., Any], certificates: Certificates) -> None:
    message = refused(serve(status).address, Tls(ca=certificates.path("ca.pem")))
    assert message.startswith("the server speaks no TLS")


def test_a_client_without_tls(tls_server: Callable[..., str]) -> None:
    with pytest.raises(
        UnavailableError, match=r"is it a server with TLS\? then give Tls"
    ) as raised:
        ask(tls_server("good"), None)
    assert type(raised.value) is UnavailableError


def test_a_server_that_closes_before_the_handshake_is_no_matter_of_certificates(
    certificates: Certificates,
) -> None:
    def close(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(10_000)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=close, args=[listening])
        thread.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(UnavailableError) as raised:
            ask(address, Tls(ca=certificates.path("ca.pem")))
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert type(raised.value) is UnavailableError


def test_files_that_are_no_certificates(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected cert and key together"):
        Client("localhost:1", tls=Tls(cert=certificates.path("person.pem")))
    with pytest.raises(ValueError, match=r"expected a PEM file at .*/none\.pem"):
        Client("localhost:1", tls=Tls(ca=tmp_path / "none.pem"))
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ValueError, match=r"expected a PEM file at .* Received: something else"):
        Client("localhost:1", tls=Tls(ca=tmp_path / "text.pem"))

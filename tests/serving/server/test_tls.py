"""A server with certificates of its own answers callers that it trusts, and no others."""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.server.errors import ConfigError
from serving.server.tls import server_credentials


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed("authority", self._key.public_key(), authority=True)
        self.pem = _pem(self._certificate)

    def pair(self, name: str) -> tuple[str, str]:
        """A key and its certificate."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return text.decode(), _pem(self._signed(name, key.public_key()))

    def _signed(self, name: str, public_key: Any, authority: bool = False) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import NameOID

        def named(text: str) -> Any:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _pem(certificate: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    return str(certificate.public_bytes(serialization.Encoding.PEM).decode())


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes an SSLConfig."""

    def config(**fields: Any) -> Path:
        file = tmp_path / "ssl.txt"
        # A JSON string is a string of protobuf's text format.
        file.write_text("\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()))
        return file

    return config


def status(address: str, **credentials: bytes | None) -> Any:
    """GetModelStatus over TLS."""
    from serving.client import messages

    request = messages.GetModelStatusRequest(model_spec=messages.ModelSpec(name="text"))
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(**credentials)) as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=messages.GetModelStatusResponse.FromString,
        )
        return call(request, timeout=5)


def refusal(address: str, **credentials: bytes | None) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        status(address, **credentials)
    code = raised.value.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def test_a_server_speaks_tls_and_asks_for_certificates(
    authority: Authority,
    config: Callable[..., Path],
    start_server: Callable[..., Any],
    tmp_path: Path,
) -> None:
    key, certificate = authority.pair("server")
    file = config(
        server_key=key, server_cert=certificate, custom_ca=authority.pem, client_verify=True
    )
    address = start_server(tmp_path, f"--ssl_config_file={file}").address
    trusted = authority.pem.encode()
    own_key, own_certificate = (text.encode() for text in authority.pair("caller"))
    with pytest.raises(grpc.RpcError, match="Could not find any versions of model text"):
        status(
            address,
            root_certificates=trusted,
            private_key=own_key,
            certificate_chain=own_certificate,
        )
    assert refusal(address, root_certificates=trusted) == grpc.StatusCode.UNAVAILABLE
    foreign = [text.encode() for text in Authority().pair("stranger")]
    assert (
        refusal(
            address,
            root_certificates=trusted,
            private_key=foreign[0],
            certificate_chain=foreign[1],
        )
        == grpc.StatusCode.UNAVAILABLE
    )
    stranger = Authority().pem.encode()
    assert refusal(address, root_certificates=stranger) == grpc.StatusCode.UNAVAILABLE


def test_a_server_without_client_verify_asks_for_no_certificate(
    authority: Authority, config: Callable[..., Path]
) -> None:
    from concurrent import futures

    key, certificate = authority.pair("server")
    server = grpc.server(futures.ThreadPoolExecutor(1))
    file = config(server_key=key, server_cert=certificate)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(file))
    server.start()
    try:
        # It gets through to a server without services.
        code = refusal(f"127.0.0.1:{port}", root_certificates=authority.pem.encode())
        assert code == grpc.StatusCode.UNIMPLEMENTED
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"server_key": ""}, "Received: no server_key"),
        ({"server_cert": ""}, "Received: no server_cert"),
        ({"custom_ca": "", "client_verify": True}, "client_verify without custom_ca"),
        ({"server_key": "/etc/key.pem"}, "to be an unencrypted PEM key and its certificate"),
        ({"server_cert": "nonsense"}, "to be an unencrypted PEM key and its certificate"),
        ({"custom_ca": "nonsense"}, "expected custom_ca in"),
        ({"server_kee": "x"}, "fields server_key, server_cert, custom_ca, client_verify"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(
    authority: Authority, config: Callable[..., Path], change: dict[str, Any], message: str
) -> None:
    key, certificate = authority.pair("server")
    fields = {"server_key": key, "server_cert": certificate, "custom_ca": authority.pem}
    file = config(**(fields | change))
    with pytest.raises(ConfigError) as raised:
        server_credentials(file)
    assert message in str(raised.value)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert key.splitlines()[1] not in str(raised.value)


def test_a_key_of_another_certificate_is_refused(
    authority: Authority, config: Callable[..., Path]
) -> None:
    file = config(server_key=authority.pair("a")[0], server_cert=authority.pair("b")[1])
    with pytest.raises(ConfigError, match="key and its certificate"):
        server_credentials(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--ssl_config_file.*nowhere"):
        server_credentials(tmp_path / "nowhere")


def test_a_server_does_not_start_with_a_bad_file(
    start_server: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "ssl.txt").write_text("server_key: 1")
    running = start_server(tmp_path, f"--ssl_config_file={tmp_path / 'ssl.txt'}")
    assert running.process.wait(timeout=30) == 2
    (line,) = running.log.read_text().splitlines()
    assert line.startswith(f"error: expected {tmp_path / 'ssl.txt'} (--ssl_config_file) to hold")

"""Who asks is proved by a token file that rotates, by a cookie, or by Google's proxy."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_kubeflow import FakeKubeflow

from components.errors import ConfigError
from pipelines.kubeflow import Connection, KubeflowError
from pipelines.kubeflow.api import Api


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first-token\n", "utf-8")
    return path


def asks(connection: Connection) -> None:
    with Api(connection, attempts=2, first_wait=0.01) as api:
        api.check()


def test_a_token_that_rotates_is_read_anew(
    kubeflow: FakeKubeflow, host: str, token_file: Path
) -> None:
    kubeflow.token = "first-token"
    with Api(Connection(host, token_file=token_file)) as api:
        api.check()
        kubeflow.token = "second-token"
        token_file.write_text("second-token", "utf-8")
        api.check()


def test_a_token_that_rotates_between_the_reading_and_the_asking(
    kubeflow: FakeKubeflow, host: str, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeflow.token = "second-token"
    read = iter(["first-token", "second-token"])
    monkeypatch.setattr(Path, "read_text", lambda *_: next(read))
    asks(Connection(host, token_file=token_file))
    assert len(kubeflow.requests) == 2


def test_a_wrong_token_is_one_line_that_does_not_hold_it(
    kubeflow: FakeKubeflow, host: str, token_file: Path
) -> None:
    kubeflow.token = "another"
    with pytest.raises(KubeflowError) as refused:
        asks(Connection(host, token_file=token_file))
    message = str(refused.value)
    assert "Received: 401 Unauthenticated: the token was not accepted" in message
    assert f"(who asks: the token in {token_file})" in message
    assert "first-token" not in message


def test_no_proof_at_all_names_what_there_is(kubeflow: FakeKubeflow, host: str) -> None:
    kubeflow.token = "another"
    with pytest.raises(KubeflowError, match=r"pass --token-file, --cookie-file or --iap-audience"):
        asks(Connection(host))


@pytest.mark.parametrize(
    ("content", "received"),
    [(None, "No such file"), ("", "an empty file"), ("a\nb", "3 other characters")],
)
def test_a_token_file_that_holds_none(
    host: str, tmp_path: Path, content: str | None, received: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=f"--token-file expects a file with a token.*{received}"):
        asks(Connection(host, token_file=path))


def test_a_cookie(kubeflow: FakeKubeflow, host: str, tmp_path: Path) -> None:
    kubeflow.cookie = "authservice_session=abc"
    path = tmp_path / "cookie"
    path.write_text("authservice_session=abc\n", "utf-8")
    asks(Connection(host, cookie_file=path))


def test_one_proof_is_enough(host: str, token_file: Path) -> None:
    with pytest.raises(ConfigError, match="Received: --token-file and --iap-audience"):
        asks(Connection(host, token_file=token_file, iap_audience="client"))


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Credentials of Google's form, whose tokens a server on this machine gives out."""
    tokens: list[str] = []

    class Google(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            tokens.append(_id_token(len(tokens)))
            body = json.dumps({"id_token": tokens[-1]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with HTTPServer(("127.0.0.1", 0), Google) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        path = tmp_path / "service-account.json"
        account = {
            "type": "service_account",
            "client_email": "ci@example.iam",
            "private_key": key.decode(),
            "token_uri": f"http://127.0.0.1:{server.server_port}/token",
        }
        path.write_text(json.dumps(account), "utf-8")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        yield tokens
        server.shutdown()


def _id_token(number: int) -> str:
    from base64 import urlsafe_b64encode

    claims = {"aud": "client", "exp": int(time.time()) + 3600, "n": number}
    parts = [{"alg": "none"}, claims]
    return (
        ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts) + ".eA=="
    )


def test_googles_proxy_gets_an_identity_token_that_is_kept_and_renewed(
    kubeflow: FakeKubeflow, host: str, service_account: list[str]
) -> None:
    with Api(Connection(host, iap_audience="client"), first_wait=0.01) as api:
        api.check()
        api.check()
        assert len(service_account) == 1
        assert kubeflow.requests[-1][2]["Authorization"] == f"Bearer {service_account[0]}"
        # The proxy no longer takes it: another one is asked for, once.
        kubeflow.token = "of nobody"
        with pytest.raises(KubeflowError, match=r"401 .*an identity token for client"):
            api.check()
    assert len(service_account) == 2


def test_without_credentials_it_says_where_they_come_from(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match="--iap-audience expects credentials"):
        asks(Connection(host, iap_audience="client"))

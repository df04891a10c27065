"""People are told by real sockets; whoever does not listen stops nobody."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from serving.notify import Mail, NotifyError, Webhook, channels, notify


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "SECONDS", 0.3)
    monkeypatch.setattr(channels, "_PAUSE", 0.01)


class Receiver:
    """A web server that answers with the statuses it is given, the last one for good."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.bodies.append((self.headers["Content-Type"], json.loads(body)))
                status = outer.statuses[0]
                outer.statuses = outer.statuses[1:] or [status]
                if status == 0:
                    time.sleep(1.0)
                self.send_response(status or 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret/path"


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def receiver(*statuses: int) -> Receiver:
        made.append(Receiver(*statuses))
        return made[-1]

    yield receiver
    for one in made:
        one.server.shutdown()
        one.server.server_close()


class Post(socketserver.ThreadingTCPServer):
    """A mail server: enough of RFC 5321 for one message, with replies to break it."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, **replies: str) -> None:
        self.replies = replies
        self.messages: list[str] = []
        self.recipients: list[str] = []
        super().__init__(("127.0.0.1", 0), Talk)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = (
            f"smtp://127.0.0.1:{self.server_address[1]}?from=a@example.org&to=b@example.org"
            "&to=c@example.org"
        )


class Talk(socketserver.StreamRequestHandler):
    server: Post

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self) -> None:
        if "silent" in self.server.replies:
            time.sleep(1.0)
            return
        self.say("220 here")
        for raw in self.rfile:
            word = raw.split()[0].decode().lower() if raw.split() else ""
            if word == "rcpt":
                self.server.recipients.append(raw.decode().split("<")[1].split(">")[0])
            reply = self.server.replies.get(word)
            if reply:
                self.say(reply)
            elif word == "data":
                self.say("354 go on")
                lines = []
                for line in self.rfile:
                    if line == b".\r\n":
                        break
                    lines.append(line.decode())
                self.server.messages.append("".join(lines))
                self.say("250 taken")
            elif word == "quit":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


@pytest.fixture
def post() -> Iterator[Callable[..., Post]]:
    made: list[Post] = []

    def post(**replies: str) -> Post:
        made.append(Post(**replies))
        return made[-1]

    yield post
    for one in made:
        one.shutdown()
        one.server_close()


def test_a_webhook_gets_the_text(receiver: Callable[..., Receiver]) -> None:
    web = receiver(200)
    Webhook(web.url).send("Run a waits \u2713")
    assert web.bodies == [("application/json", {"text": "Run a waits \u2713"})]


def test_a_webhook_that_fails_for_a_moment_is_asked_again(
    receiver: Callable[..., Receiver],
) -> None:
    web = receiver(500, 429, 200)
    Webhook(web.url).send("hello")
    assert len(web.bodies) == 3


@pytest.mark.parametrize(
    ("status", "calls", "said"),
    [(500, 3, "3 times: status 500"), (404, 1, "Received: 404"), (0, 3, "no answer within 0.3 s")],
)
def test_a_webhook_that_refuses_or_hangs_is_given_up(
    receiver: Callable[..., Receiver], status: int, calls: int, said: str
) -> None:
    web = receiver(status)
    begun = time.monotonic()
    with pytest.raises(NotifyError) as raised:
        Webhook(web.url).send("hello")
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)
    assert len(web.bodies) == calls
    # Three times a third of a second, on a machine as busy as may be.
    assert time.monotonic() - begun < 20


def test_nobody_at_the_address_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for channel in (
            Webhook(f"http://127.0.0.1:{port}/"),
            Mail(f"smtp://127.0.0.1:{port}?from=a@b&to=c@d"),
        ):
            with pytest.raises(NotifyError, match="3 times: Connection refused"):
                channel.send("hello")


def test_a_mail_reaches_everybody(post: Callable[..., Post]) -> None:
    server = post()
    Mail(server.url).send("Run a waits\napproved: all rules pass \u2713")
    (message,) = server.messages
    assert "Subject: Run a waits\r\n" in message
    assert "From: a@example.org" in message
    assert server.recipients == ["b@example.org", "c@example.org"]


def test_a_subject_cannot_smuggle_headers(post: Callable[..., Post]) -> None:
    server = post()
    Mail(server.url).send("Run a\x0bBcc: eve@example.org\r\nmore")
    (message,) = server.messages
    headers = message.split("\r\n\r\n")[0]
    assert "Subject: Run a\r\n" in headers
    assert "Bcc" not in headers


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ({"mail": "550 no"}, "Received: reply 550"),
        ({"mail": "451 later"}, "3 times: reply 451"),
        ({"rcpt": "550 unknown"}, "SMTPRecipientsRefused"),
        ({"silent": ""}, "3 times: Connection unexpectedly closed: timed out"),
    ],
)
def test_a_mail_server_that_refuses_is_one_line(
    post: Callable[..., Post], replies: dict[str, str], said: str
) -> None:
    server = post(**replies)
    with pytest.raises(NotifyError) as raised:
        Mail(server.url).send("hello")
    assert said in str(raised.value)
    assert server.messages == []


def test_a_password_is_never_sent_in_the_clear(post: Callable[..., Post]) -> None:
    server = post(starttls="454 no TLS today")
    with pytest.raises(NotifyError):
        Mail(server.url.replace("smtp://", "smtp://me:hidden@")).send("hello")
    assert server.messages == []


@pytest.mark.parametrize(
    ("channel", "url"),
    [
        (Webhook, "hooks.example/secret"),
        (Webhook, "ftp://host/secret"),
        (Webhook, "http://[secret"),
        (Mail, "smtp://host"),
        (Mail, "smtp://host?from=a@b"),
        (Mail, "smtp://u:secret@host:port?from=a@b&to=c@d"),
        (Mail, "imap://host?from=a@b&to=c@d"),
    ],
)
def test_an_address_of_another_form_is_one_line(channel: Any, url: str) -> None:
    with pytest.raises(NotifyError, match="Received: another form") as raised:
        channel(url)
    assert "secret" not in str(raised.value)


def test_one_channel_that_fails_does_not_silence_the_other(
    receiver: Callable[..., Receiver], post: Callable[..., Post]
) -> None:
    web, server = receiver(404), post()
    environment = {"LOOMLINE_WEBHOOK_URL": web.url, "LOOMLINE_SMTP_URL": server.url}
    (problem,) = notify("hello", environment)
    assert problem.startswith("not notified: expected the webhook at 127.0.0.1")
    assert len(server.messages) == 1
    assert notify("hello", {}) == []
    assert "LOOMLINE_SMTP_URL" in notify("hello", {"LOOMLINE_SMTP_URL": "x"})[0]

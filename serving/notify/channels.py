"""The ways to reach people: a webhook that Slack understands, and SMTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

SECONDS = 5.0
TRIES = 3
_PAUSE = 0.5
_OK = range(200, 300)
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)
_SUBJECT_LETTERS = 120


class NotifyError(Exception):
    """A message was not delivered, or a channel is set wrongly; one line without its secrets."""


class Channel(Protocol):
    """A way to reach people."""

    def send(self, text: str) -> None:
        """Delivers a message.

        Raises:
            NotifyError: it was not delivered; a hanging receiver is given up after some seconds.
        """


class _TryAgainError(Exception):
    """The receiver may take it a moment later."""


class Webhook:
    """Posts `{"text": ...}`, as Slack, Mattermost and others take it."""

    def __init__(self, url: str) -> None:
        """Checks the address.

        Raises:
            NotifyError: it is none.
        """
        parsed = _split(url)
        if parsed.scheme not in ("http", "https") or not parsed.hostname:
            raise NotifyError(
                "expected LOOMLINE_WEBHOOK_URL as https://HOST/PATH. Received: another form"
            )
        self._url = url
        # The path is what keeps a webhook secret.
        self._name = f"the webhook at {parsed.hostname}"

    def send(self, text: str) -> None:
        """See `Channel`."""
        _persist(self._name, lambda: self._post(text))

    def _post(self, text: str) -> None:
        request = urllib.request.Request(
            self._url,
            json.dumps({"text": text}).encode(),
            {"Content-Type": "application/json", "User-Agent": "loomline"},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            error.close()
            status = error.code
        if status in _TRY_AGAIN:
            raise _TryAgainError(f"status {status}")
        if status not in _OK:
            raise NotifyError(f"expected {self._name} to take the message. Received: {status}")


class Mail:
    """Sends e-mail through a server that takes it for others."""

    def __init__(self, url: str) -> None:
        """Reads the address.

        Args:
            url: `smtp://USER:PASSWORD@HOST:PORT?from=A&to=B`, where user and password may be
                missing and `to` may come again; `smtps://` for TLS from the start. With a password
                on `smtp://`, STARTTLS comes first.

        Raises:
            NotifyError: it is of another form.
        """
        parsed = _split(url)
        asked = parse_qs(parsed.query)
        wanted = "smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS&to=ADDRESS"
        try:
            self._port = parsed.port
        except ValueError:
            self._port = -1
        known = parsed.scheme in ("smtp", "smtps") and self._port != -1
        if not known or not parsed.hostname or len(asked.get("from", [])) != 1 or "to" not in asked:
            raise NotifyError(f"expected LOOMLINE_SMTP_URL as {wanted}. Received: another form")
        self._tls = parsed.scheme == "smtps"
        self._host = parsed.hostname
        self._login = parsed.username and (unquote(parsed.username), unquote(parsed.password or ""))
        self._from, self._to = asked["from"][0], asked["to"]
        self._name = f"the mail server at {parsed.hostname}"

    def send(self, text: str) -> None:
        """See `Channel`."""
        message = EmailMessage()
        message["Subject"] = " ".join(text.splitlines()[0].split())[:_SUBJECT_LETTERS]
        message["From"], message["To"] = self._from, ", ".join(self._to)
        message.set_content(text)
        _persist(self._name, lambda: self._deliver(message))

    def _deliver(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        arguments: dict[str, Any] = {"timeout": SECONDS}
        kind = smtplib.SMTP_SSL if self._tls else smtplib.SMTP
        if self._tls:
            arguments["context"] = context
        try:
            with kind(self._host, self._port or 0, **arguments) as server:
                if self._login:
                    if not self._tls:
                        server.starttls(context=context)
                    server.login(*self._login)
                server.send_message(message)
        except smtplib.SMTPResponseException as error:
            # What begins with 4 is for now, what begins with 5 for good (RFC 5321, 4.2.1).
            if 400 <= error.smtp_code < 500:
                raise _TryAgainError(f"reply {error.smtp_code}") from None
            raise NotifyError(
                f"expected {self._name} to take the message. Received: reply {error.smtp_code}"
            ) from None
        except smtplib.SMTPServerDisconnected as error:
            raise _TryAgainError(str(error)) from None
        except smtplib.SMTPException as error:
            raise NotifyError(
                f"expected {self._name} to take the message. Received: {type(error).__name__}"
            ) from None


def _split(url: str) -> SplitResult:
    with contextlib.suppress(ValueError):
        return urlsplit(url)
    return urlsplit("")


def _persist(name: str, attempt: Callable[[], None]) -> None:
    """Tries a few times, with pauses that double.

    Raises:
        NotifyError: in vain.
    """
    cause = ""
    for number in range(TRIES):
        if number:
            time.sleep(_PAUSE * 2 ** (number - 1))
        try:
            return attempt()
        except _TryAgainError as error:
            cause = str(error)
        except TimeoutError:
            cause = f"no answer within {SECONDS:g} s"
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            timed_out = isinstance(reason, TimeoutError)
            cause = f"no answer within {SECONDS:g} s" if timed_out else _words(reason)
    raise NotifyError(f"expected {name} to take the message. Received, {TRIES} times: {cause}")


def _words(error: object) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__ if isinstance(error, Exception) else str(error)

"""JSON over HTTP to another registry: a token, tries with pauses, errors in one line."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from serving.export.errors import ExportError

TRIES = 3
_PAUSE = 0.5
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)
_REFUSED = (401, 403)
_NOT_FOUND = 404
_LONGEST = 200


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to somebody else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Rest:
    """A server that speaks JSON."""

    def __init__(self, url: str, token: str | None, seconds: float) -> None:
        """Nothing is sent yet.

        Args:
            url: of the server, without a path.
            token: for the Authorization header.
            seconds: that one answer may take.

        Raises:
            ExportError: the URL is none.
        """
        parsed = urlsplit(url)
        if parsed.scheme not in ("http", "https") or not parsed.hostname or parsed.username:
            raise ExportError("expected --host as https://HOST. Received: another form")
        self.url = url.rstrip("/")
        self._token, self._seconds = token, seconds
        self._opener = urllib.request.build_opener(_Stay)

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """What lies at a path; None where there is nothing.

        Raises:
            ExportError: the server failed.
        """
        asked = f"{path}?{urlencode(query)}" if query else path
        status, content = self.send("GET", asked, also=(_NOT_FOUND,))
        return None if status == _NOT_FOUND else content

    def send(
        self, method: str, path: str, body: Any = None, also: tuple[int, ...] = ()
    ) -> tuple[int, dict[str, Any]]:
        """Sends a request until it is answered, a few times at most.

        Args:
            method, path, body: of the request.
            also: statuses that are answers, too.

        Raises:
            ExportError: the server failed, or refused.
        """
        cause = ""
        for number in range(TRIES):
            if number:
                time.sleep(_PAUSE * 2 ** (number - 1))
            try:
                status, text = self._once(method, path, body)
            except TimeoutError:
                cause = f"no answer within {self._seconds:g} s"
                continue
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                timed_out = isinstance(reason, TimeoutError)
                late = f"no answer within {self._seconds:g} s"
                cause = late if timed_out else getattr(reason, "strerror", None) or str(reason)
                continue
            if status in also or 200 <= status < 300:
                return status, self._read(text)
            cause = f"status {status}{_said(text)}"
            if status in _REFUSED:
                cause += "; give a token that it takes with --token-file"
            if status not in _TRY_AGAIN:
                break
        raise ExportError(f"expected {self.url} to take the version. Received: {cause}")

    def _once(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "User-Agent": "loomline"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def _read(self, text: bytes) -> dict[str, Any]:
        try:
            content = json.loads(text or b"{}")
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ExportError(
                f"expected {self.url} to answer in JSON. Received: "
                f"{text[:40].decode('utf-8', 'replace')!r}; is it a model registry?"
            )
        return content


def _said(text: bytes) -> str:
    """What the server says of its refusal."""
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f", {' '.join(str(message).split())[:_LONGEST]}"

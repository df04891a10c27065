"""Proves to a cluster who asks: by a token file, by a cookie, by Google's Identity-Aware Proxy."""

from __future__ import annotations

import abc
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx

from components.errors import ConfigError


class Secret(httpx.Auth):
    """What proves who asks."""

    # What the secret is called in a message, which never holds the secret itself.
    name = ""


class _InHeader(Secret, abc.ABC):
    """What goes into a request's header; renewed once where the cluster does not take it."""

    @abc.abstractmethod
    def header(self, anew: bool) -> tuple[str, str]:
        """The header.

        Args:
            anew: the one before was refused.

        Raises:
            ConfigError: there is none.
        """

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends the request, and once more with a renewed secret where it was refused."""
        name, value = self.header(anew=False)
        request.headers[name] = value
        response = yield request
        if response.status_code == 401:
            name, renewed = self.header(anew=True)
            if renewed != value:
                request.headers[name] = renewed
                yield request


class Nobody(Secret):
    """A cluster that asks nobody, such as one behind `kubectl port-forward`."""

    name = "none: pass --token-file, --cookie-file or --iap-audience"


class TokenFile(_InHeader):
    """A bearer token in a file, such as the one that the kubelet renews for a service account."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"the token in {path}"

    def header(self, anew: bool) -> tuple[str, str]:
        """The token that the file holds now."""
        return "Authorization", f"Bearer {_one_line(self.path, '--token-file', 'a token')}"


class CookieFile(_InHeader):
    """A cookie in a file, such as the one that Dex or oauth2-proxy gave a browser."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"the cookie in {path}"

    def header(self, anew: bool) -> tuple[str, str]:
        """The cookie that the file holds now."""
        return "Cookie", _one_line(self.path, "--cookie-file", "NAME=VALUE")


class IdentityAwareProxy(_InHeader):
    """An identity token for Google's proxy, from the credentials that google-auth finds."""

    def __init__(self, audience: str) -> None:
        self.audience = audience
        self.name = f"an identity token for {audience}"
        self._credentials: Any = None

    def header(self, anew: bool) -> tuple[str, str]:
        """A token that has not expired."""
        import google.auth.exceptions
        from google.auth.transport.requests import Request
        from google.oauth2 import id_token

        try:
            if self._credentials is None:
                self._credentials = id_token.fetch_id_token_credentials(self.audience, Request())
            if anew or not self._credentials.valid:
                self._credentials.refresh(Request())
        except google.auth.exceptions.GoogleAuthError as error:
            raise ConfigError(
                "--iap-audience expects credentials of a service account "
                "(GOOGLE_APPLICATION_CREDENTIALS, or a machine of Google's). Received: "
                f"{' '.join(str(error).split())}"
            ) from None
        return "Authorization", f"Bearer {self._credentials.token}"


def _one_line(path: Path, option: str, expected: str) -> str:
    """The content of a file that holds one line, which no message repeats."""
    try:
        content = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{option} expects a file with {expected} at {path}. Received: {cause}") \
            from None  # fmt: skip
    if not content or not content.isprintable() or not content.isascii():
        raise ConfigError(
            f"{option} expects a file with {expected} on one line at {path}. Received: "
            f"{'an empty file' if not content else f'{len(content)} other characters'}"
        )
    return content

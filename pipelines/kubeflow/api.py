"""Kubeflow Pipelines' REST API, version v2beta1: what Loomline needs of it, asked with patience.

Why not `kfp.Client`: it has no timeout, so a server that hangs hangs it; it gives up at the first
429, 500 or dropped connection; it asks an environment's proxies and NO_PROXY nothing; it prints;
and it keeps a context in the user's home that changes what a later call does. `tests/pipelines/
kubeflow` drives the same fake server with it, and holds this module to the models that its
generated half, `kfp-server-api`, was made of.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import email.utils
import json
import random
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from components.errors import ConfigError
from pipelines.kubeflow.connection import Connection
from pipelines.kubeflow.errors import KubeflowError, RefusedError, UnsureError

BASE = "/apis/v2beta1"
# What a later attempt may answer: too many requests, a gateway in between, a server that restarts.
_PASSING = (408, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0
FIRST_WAIT = 0.5


class Api:
    """Asks one cluster.

    Args:
        connection: which, and who asks.
        attempts: how often a request is sent before its failure is told.
        first_wait: seconds before the second attempt; each further wait is twice as long.
    """

    def __init__(
        self, connection: Connection, attempts: int = 6, first_wait: float | None = None
    ) -> None:
        self.connection = connection
        self._attempts = attempts
        self._first_wait = FIRST_WAIT if first_wait is None else first_wait
        self._secret = connection.secret()
        self._client = connection.client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Makes sure that a Kubeflow answers there, and takes a namespace where it has several.

        Raises:
            ConfigError: several users share it, and no namespace is given.
            KubeflowError: something else answers, or nothing.
        """
        health = self.get(f"{BASE}/healthz")
        if "multi_user" not in health:
            raise KubeflowError(self._not_kubeflow("JSON of another kind"))
        if health["multi_user"] and not self.connection.namespace:
            if not self.connection.home:
                raise ConfigError(
                    f"{self.connection.host} is shared by several users: expected --namespace. "
                    "Received: none"
                )
            self.connection = dataclasses.replace(self.connection, namespace=self.connection.home)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Reads something, however often it takes."""
        return self._json(self._asked("GET", path, params))

    def get_text(self, path: str) -> str:
        """Reads a text, such as a log; asks only once."""
        return self._once("GET", path).text

    def listed(self, path: str, key: str, name: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Everything of that name, page by page."""
        predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
        params["filter"] = json.dumps({"predicates": [predicate]})
        token = ""
        while True:
            page = self.get(path, **params, page_token=token, page_size=100)
            yield from page.get(key) or []
            token = page.get("next_page_token") or ""
            if not token:
                return

    def made(
        self,
        path: str,
        find: Callable[[], dict[str, Any] | None],
        look_first: bool = True,
        **content: Any,
    ) -> dict[str, Any]:
        """Creates something, once: where an answer is lost, looks whether it is there by now.

        Args:
            path: where to post to.
            find: finds what was created, or None.
            look_first: it may have been created by somebody else before.
            content: httpx's `json`, `files` and `params`.

        Raises:
            KubeflowError: the cluster refused, or cannot be reached.
        """
        found = find() if look_first else None
        for wait in self._waits():
            if found is not None:
                return found
            try:
                return self._json(self._once("POST", path, **content))
            except (UnsureError, RefusedError) as error:
                if isinstance(error, RefusedError) and error.status != 409:
                    raise
                failure = error
            time.sleep(wait)
            found = find()
        if found is not None:
            return found
        raise failure

    def delete(self, path: str) -> None:
        """Removes something; that it is gone already is fine."""
        with contextlib.suppress(_MissingError):
            self._asked("DELETE", path, {})

    def _asked(self, method: str, path: str, params: dict[str, Any]) -> httpx.Response:
        given = {name: value for name, value in params.items() if value not in ("", None)}
        failure: KubeflowError | None = None
        for wait in self._waits():
            try:
                return self._once(method, path, params=given)
            except UnsureError as error:
                failure = error
            time.sleep(wait)
        assert failure is not None
        raise failure

    def _waits(self) -> Iterator[float]:
        """The wait after each attempt; none after the last."""
        for attempt in range(self._attempts):
            # Somebody else's clients wait, too: not all at the same instant.
            wait = self._first_wait * 2**attempt * random.uniform(0.75, 1.25)
            yield 0.0 if attempt == self._attempts - 1 else min(wait, _LONGEST_WAIT)

    def _once(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if response.is_success:
            return response
        told = self._told(response)
        if response.status_code in _PASSING:
            time.sleep(_asked_to_wait(response))
            raise UnsureError(told)
        if response.status_code == 404:
            raise _MissingError(told, 404)
        raise RefusedError(told, response.status_code)

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            content: Any = response.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            kind = response.headers.get("content-type", "nothing").split(";")[0]
            raise KubeflowError(self._not_kubeflow(kind))
        return content

    def _unreachable(self, error: httpx.HTTPError) -> KubeflowError:
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        host = self.connection.host
        if isinstance(error, httpx.ConnectError) and _is_certificate(error):
            return KubeflowError(
                f"expected a certificate of {host} that is trusted. Received: {error}. Name the "
                "authority's file with --ca"
            )
        if isinstance(error, httpx.ProxyError):
            return UnsureError(f"expected the proxy to reach {host}. Received: {error}")
        if isinstance(error, httpx.UnsupportedProtocol):
            return KubeflowError(f"expected an http or https URL. Received: {host}")
        return UnsureError(f"expected an answer from {host}. Received: {cause}")

    def _told(self, response: httpx.Response) -> str:
        """What a refusal means, in one line."""
        status, host = response.status_code, self.connection.host
        message = _message(response)
        if response.is_redirect:
            # Never followed: it leads to a page where a person logs in.
            where = httpx.URL(response.headers.get("location", "")).copy_with(query=None)
            return self._not_kubeflow(f"a redirect to {where}")
        if status in (401, 403):
            return (
                f"expected {host} to let this user in. Received: {status} {message} "
                f"(who asks: {self._secret.name})"
            )
        if status == 404 and not _is_json(response):
            return self._not_kubeflow("404")
        return f"expected {host} to take the request. Received: {status} {message}".rstrip()

    def _not_kubeflow(self, received: str) -> str:
        return (
            f"expected Kubeflow Pipelines at {self.connection.host}. Received: {received}; behind "
            "Kubeflow's central page its URL ends in /pipeline, and a login page wants "
            "--token-file, --cookie-file or --iap-audience"
        )


class _MissingError(RefusedError):
    """There is no such thing."""


def upload_content(package: Path) -> dict[str, Any]:
    """What httpx sends of a compiled file."""
    return {"uploadfile": (package.name, package.read_bytes(), "application/x-yaml")}


def _asked_to_wait(response: httpx.Response) -> float:
    """Seconds that the cluster wants to be left alone: a number, or a date."""
    header = response.headers.get("retry-after", "")
    seconds = 0.0
    if header.strip().isdigit():
        seconds = float(header)
    elif header:
        with contextlib.suppress(ValueError, TypeError):
            until = email.utils.parsedate_to_datetime(header)
            seconds = (until - datetime.datetime.now(until.tzinfo)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _message(response: httpx.Response) -> str:
    """The API's own words: gRPC's gateway and the upload have forms of their own."""
    if _is_json(response):
        with contextlib.suppress(ValueError, AttributeError):
            content = response.json()
            text = content.get("error_message") or content.get("message") or content.get("error")
            if text:
                return " ".join(str(text).split())[:500]
    return response.reason_phrase


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "")


def _is_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)

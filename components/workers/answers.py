"""What the cluster's API answers: objects, changes and refusals, and which of them may pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from components.errors import ClusterError
from components.workers.plan import Object

_PASSING = (408, 429, 500, 502, 503, 504)
CONNECT, ANSWER = 5.0, 30.0
# A watch that says nothing is asked for anew: its connection may be dead.
WATCH_SECONDS = 60


class Away(Exception):  # noqa: N818 - it never leaves this package
    """No answer, or one by which the API asks to be asked later."""

    def __init__(self, told: str, wait: float = 0.0) -> None:
        super().__init__(told)
        self.wait = wait


class Gone(Exception):  # noqa: N818
    """The API no longer knows what came after the version that was asked for."""


class Refused(ClusterError):  # noqa: N818
    """The API said no.

    Attributes:
        status: HTTP's.
        known: whether a Kubernetes API spoke that knows this kind of object.
    """

    def __init__(self, told: str, status: int, known: bool) -> None:
        super().__init__(told)
        self.status, self.known = status, known


def listed(ask: Callable[..., Any]) -> tuple[list[Object], str]:
    """All objects, and the version after which changes can be watched."""
    content = json.loads(content_of(ask()))
    return content["items"], str(content["metadata"].get("resourceVersion", ""))


def changes(ask: Callable[..., Any], version: str) -> Iterator[tuple[str, Object]]:
    """What happens after a version, until the API ends the watch: it does so every minute.

    Raises:
        Gone: that was too long ago; list anew.
        Away: the connection broke.
    """
    response = ask(
        watch=True,
        resource_version=version,
        allow_watch_bookmarks=True,
        timeout_seconds=WATCH_SECONDS,
        _request_timeout=(CONNECT, WATCH_SECONDS + ANSWER),
    )
    for line in lines_of(response):
        try:
            event = json.loads(line)
        except ValueError:
            raise Away("half of an event") from None
        if event["type"] == "ERROR":
            status = event["object"]
            if status.get("code") == 410:
                raise Gone
            raise Away(f"{status.get('code')} {status.get('message')}")
        yield event["type"], event["object"]


def lines_of(response: Any) -> Iterator[str]:
    """The lines of a response as they come.

    Raises:
        Away: the connection broke.
    """
    import urllib3

    waiting = b""
    try:
        for chunk in response.stream(amt=None, decode_content=False):
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace")
        if waiting:
            yield waiting.decode("utf-8", "replace")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Away(flat(error)) from None
    finally:
        response.close()


def content_of(response: Any) -> bytes:
    """All of a response.

    Raises:
        Away: the connection broke.
    """
    import urllib3

    try:
        return bytes(response.data)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Away(flat(error)) from None
    finally:
        response.release_conn()


def refusal(error: Any) -> Exception:
    """What an answer that is no success means."""
    try:
        said = json.loads(error.body)
    except (ValueError, TypeError):
        said = {}
    said = said if isinstance(said, dict) else {}
    message = flat(said.get("message") or error.reason or "nothing")
    told = f"{error.status} {message}"
    if error.status == 410:
        return Gone()
    if error.status in _PASSING:
        header = str((error.headers or {}).get("Retry-After", ""))
        return Away(told, float(header) if header.isdecimal() else 0.0)
    if error.status == 401:
        told = f"expected the cluster to know who asks. Received: {told}"
    elif error.status == 403 and "exceeded quota" in message:
        told = f"expected room for the job in the namespace's quota. Received: {told}"
    elif error.status == 403:
        told = (
            "expected the step's service account to be allowed this: see manifests/workers. "
            f"Received: {told}"
        )
    else:
        told = f"expected the cluster to take the request. Received: {told}"
    # Where a kind is not installed, a page is not found, and no object is spoken of.
    return Refused(told, error.status, bool(said.get("details")))


def flat(what: object) -> str:
    """Words of the API or of a library in one line of some length."""
    return " ".join(str(what).split())[:500] or type(what).__name__

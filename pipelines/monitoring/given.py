"""What people give to a monitoring as text: times, and where the store is."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime

from components.errors import ConfigError, DataError
from serving import store
from serving.store import Store

STORE_VARIABLE = "LOOMLINE_STORE"


def moment(text: str) -> datetime | None:
    """ISO 8601 as a time; without a zone it is UTC, and nothing is None.

    Raises:
        ConfigError: it is none.
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"expected a time such as 2026-11-28T12:00. Received: {text!r}") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def store_url(text: str) -> str:
    """The store's URL: as given, or from the environment, where a cluster's secret puts it.

    Raises:
        ConfigError: there is none.
    """
    found = text or os.environ.get(STORE_VARIABLE, "")
    if not found:
        raise ConfigError(
            f"expected the store's URL as the parameter store, or in {STORE_VARIABLE} (the key "
            "store of the secret). Received: neither"
        )
    return found


def opened(url: str) -> contextlib.AbstractContextManager[Store]:
    """The open store of a step.

    Raises:
        DataError: it cannot be opened, or fails meanwhile.
    """
    return store.opened(url, refused=DataError)

"""A run's reports, read from wherever they lie, and served so that nothing in them can run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.responses import Response

from serving.gateway.errors import ApiError

PAGES = ("decision.html", "evaluation.html", "drift.html", "trend.html", "validation.html")
# Opened by itself, a report has no more rights than in the sandbox of a page.
_SECURITY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def pages_in(folders: Iterable[Path]) -> list[str]:
    """The reports that can be read here, in the order in which a person wants them."""
    places = list(folders)
    return [name for name in PAGES if any((place / name).is_file() for place in places)]


async def page(folders: Iterable[Path], name: str) -> Response:
    """A report as HTML, from the first folder that has it.

    Raises:
        ApiError: it is none, or no folder has it (NOT_FOUND).
    """
    if name not in PAGES:
        raise ApiError("NOT_FOUND", f"expected one of {', '.join(PAGES)}. Received: {name[:80]!r}")

    def read() -> bytes | None:
        for folder in folders:
            try:
                return (folder / name).read_bytes()
            except OSError:
                continue
        return None

    content = await asyncio.to_thread(read)
    if content is None:
        raise ApiError("NOT_FOUND", f"expected a run with {name}. Received: none that is here")
    headers = {"Content-Security-Policy": _SECURITY}
    return Response(content, headers=headers, media_type="text/html")


def changes(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """What the drift report says first: of each comparison what moved, and what to do about it.

    From the first folder that has the report. What moved comes before what did not.
    """
    found = next(filter(None, (json_in(folder / "drift.json") for folder in folders)), {})
    compared = found.get("comparisons")
    entries = compared.values() if isinstance(compared, dict) else ()
    told = [
        {
            "moved": one.get("moved") is True,
            "told": str(one["told"]),
            "suggestions": [str(each) for each in one.get("suggestions") or ()],
        }
        for one in entries
        if isinstance(one, dict) and one.get("told")
    ]
    return sorted(told, key=lambda one: not one["moved"])


def json_in(path: Path) -> dict[str, Any]:
    """The content of a file; empty where it is missing or something else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

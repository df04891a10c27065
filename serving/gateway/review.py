"""What waits for approval, over HTTP: its evidence, and a reviewer's verdict.

The gateway signs and records a verdict; it does not publish. `loomline settle` does, where the
folder of models may be written, and `loomline serve` runs it by itself.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.responses import Response

from serving.gateway import context, reports
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.schemas import VerdictRequest
from serving.review.candidates import Candidate, read_candidate, waiting
from serving.review.deciding import decide
from serving.review.errors import ReviewError
from serving.review.signing import load_key, predicate_of
from serving.store import Store

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_ORIGIN = ("run", "created", "source_digest", "code_revision", "code_digest", "config_digest")


async def listed(gateway: Gateway, request: Request) -> Response:
    """What waits, oldest first."""
    models = await _reviewer(gateway, request)

    def read() -> list[dict[str, Any]]:
        return [_summary(candidate) for candidate in waiting(models)]

    return context.reply({"candidates": await _careful(read), "signs": _signs(gateway)})


async def one(gateway: Gateway, request: Request, model: str, run: str) -> Response:
    """A candidate with the decision, where it comes from, and samples beside the champion's."""
    models = await _reviewer(gateway, request)

    def read() -> dict[str, Any]:
        candidate = _candidate(models, model, run)
        candidate.check()
        champion = None
        if candidate.champion_version is not None:
            champion = models / model / str(candidate.champion_version) / "loomline"
        config = reports.json_in(candidate.evidence / "provenance.json")
        pages = reports.pages_in(_folders(candidate))
        signed = reports.pages_in([candidate.evidence])
        return {
            **_summary(candidate),
            "decision": candidate.decision(),
            "origin": {name: config.get(name) for name in _ORIGIN},
            "source": ((config.get("config") or {}).get("ingest") or {}).get("source"),
            "changes": reports.changes([candidate.evidence]),
            "pages": pages,
            "unsigned_pages": [page for page in pages if page not in signed],
            "samples": _samples(candidate.evidence),
            "champion_samples": _samples(champion) if champion else [],
        }

    return context.reply(await _careful(read))


async def page(gateway: Gateway, request: Request, model: str, run: str, name: str) -> Response:
    """One of a candidate's reports, as HTML."""
    models = await _reviewer(gateway, request)
    candidate = await _careful(lambda: _candidate(models, model, run))
    return await reports.page(_folders(candidate), name)


async def verdict(gateway: Gateway, request: Request, model: str, run: str) -> Response:
    """Signs and records a verdict; the caller is its reviewer."""
    models = await _reviewer(gateway, request)
    caller = await gateway.admin(request)
    body = await context.read(request, VerdictRequest, gateway.settings.max_body_bytes)
    settings = gateway.settings
    if settings.review_key is None:
        raise ApiError(
            "FAILED_PRECONDITION",
            "this gateway signs nothing; start it with --review-key, or use loomline approve",
            status=409,
        )
    key_path = settings.review_key

    def record(store: Store) -> dict[str, Any]:
        candidate = _candidate(models, model, run)
        approval, new = decide(
            store,
            candidate,
            load_key(key_path),
            settings.approvers or Path(candidate.approvers),
            verdict=body.verdict,
            comment=body.comment.strip(),
            on_behalf_of=caller.name,
        )
        return {
            "verdict": approval.verdict,
            "reviewer": approval.reviewer,
            "created": approval.created.isoformat(timespec="seconds"),
            "new": new,
        }

    try:
        return context.reply(await gateway.database.run(record))
    except ReviewError as error:
        raise ApiError("FAILED_PRECONDITION", str(error), status=409) from None


def _signs(gateway: Gateway) -> bool:
    """Whether verdicts can be given here."""
    path = gateway.settings.review_key
    return path is not None and path.is_file()


async def _reviewer(gateway: Gateway, request: Request) -> Path:
    """The folder of models, for those who may look at what waits there."""
    await gateway.admin(request)
    if gateway.settings.review_models is None:
        raise ApiError("NOT_FOUND", "this gateway reviews nothing; start it with --review-models")
    return gateway.settings.review_models


async def _careful(read: Any) -> Any:
    """Reads files in a thread; what is missing or damaged is one line."""
    try:
        return await asyncio.to_thread(read)
    except ReviewError as error:
        raise ApiError("FAILED_PRECONDITION", str(error), status=409) from None
    except FileNotFoundError:
        raise ApiError(
            "NOT_FOUND", "expected a model that waits. Received: none of that name, or not any more"
        ) from None


def _candidate(models: Path, model: str, run: str) -> Candidate:
    if not _NAME.fullmatch(model) or not _NAME.fullmatch(run):
        raise FileNotFoundError
    path = models / model / ".pending" / run
    if not path.is_dir():
        raise FileNotFoundError
    return read_candidate(path)


def _folders(candidate: Candidate) -> list[Path]:
    """Where its reports may lie: what a verdict is about first, then the rest that the run left."""
    return [candidate.evidence, *([Path(candidate.records)] if candidate.records else [])]


def _summary(candidate: Candidate) -> dict[str, Any]:
    record = candidate.evidence / "approval.json"
    said = predicate_of(record.read_text("utf-8", "replace")) if record.is_file() else {}
    return {
        "model": candidate.model_name,
        "run": candidate.run,
        "created": candidate.created,
        "champion_version": candidate.champion_version,
        "reason": str(candidate.decision().get("reason", "")),
        "verdict": said.get("verdict"),
        "reviewer": said.get("reviewer"),
    }


def _samples(folder: Path) -> list[Any]:
    found = reports.json_in(folder / "samples.json").get("samples")
    return found if isinstance(found, list) else []

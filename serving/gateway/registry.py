"""The registry over HTTP, for admins: runs, comparisons, lineage, and what serves where."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.responses import Response

from serving.gateway import context, reports
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.store import Approval, Deployment, Run, Store, Version
from serving.store.comparing import OUTCOMES, compared, headline
from serving.store.lineage import Origin, UnknownRunError, chain, find, origins

_PAGE, _LONGEST_PAGE = 50, 200
_FEWEST, _MOST = 2, 50
_DRIFT = "drift.data.drift_share"


async def runs(gateway: Gateway, request: Request) -> Response:
    """Runs, the newest first, and what there is to filter them by."""
    await gateway.admin(request)
    query = request.query_params
    limit, outcome = query.get("limit", str(_PAGE)), query.get("outcome")
    if not limit.isdecimal() or not 1 <= int(limit[:6]) <= _LONGEST_PAGE:
        raise ApiError(
            "INVALID_ARGUMENT",
            f"expected a limit from 1 to {_LONGEST_PAGE}. Received: {limit[:20]!r}",
        )
    if outcome is not None and outcome not in OUTCOMES:
        raise ApiError(
            "INVALID_ARGUMENT",
            f"expected an outcome of {', '.join(OUTCOMES)}. Received: {outcome[:20]!r}",
        )

    def read(store: Store) -> dict[str, Any]:
        before = None
        if query.get("before"):
            before = store.registry.get(*_split(query["before"]))
            if before is None:
                raise UnknownRunError("expected the next_before of another page as before")
        model = query.get("model")
        found = store.registry.runs(model=model, outcome=outcome, limit=int(limit), before=before)
        following = f"{found[-1].model}/{found[-1].run}" if len(found) == int(limit) else None
        return {
            "runs": [_origin(one) for one in origins(store, found)],
            "next_before": following,
            "models": store.registry.models(),
            "outcomes": OUTCOMES,
        }

    return context.reply(await _read(gateway, read))


async def compare(gateway: Gateway, request: Request) -> Response:
    """Runs side by side, oldest first: what came of each, and every property of all."""
    await gateway.admin(request)
    names = list(dict.fromkeys(request.query_params.getlist("run")))
    if not _FEWEST <= len(names) <= _MOST:
        raise ApiError(
            "INVALID_ARGUMENT",
            f"expected from {_FEWEST} to {_MOST} runs as run=MODEL/RUN. Received: {len(names)}",
        )

    def read(store: Store) -> dict[str, Any]:
        found = [find(store, name) for name in names]
        found = sorted(found, key=lambda run: (run.finished, run.run))
        rows = [{**dataclasses.asdict(row), "differs": row.differs} for row in compared(found)]
        return {"runs": [_origin(one) for one in origins(store, found)], "rows": rows}

    return context.reply(await _read(gateway, read))


async def run(gateway: Gateway, request: Request, model: str, name: str) -> Response:
    """A run with its options, the gate's rules and what made the versions before it."""
    await gateway.admin(request)

    def read(store: Store) -> tuple[list[Origin], Run]:
        found = chain(store, f"{model}/{name}")
        return found, found[0].run

    found, newest = await _read(gateway, read)
    folders = _folders(gateway, found[0])

    def look() -> dict[str, Any]:
        decisions = [reports.json_in(folder / "decision.json") for folder in folders]
        decision = next((one for one in decisions if one), {})
        return {
            "changes": reports.changes(folders),
            "pages": reports.pages_in(folders),
            "rules": decision.get("rules", []),
        }

    shown = {**_origin(found[0]), "config": newest.config, **await asyncio.to_thread(look)}
    return context.reply({**shown, "lineage": [_origin(one) for one in found[1:]]})


async def page(gateway: Gateway, request: Request, model: str, name: str, file: str) -> Response:
    """One of a run's reports, as HTML."""
    await gateway.admin(request)

    def read(store: Store) -> Origin:
        return origins(store, [find(store, f"{model}/{name}")])[0]

    return await reports.page(_folders(gateway, await _read(gateway, read)), file)


async def lineage(gateway: Gateway, request: Request, model: str, name: str) -> Response:
    """What made a run or a version, and the champions before it."""
    await gateway.admin(request)
    found = await _read(gateway, lambda store: chain(store, f"{model}/{name}"))
    return context.reply({"lineage": [_origin(one) for one in found]})


async def models(gateway: Gateway, request: Request) -> Response:
    """Published versions, who approved them, and where they serve."""
    await gateway.admin(request)
    only = request.query_params.get("model")

    def read(store: Store) -> dict[str, Any]:
        versions = store.registry.versions(model=only)
        current = store.deployments.current(model=only)
        verdicts = {
            (one.model, one.run): one
            for model in {version.model for version in versions}
            for one in store.approvals.of_model(model)
            if one.verdict == "approved"
        }
        known = {(one.model, one.version) for one in versions}
        strangers = [one for one in current if (one.model, one.version) not in known]
        return {
            "versions": [
                _version(version, verdicts.get((version.model, version.run)), current)
                for version in versions
            ],
            # Published before there was a registry, or by something else.
            "unregistered": [_deployment(one) for one in strangers],
        }

    return context.reply(await _read(gateway, read))


async def _read(gateway: Gateway, read: Any) -> Any:
    try:
        return await gateway.database.run(read)
    except UnknownRunError as error:
        raise ApiError("NOT_FOUND", str(error)) from None


def _split(name: str) -> tuple[str, str]:
    model, _, last = name.rpartition("/")
    return model, last


def _folders(gateway: Gateway, origin: Origin) -> list[Path]:
    """Where a run's reports may lie; none of these need be on this machine."""
    found = [Path(origin.run.records)] if origin.run.records else []
    found += [Path(version.path) / "loomline" for version in origin.versions]
    waiting = gateway.settings.review_models
    if waiting is not None:
        found.append(waiting / origin.run.model / ".pending" / origin.run.run / "loomline")
    return found


def _origin(one: Origin) -> dict[str, Any]:
    run = one.run
    name, value = headline(run)
    shown = {
        field.name: getattr(run, field.name)
        for field in dataclasses.fields(run)
        if field.name != "config"
    }
    return {
        **shown,
        "headline": {"name": name, "value": value},
        "drift": run.figures.get(_DRIFT),
        "versions": [dataclasses.asdict(each) for each in one.versions],
        "verdicts": [_verdict(each) for each in one.approvals],
        "serving": [_deployment(each) for each in one.deployments],
    }


def _version(
    version: Version, approval: Approval | None, current: Sequence[Deployment]
) -> dict[str, Any]:
    serving = [
        _deployment(one)
        for one in current
        if (one.model, one.version) == (version.model, version.version)
    ]
    verdict = _verdict(approval) if approval else None
    return {**dataclasses.asdict(version), "approval": verdict, "serving": serving}


def _verdict(one: Approval) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("verdict", "reviewer", "comment", "created")}


def _deployment(one: Deployment) -> dict[str, Any]:
    return {**dataclasses.asdict(one), "fresh": one.fresh(datetime.now(UTC))}

"""What people think of answers, and the history that they think about."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from starlette.responses import Response

from serving.gateway import context
from serving.gateway.auth import Caller
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.schemas import ID, FeedbackRequest
from serving.store import Feedback, RequestRecord, Store, StoreError, UnknownRequestError

_HISTORY, _LONGEST_HISTORY = 20, 200


async def give(gateway: Gateway, request: Request) -> Response:
    """Stores feedback; answers only after it is committed."""
    caller = await gateway.caller(request)
    body = await context.read(request, FeedbackRequest, gateway.settings.max_body_bytes)
    feedback = Feedback(
        id=body.feedback_id or context.new_id(),
        request_id=body.request_id,
        created=datetime.now(UTC),
        kind=body.kind,
        value=body.value,
        text=body.text,
        other_request_id=body.other_request_id,
        key_id=caller.key_id,
    )
    try:
        new = await _store(gateway, caller, feedback)
    except UnknownRequestError as error:
        raise ApiError("NOT_FOUND", str(error), extra={"stored": False}) from None
    except ApiError as error:
        error.extra["stored"] = False
        if error.code == "UNAVAILABLE":
            gateway.metrics.feedback.labels(body.kind, "false").inc()
        raise
    if new:
        gateway.metrics.feedback.labels(body.kind, "true").inc()
    context.of(request).fields["feedback"] = body.kind
    return context.reply({"feedback_id": feedback.id, "stored": True}, 201 if new else 200)


async def _store(gateway: Gateway, caller: Caller, feedback: Feedback) -> bool:
    """Whether it is new; first the requests it is about must be in the store."""
    asked = [feedback.request_id]
    if feedback.other_request_id is not None:
        asked.append(feedback.other_request_id)
    wait = gateway.settings.store_seconds
    for request_id in asked:
        await gateway.calls.ended(request_id, wait)

    def add(store: Store) -> bool:
        for request_id in asked:
            record = _find(gateway, store, request_id)
            if record is None or not _may_see(caller, record):
                raise UnknownRequestError(
                    f"expected the id of a request of yours. Received: {request_id}"
                )
        return store.feedback.add(feedback)

    return await gateway.database.run(add)


def _find(gateway: Gateway, store: Store, request_id: str) -> RequestRecord | None:
    """A request's record, written now if it still waits for it."""
    record = store.requests.get(request_id)
    if record is None:
        if not gateway.recorder.flush(gateway.settings.store_seconds / 2):
            raise StoreError("the record of the request could not be written yet")
        record = store.requests.get(request_id)
    return record


def _may_see(caller: Caller, record: RequestRecord) -> bool:
    return caller.admin or record.key_id == caller.key_id


async def history(gateway: Gateway, request: Request) -> Response:
    """The caller's own requests, newest first; an admin's key sees everybody's."""
    caller = await gateway.caller(request)
    limit, before, model = _page(request)
    key_id = None if caller.admin else caller.key_id

    def read(store: Store) -> list[RequestRecord]:
        gateway.recorder.flush(gateway.settings.store_seconds / 2)
        return list(store.requests.recent(limit, key_id=key_id, model=model, before=before))

    records = await gateway.database.run(read)
    following = records[-1].id if len(records) == limit else None
    shown = [_shown(record) for record in records]
    return context.reply({"requests": shown, "next_before": following})


def _page(request: Request) -> tuple[int, str | None, str | None]:
    query = request.query_params
    limit, before = query.get("limit", str(_HISTORY)), query.get("before")
    if not limit.isdecimal() or not 1 <= int(limit[:6]) <= _LONGEST_HISTORY:
        raise ApiError(
            "INVALID_ARGUMENT",
            f"expected a limit from 1 to {_LONGEST_HISTORY}. Received: {limit[:20]}",
        )
    if before is not None and not re.fullmatch(ID, before):
        raise ApiError(
            "INVALID_ARGUMENT",
            f"expected the next_before of another page as before. Received: {before[:40]!r}",
        )
    return int(limit), before, query.get("model")


async def one(gateway: Gateway, request: Request, request_id: str) -> Response:
    """A request and the feedback that was given on it."""
    caller = await gateway.caller(request)
    if not re.fullmatch(ID, request_id):
        raise ApiError("NOT_FOUND", "expected the id of a request of yours")
    await gateway.calls.ended(request_id, gateway.settings.store_seconds)

    def read(store: Store) -> tuple[RequestRecord | None, list[Feedback]]:
        record = _find(gateway, store, request_id)
        return record, list(store.feedback.of_request(request_id)) if record else []

    record, feedback = await gateway.database.run(read)
    if record is None or not _may_see(caller, record):
        raise ApiError(
            "NOT_FOUND", f"expected the id of a request of yours. Received: {request_id}"
        )
    given = [dataclasses.asdict(entry) for entry in feedback]
    return context.reply({**_shown(record), "feedback": given})


def _shown(record: RequestRecord) -> dict[str, Any]:
    shown = dataclasses.asdict(record)
    shown["request_id"] = shown.pop("id")
    return shown

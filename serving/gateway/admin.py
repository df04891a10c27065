"""The routes of those who look after the gateway and its models."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from serving.gateway import api_keys, docs, registry, review
from serving.gateway import schemas as s
from serving.gateway.gateway import Gateway


def add_admin(app: FastAPI, gateway: Gateway) -> None:
    """Adds what admins call: keys, reviews, and the registry."""
    _add_keys(app, gateway)
    _add_review(app, gateway)
    _add_registry(app, gateway)


def _add_keys(app: FastAPI, gateway: Gateway) -> None:
    """What those call who let others in."""

    @app.post("/v1/keys", openapi_extra=docs.body_of(s.KeyRequest), responses=docs.REPLIED)
    async def create_key(request: Request) -> Response:
        """Makes an API key (admins only). Its secret is in this reply and nowhere else."""
        return await api_keys.create(gateway, request)

    @app.get("/v1/keys", responses=docs.REPLIED)
    async def keys(request: Request) -> Response:
        """All API keys (admins only)."""
        return await api_keys.listed(gateway, request)

    @app.delete("/v1/keys/{key_id}", status_code=204, responses=docs.REPLIED)
    async def revoke_key(request: Request, key_id: str) -> Response:
        """Revokes an API key (admins only)."""
        return await api_keys.revoke(gateway, request, key_id)


def _add_review(app: FastAPI, gateway: Gateway) -> None:
    """What reviewers call."""

    @app.get("/v1/review", responses=docs.REPLIED)
    async def candidates(request: Request) -> Response:
        """Models that wait for approval (admins only)."""
        return await review.listed(gateway, request)

    @app.get("/v1/review/{model}/{run}", responses=docs.REPLIED)
    async def candidate(request: Request, model: str, run: str) -> Response:
        """One of them: decision, origin, samples beside the champion's (admins only)."""
        return await review.one(gateway, request, model, run)

    @app.get("/v1/review/{model}/{run}/{page}", responses=docs.REPLIED)
    async def report(request: Request, model: str, run: str, page: str) -> Response:
        """One of its reports, as HTML (admins only)."""
        return await review.page(gateway, request, model, run, page)

    @app.post(
        "/v1/review/{model}/{run}",
        openapi_extra=docs.body_of(s.VerdictRequest),
        responses={200: {"model": s.VerdictReply}, **docs.REPLIED},
    )
    async def decide(request: Request, model: str, run: str) -> Response:
        """Approves or rejects it (admins only); the caller's key is the reviewer."""
        return await review.verdict(gateway, request, model, run)


def _add_registry(app: FastAPI, gateway: Gateway) -> None:
    """What those call who look after models."""

    @app.get("/v1/runs", responses=docs.REPLIED)
    async def runs(request: Request) -> Response:
        """Runs, newest first (admins only): `?model=`, `?outcome=`, `?limit=`, and `?before=` with
        the `next_before` of the page before."""
        return await registry.runs(gateway, request)

    @app.get("/v1/runs/compare", responses=docs.REPLIED)
    async def compare(request: Request) -> Response:
        """Runs side by side, oldest first (admins only): `?run=MODEL/RUN&run=MODEL/RUN`; of a
        version, MODEL/VERSION."""
        return await registry.compare(gateway, request)

    @app.get("/v1/runs/{model}/{run}", responses=docs.REPLIED)
    async def run(request: Request, model: str, run: str) -> Response:
        """A run: data, code, options, figures, rules, verdicts, versions and where they serve, and
        the same of the champions before it (admins only)."""
        return await registry.run(gateway, request, model, run)

    @app.get("/v1/runs/{model}/{run}/{page}", responses=docs.REPLIED)
    async def run_report(request: Request, model: str, run: str, page: str) -> Response:
        """One of its reports, as HTML (admins only)."""
        return await registry.page(gateway, request, model, run, page)

    @app.get("/v1/lineage/{model}/{name}", responses=docs.REPLIED)
    async def lineage(request: Request, model: str, name: str) -> Response:
        """What made a run or a version, then the champion that it was compared with, and so on
        (admins only)."""
        return await registry.lineage(gateway, request, model, name)

    @app.get("/v1/registry/models", responses=docs.REPLIED)
    async def versions(request: Request) -> Response:
        """Published versions, who approved them, and which servers serve them under which labels
        (admins only): `?model=`."""
        return await registry.models(gateway, request)

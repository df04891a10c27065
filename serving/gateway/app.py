"""The gateway's application: its routes, and what every error looks like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from serving.gateway import (
    api_keys,
    context,
    docs,
    errors,
    feedback,
    generate,
    metrics,
    predict,
    review,
    samples,
)
from serving.gateway import schemas as s
from serving.gateway.database import Database
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.middleware import Envelope, allowed_hosts
from serving.gateway.settings import Settings

_DESCRIPTION = "Text, images and tables from served models, and what people think of them."
_NO_TELEMETRY: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
_BODIES: list[type[BaseModel]] = [
    s.GenerateRequest,
    s.ScoreRequest,
    s.ImagesRequest,
    s.RowsRequest,
    s.PredictRequest,
    s.FeedbackRequest,
    s.KeyRequest,
    s.VerdictRequest,
]
_REPLIED: dict[int | str, dict[str, Any]] = {
    "default": {"model": s.ErrorReply, "description": "An error"}
}


def create_app(settings: Settings, database: Database | None = None) -> FastAPI:
    """Makes the ASGI application; its parts start with its lifespan.

    Args:
        settings: of this gateway.
        database: an open one; by default the settings' store, opened when it is needed first.
    """
    gateway = Gateway(settings, database)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    hosts = allowed_hosts(settings.auth == "none" and settings.loopback, settings.allowed_hosts)
    layers = [Middleware(Envelope, gateway.tracing, gateway.metrics, hosts)]
    if settings.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "X-Request-ID", "X-Session-ID"],
                expose_headers=["X-Request-ID", "Retry-After"],
            )
        )
    app = FastAPI(
        title="Loomline gateway",
        version=metadata.version("loomline"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=layers,
        # FastAPI would record requests for OpenTelemetry by itself, with exceptions' texts.
        telemetry=_NO_TELEMETRY,
    )
    app.state.gateway = gateway
    _add_errors(app)
    _add_calls(app, gateway)
    _add_admin(app, gateway)
    _add_review(app, gateway)
    _add_machines(app, gateway)
    _add_pages(app, settings)
    return app


def _add_errors(app: FastAPI) -> None:
    async def refuse(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            text = "expected a path of this API" if error.status_code == 404 else error.detail
            error = ApiError(
                errors.code_of(error.status_code),
                text,
                status=error.status_code,
                headers=error.headers,
            )
        elif isinstance(error, RequestValidationError):
            error = ApiError("INVALID_ARGUMENT", "expected other parameters")
        assert isinstance(error, ApiError)
        known = context.of(request)
        known.fields.setdefault("error", error.message)
        return context.reply(error.body(known.id), error.status, error.headers)

    for kind in (ApiError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, refuse)


def _add_calls(app: FastAPI, gateway: Gateway) -> None:
    """What applications and people call."""

    @app.post(
        "/v1/generate",
        openapi_extra=docs.body_of(s.GenerateRequest),
        responses={200: {"model": s.GenerateReply}, **_REPLIED},
    )
    async def generate_text(request: Request) -> Response:
        """Continues a text. With `stream` the answer is `text/event-stream`: the events start,
        chunk (as often as needed), and done or error."""
        return await generate.generate(gateway, request)

    @app.post(
        "/v1/score",
        openapi_extra=docs.body_of(s.ScoreRequest),
        responses={200: {"model": s.ScoreReply}, **_REPLIED},
    )
    async def score_text(request: Request) -> Response:
        """Rates how likely a text is under the model."""
        return await generate.score(gateway, request)

    @app.post(
        "/v1/images",
        openapi_extra=docs.body_of(s.ImagesRequest),
        responses={200: {"model": s.ImagesReply}, **_REPLIED},
    )
    async def draw_images(request: Request) -> Response:
        """Draws images. With `Accept: image/png` or `?as=image` the answer is the image itself,
        one at a time."""
        return await samples.images(gateway, request)

    @app.post(
        "/v1/rows",
        openapi_extra=docs.body_of(s.RowsRequest),
        responses={200: {"model": s.RowsReply}, **_REPLIED},
    )
    async def draw_rows(request: Request) -> Response:
        """Draws rows of a table. With `Accept: text/csv` or `?as=csv` the answer is a CSV file."""
        return await samples.rows(gateway, request)

    @app.post(
        "/v1/models/{model}/predict/{signature}",
        openapi_extra=docs.body_of(s.PredictRequest),
        responses={200: {"model": s.PredictReply}, **_REPLIED},
    )
    async def call_signature(request: Request, model: str, signature: str) -> Response:
        """Calls any signature. With `Accept: image/png` or `?as=image` the answer is the first
        image among the outputs."""
        return await predict.predict(gateway, request, model, signature)

    @app.get("/v1/models", responses=_REPLIED)
    async def models(request: Request) -> Response:
        """The models with their versions, labels, signatures and defaults."""
        await gateway.caller(request)
        return context.reply({"models": await gateway.upstream.models()})

    @app.post(
        "/v1/feedback",
        status_code=201,
        openapi_extra=docs.body_of(s.FeedbackRequest),
        responses={201: {"model": s.FeedbackReply}, **_REPLIED},
    )
    async def give_feedback(request: Request) -> Response:
        """Stores what a person thinks of an answer. 201: it is stored; 200: it was before; 503
        with `"stored": false`: it is not."""
        return await feedback.give(gateway, request)

    @app.get("/v1/requests", responses=_REPLIED)
    async def requests(request: Request) -> Response:
        """The caller's own requests, newest first: `?limit=`, `?model=`, and `?before=` with the
        `next_before` of the page before."""
        return await feedback.history(gateway, request)

    @app.get("/v1/requests/{request_id}", responses=_REPLIED)
    async def one_request(request: Request, request_id: str) -> Response:
        """A request of the caller's, with the feedback on it."""
        return await feedback.one(gateway, request, request_id)


def _add_admin(app: FastAPI, gateway: Gateway) -> None:
    """What admins call."""

    @app.post("/v1/keys", openapi_extra=docs.body_of(s.KeyRequest), responses=_REPLIED)
    async def create_key(request: Request) -> Response:
        """Makes an API key (admins only). Its secret is in this reply and nowhere else."""
        return await api_keys.create(gateway, request)

    @app.get("/v1/keys", responses=_REPLIED)
    async def keys(request: Request) -> Response:
        """All API keys (admins only)."""
        return await api_keys.listed(gateway, request)

    @app.delete("/v1/keys/{key_id}", status_code=204, responses=_REPLIED)
    async def revoke_key(request: Request, key_id: str) -> Response:
        """Revokes an API key (admins only)."""
        return await api_keys.revoke(gateway, request, key_id)


def _add_review(app: FastAPI, gateway: Gateway) -> None:
    """What reviewers call."""

    @app.get("/v1/review", responses=_REPLIED)
    async def candidates(request: Request) -> Response:
        """Models that wait for approval (admins only)."""
        return await review.listed(gateway, request)

    @app.get("/v1/review/{model}/{run}", responses=_REPLIED)
    async def candidate(request: Request, model: str, run: str) -> Response:
        """One of them: decision, origin, samples beside the champion's (admins only)."""
        return await review.one(gateway, request, model, run)

    @app.get("/v1/review/{model}/{run}/{page}", responses=_REPLIED)
    async def report(request: Request, model: str, run: str, page: str) -> Response:
        """One of its reports, as HTML (admins only)."""
        return await review.page(gateway, request, model, run, page)

    @app.post(
        "/v1/review/{model}/{run}",
        openapi_extra=docs.body_of(s.VerdictRequest),
        responses={200: {"model": s.VerdictReply}, **_REPLIED},
    )
    async def decide(request: Request, model: str, run: str) -> Response:
        """Approves or rejects it (admins only); the caller's key is the reviewer."""
        return await review.verdict(gateway, request, model, run)


def _add_machines(app: FastAPI, gateway: Gateway) -> None:
    """What orchestrators and Prometheus call, without a key."""

    @app.get("/healthz")
    async def health() -> Response:
        """The process is alive; says nothing about the model server."""
        return context.reply({"alive": True})

    @app.get("/readyz")
    async def ready() -> Response:
        """200 once every model has an available version, else 503 with what each says."""
        if gateway.ending:
            return context.reply({"ready": False, "reason": "the gateway is stopping"}, 503)
        good, models = await gateway.upstream.readiness()
        if good:
            return context.reply({"ready": True, "models": models})
        missing = [f"{name}: {state}" for name, state in models.items() if state != "AVAILABLE"]
        reason = "expected AVAILABLE models. Received: " + "; ".join(missing)
        return context.reply({"ready": False, "reason": reason, "models": models}, 503)

    @app.get("/metrics")
    async def metrics_text() -> Response:
        """Prometheus metrics."""
        # Many models make a long page, which no stream is to wait for.
        page = await asyncio.to_thread(gateway.metrics.text)
        return Response(page, headers={"Content-Type": metrics.CONTENT_TYPE})


def _add_pages(app: FastAPI, settings: Settings) -> None:
    """What people open in a browser."""
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(docs.schema(app, _BODIES, settings.auth == "keys"))
        return document

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_json() -> Response:
        return context.reply(openapi())

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> Response:
        return HTMLResponse(docs.page(openapi()))

    @app.get("/docs/style.css", include_in_schema=False)
    async def documentation_style() -> Response:
        return FileResponse(Path(__file__).with_name("docs.css"), media_type="text/css")

    @app.get("/", include_in_schema=False)
    async def playground() -> Response:
        index = settings.static / "index.html"
        if not index.is_file():
            return context.reply({"docs": "/docs", "playground": None})
        return FileResponse(index, headers={"Cache-Control": "no-cache"})

    @app.get("/review", include_in_schema=False)
    async def reviewing() -> Response:
        headers = {"Cache-Control": "no-cache"}
        return FileResponse(settings.static / "review.html", headers=headers)

    app.mount("/static", StaticFiles(directory=settings.static, check_dir=False))

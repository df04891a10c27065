"""The gateway's application: its routes, and what every error looks like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from serving.gateway import context, docs, errors, feedback, generate, metrics, predict, samples
from serving.gateway import schemas as s
from serving.gateway.admin import add_admin
from serving.gateway.database import Database
from serving.gateway.errors import ApiError
from serving.gateway.gateway import Gateway
from serving.gateway.middleware import Envelope, allowed_hosts
from serving.gateway.pages import add_pages
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
    add_admin(app, gateway)
    _add_machines(app, gateway)
    add_pages(app, settings, _BODIES)
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
        responses={200: {"model": s.GenerateReply}, **docs.REPLIED},
    )
    async def generate_text(request: Request) -> Response:
        """Continues a text. With `stream` the answer is `text/event-stream`: the events start,
        chunk (as often as needed), and done or error."""
        return await generate.generate(gateway, request)

    @app.post(
        "/v1/score",
        openapi_extra=docs.body_of(s.ScoreRequest),
        responses={200: {"model": s.ScoreReply}, **docs.REPLIED},
    )
    async def score_text(request: Request) -> Response:
        """Rates how likely a text is under the model."""
        return await generate.score(gateway, request)

    @app.post(
        "/v1/images",
        openapi_extra=docs.body_of(s.ImagesRequest),
        responses={200: {"model": s.ImagesReply}, **docs.REPLIED},
    )
    async def draw_images(request: Request) -> Response:
        """Draws images. With `Accept: image/png` or `?as=image` the answer is the image itself,
        one at a time."""
        return await samples.images(gateway, request)

    @app.post(
        "/v1/rows",
        openapi_extra=docs.body_of(s.RowsRequest),
        responses={200: {"model": s.RowsReply}, **docs.REPLIED},
    )
    async def draw_rows(request: Request) -> Response:
        """Draws rows of a table. With `Accept: text/csv` or `?as=csv` the answer is a CSV file."""
        return await samples.rows(gateway, request)

    @app.post(
        "/v1/models/{model}/predict/{signature}",
        openapi_extra=docs.body_of(s.PredictRequest),
        responses={200: {"model": s.PredictReply}, **docs.REPLIED},
    )
    async def call_signature(request: Request, model: str, signature: str) -> Response:
        """Calls any signature. With `Accept: image/png` or `?as=image` the answer is the first
        image among the outputs."""
        return await predict.predict(gateway, request, model, signature)

    @app.get("/v1/models", responses=docs.REPLIED)
    async def models(request: Request) -> Response:
        """The models with their versions, labels, signatures and defaults."""
        await gateway.caller(request)
        return context.reply({"models": await gateway.upstream.models()})

    @app.post(
        "/v1/feedback",
        status_code=201,
        openapi_extra=docs.body_of(s.FeedbackRequest),
        responses={201: {"model": s.FeedbackReply}, **docs.REPLIED},
    )
    async def give_feedback(request: Request) -> Response:
        """Stores what a person thinks of an answer. 201: it is stored; 200: it was before; 503
        with `"stored": false`: it is not."""
        return await feedback.give(gateway, request)

    @app.get("/v1/requests", responses=docs.REPLIED)
    async def requests(request: Request) -> Response:
        """The caller's own requests, newest first: `?limit=`, `?model=`, and `?before=` with the
        `next_before` of the page before."""
        return await feedback.history(gateway, request)

    @app.get("/v1/requests/{request_id}", responses=docs.REPLIED)
    async def one_request(request: Request, request_id: str) -> Response:
        """A request of the caller's, with the feedback on it."""
        return await feedback.one(gateway, request, request_id)


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

"""What people open in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from serving.gateway import context, docs
from serving.gateway.middleware import WITH_REPORTS
from serving.gateway.settings import Settings


def add_pages(app: FastAPI, settings: Settings, bodies: list[type[BaseModel]]) -> None:
    """Adds the pages, their scripts, and the API's documentation.

    Args:
        app: with all its other routes.
        settings: of the gateway.
        bodies: of requests, for the documentation.
    """
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(docs.schema(app, bodies, settings.auth == "keys"))
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

    def shell(name: str) -> Response:
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": WITH_REPORTS}
        return FileResponse(settings.static / name, headers=headers)

    @app.get("/review", include_in_schema=False)
    async def reviewing() -> Response:
        return shell("review.html")

    @app.get("/models", include_in_schema=False)
    @app.get("/runs", include_in_schema=False)
    @app.get("/runs/compare", include_in_schema=False)
    @app.get("/runs/{model}/{run}", include_in_schema=False)
    async def registered() -> Response:
        # The script reads the address.
        return shell("runs.html")

    app.mount("/static", StaticFiles(directory=settings.static, check_dir=False))

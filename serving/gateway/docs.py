"""The API's documentation: OpenAPI, and a page made from it that needs no script and no network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.gateway.schemas import ErrorReply

_REF = "#/components/schemas/"
# What every route may answer.
REPLIED: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorReply, "description": "An error"}
}


# Without one, browsers ask for /favicon.ico, and log that there is none.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath "
    "d='M3 2v12h10M6 2v9h7M9 2v6h4' stroke='%234657c9' stroke-width='1.6' fill='none'/%3E%3C/svg%3E"
)


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a call whose handler reads and checks its body itself."""
    schema = {"$ref": f"{_REF}{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def schema(app: FastAPI, bodies: list[type[BaseModel]], keys: bool) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        app: with its routes.
        bodies: of requests, which FastAPI does not see.
        keys: whether calls need an API key.
    """
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in bodies], ref_template=_REF + "{model}"
    )
    components = found.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions.get("$defs", {}))
    if keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in found["paths"].items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
    return found


def page(document: dict[str, Any]) -> str:
    """The page for people, as HTML."""
    info = document["info"]
    schemas = document.get("components", {}).get("schemas", {})
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{escape(info['title'])}</title><link rel=stylesheet href=/docs/style.css>",
        f'<link rel=icon href="{_ICON}">',
        f"</head><body><main><h1>{escape(info['title'])}</h1>",
        f"<p>{escape(info.get('description', ''))}</p>",
        "<p><a href=/openapi.json>openapi.json</a> · <a href=/>playground</a></p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(method, path, operation, schemas)
    return "".join([*parts, "</main></body></html>"])


def _operation(
    method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]
) -> Iterator[str]:
    yield f"<section><h2><span class=method>{method.upper()}</span> <code>{escape(path)}</code>"
    yield f"</h2><p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
    given = operation.get("parameters", [])
    if given:
        rows = [
            (entry["name"], entry["schema"], entry.get("required", False), entry.get("in", ""))
            for entry in given
        ]
        yield _table("Parameters", rows)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        yield _fields("Request", body["schema"], schemas)
    for status, reply in operation.get("responses", {}).items():
        content = reply.get("content", {}).get("application/json", {})
        if "$ref" in content.get("schema", {}) and status.startswith("2"):
            yield _fields(f"Reply {status}", content["schema"], schemas)
    yield "</section>"


def _fields(title: str, reference: dict[str, Any], schemas: dict[str, Any]) -> str:
    name = reference["$ref"].removeprefix(_REF)
    definition = schemas.get(name, {})
    required = definition.get("required", [])
    fields = definition.get("properties", {})
    rows = [(field, entry, field in required, "") for field, entry in fields.items()]
    return _table(title, rows)


def _table(title: str, rows: list[tuple[str, dict[str, Any], bool, str]]) -> str:
    lines = []
    for name, entry, required, place in rows:
        default = "required" if required else ""
        if entry.get("default") is not None:
            default = f"default {entry['default']}"
        notes = ", ".join(part for part in (place, default, entry.get("description", "")) if part)
        lines.append(
            f"<tr><td><code>{escape(name)}</code><td>{escape(_type(entry))}<td>{escape(notes)}"
        )
    head = "<tr><th scope=col>field<th scope=col>type<th scope=col>notes"
    return f"<h3>{escape(title)}</h3><table>{head}{''.join(lines)}</table>"


def _type(entry: dict[str, Any]) -> str:
    if "anyOf" in entry:
        return " or ".join(_type(one) for one in entry["anyOf"] if one.get("type") != "null")
    if "enum" in entry:
        return ", ".join(map(repr, entry["enum"]))
    if "const" in entry:
        return repr(entry["const"])
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "maxLength": "up to"}
    shown = [f"{sign} {entry[name]}" for name, sign in bounds.items() if name in entry]
    kind = entry.get("type", "any")
    if kind == "array":
        kind = f"list of {_type(entry.get('items', {}))}"
    return " ".join([str(kind), ", ".join(shown)]).strip()

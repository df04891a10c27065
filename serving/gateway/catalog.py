"""What the model server has: models, versions, labels and signatures, and whether it is ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc

from serving.client import AsyncClient, ClientError, Metadata, Signature, Tls
from serving.gateway import choices
from serving.gateway.choices import Choices
from serving.gateway.errors import ApiError
from serving.gateway.routing import CANARY, STABLE, Router
from serving.gateway.schemas import DEFAULTS
from serving.gateway.settings import Settings

_FRESH_SECONDS = 1.0
_AVAILABLE = "AVAILABLE"
_VERSIONS_KEPT = 1000


def upstream_tls(settings: Settings) -> Tls | None:
    """How the connection to the model server is encrypted; None for not at all."""
    if settings.upstream_ca is None:
        return None
    return Tls(ca=settings.upstream_ca, cert=settings.upstream_cert, key=settings.upstream_key)


class Upstream:
    """A client for each model, and what the server says of it, asked for again after a second.

    Must be made inside the event loop that uses it.
    """

    def __init__(self, settings: Settings, router: Router) -> None:
        self._settings, self._router = settings, router
        tls = upstream_tls(settings)
        self._clients = {
            name: AsyncClient(settings.upstream, model=name, timeout=settings.timeout, tls=tls)
            for name in settings.models
        }
        self._cached: dict[str, tuple[float, asyncio.Future[Any]]] = {}
        self._told: dict[tuple[str, int], Choices] = {}

    def model(self, name: str | None) -> str:
        """The name of a model that may be asked for.

        Raises:
            ApiError: it may not (NOT_FOUND).
        """
        if name is None:
            return self._settings.models[0]
        if name not in self._clients:
            raise ApiError(
                "NOT_FOUND",
                f"expected a model of: {', '.join(self._settings.models)}. "
                f"Received: {name[:128]!r}",
            )
        return name

    def client(self, model: str) -> AsyncClient:
        """The client of a model."""
        return self._clients[model]

    async def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            await client.close()

    async def readiness(self) -> tuple[bool, dict[str, str]]:
        """Whether every model has an available version, and the state of each in words."""
        states = await asyncio.gather(*(self._readiness(name) for name in self._clients))
        found = dict(zip(self._clients, states, strict=True))
        return all(state == _AVAILABLE for state in states), found

    async def _readiness(self, model: str) -> str:
        try:
            versions = await self._fresh(f"status {model}", self._status, model)
        except ClientError as error:
            code = error.code.name if error.code is not None else "UNKNOWN"
            return f"{code}: {error.message}"
        if any(version["state"] == _AVAILABLE for version in versions):
            return _AVAILABLE
        said = ", ".join(f"version {one['version']} is {one['state']}" for one in versions)
        return said or "no version"

    async def available(self) -> dict[str, list[int]]:
        """The available versions of every model, none where the server cannot be asked."""
        found: dict[str, list[int]] = {}
        for name in self._clients:
            try:
                versions = await self._fresh(f"status {name}", self._status, name)
            except ClientError:
                versions = []
            found[name] = [one["version"] for one in versions if one["state"] == _AVAILABLE]
        return found

    async def serving(self, model: str) -> dict[int, list[str]]:
        """The versions of a model that answer, each with its labels; none where it is unknown.

        Raises:
            ClientError: the server cannot be reached.
        """
        try:
            versions = await self._fresh(f"status {model}", self._status, model)
        except ClientError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                return {}
            raise
        labels = await self._fresh(f"labels {model}", self._labels, model)
        return {
            one["version"]: sorted(name for name, at in labels.items() if at == one["version"])
            for one in versions
            if one["state"] == _AVAILABLE
        }

    async def models(self) -> list[dict[str, Any]]:
        """The models of /v1/models."""
        return list(await asyncio.gather(*(self._describe(name) for name in self._clients)))

    async def _describe(self, model: str) -> dict[str, Any]:
        try:
            versions = await self._fresh(f"status {model}", self._status, model)
            labels = await self._fresh(f"labels {model}", self._labels, model)
            metadata = await self.signatures(model)
            offered = await self.choices(model)
        except ClientError as error:
            code = error.code.name if error.code is not None else "UNKNOWN"
            problem = {"code": code, "message": error.message}
            return {
                "name": model,
                "modality": "other",
                "versions": [],
                "signatures": {},
                "defaults": {},
                "error": problem,
            }
        shown = [
            {**entry, "labels": [name for name, at in labels.items() if at == entry["version"]]}
            for entry in versions
        ]
        modality = _modality(metadata.signatures)
        return {
            "name": model,
            "modality": modality,
            "versions": shown,
            "signatures": {
                name: _signature(entry) for name, entry in sorted(metadata.signatures.items())
            },
            "defaults": dict(DEFAULTS) if modality == "text" else {},
            "streams": "generate_chunk" in metadata.signatures,
            "choices": offered.model_dump(exclude_none=True),
            "limits": {"n": self._settings.max_images, "num_rows": self._settings.max_rows},
        }

    async def signatures(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> Metadata:
        """The signatures of a version.

        Raises:
            ClientError: the server refused or cannot be reached.
        """
        key = f"metadata {model} {version} {label}"
        found: Metadata = await self._fresh(key, self._metadata, model, version, label)
        return found

    async def choices(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> Choices:
        """What a version lets its callers choose.

        Raises:
            ClientError: the server refused to show its signatures, or cannot be reached.
        """
        metadata = await self.signatures(model, version, label)
        if choices.SIGNATURE not in metadata.signatures:
            return choices.from_signature(metadata)
        # A version never changes what it says of itself.
        key = (model, metadata.version)
        if key not in self._told:
            try:
                found = await self._clients[model].predict(
                    choices.SIGNATURE,
                    {"about": [""]},
                    version=metadata.version,
                    timeout=self._settings.status_timeout,
                )
            except ClientError:
                # Choices are a help; the model may be asked without them.
                return choices.from_signature(metadata)
            if len(self._told) > _VERSIONS_KEPT:
                self._told.clear()
            self._told[key] = choices.told(found, metadata)
        return self._told[key]

    async def _status(self, model: str) -> list[dict[str, Any]]:
        found = await self._clients[model].status(timeout=self._settings.status_timeout)
        return [{"version": entry.version, "state": entry.state} for entry in found]

    async def _metadata(self, model: str, version: int | None, label: str | None) -> Metadata:
        return await self._clients[model].metadata(
            version=version, label=label, timeout=self._settings.status_timeout
        )

    async def _labels(self, model: str) -> dict[str, int]:
        """Which versions answer to the labels that the gateway knows; TF Serving lists none."""
        names = dict.fromkeys((STABLE, CANARY, self._settings.default_label or STABLE))
        found = {}
        for name in names:
            try:
                found[name] = (await self._metadata(model, None, name)).version
            except ClientError as error:
                if error.code is grpc.StatusCode.UNAVAILABLE:
                    raise
        return found

    async def _fresh(self, key: str, ask: Any, *arguments: Any) -> Any:
        """An answer of the last second; callers at the same time share one question."""
        asked, future = self._cached.get(key, (0.0, None))
        now = time.monotonic()
        if future is None or now - asked > _FRESH_SECONDS:
            if len(self._cached) > 1000:
                self._cached.clear()
            future = asyncio.ensure_future(ask(*arguments))
            # Nobody may be left to fetch the exception.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._cached[key] = (now, future)
        # A caller that goes away must not end the question of the others.
        return await asyncio.shield(future)


def _modality(signatures: dict[str, Signature]) -> str:
    """text, image, table or other, by what `generate` takes and gives."""
    generate = signatures.get("generate")
    if generate is None:
        return "other"
    if "prompt" in generate.inputs and "text" in generate.outputs:
        return "text"
    if "image" in generate.outputs:
        return "image"
    return "table" if "num_rows" in generate.inputs else "other"


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        side: {
            name: {"dtype": spec.dtype, "shape": _shape(spec.shape)}
            for name, spec in sorted(specs.items())
        }
        for side, specs in (("inputs", signature.inputs), ("outputs", signature.outputs))
    }


def _shape(shape: Sequence[int | None] | None) -> list[int | None] | None:
    return None if shape is None else list(shape)

"""Copies a published version into Kubeflow's model registry, over its REST API (v1alpha3).

A registered model has versions, a version has artifacts: the model itself, the data that it was
trained on, and the run's reports. Figures and lineage are properties of the version.
https://www.kubeflow.org/docs/components/model-registry/reference/rest-api/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.export.content import Content, content_of
from serving.export.errors import ExportError
from serving.export.rest import Rest
from serving.store.lineage import Origin

_API = "/api/model_registry/v1alpha3"
_CONFLICT, _NOT_FOUND = 409, 404
_PAGE = 100


class Kubeflow:
    """A model registry.

    Args:
        host: its URL.
        token: for its Authorization header; None for none.
        seconds: that one answer may take.
    """

    def __init__(self, host: str, token: str | None, seconds: float = 20.0) -> None:
        """Nothing is sent yet.

        Raises:
            ExportError: the URL is none.
        """
        self._rest = Rest(host, token, seconds)

    def export(self, origin: Origin) -> list[str]:
        """Writes the versions of a run, or brings them up to date; where each is found.

        Raises:
            ExportError: the run published nothing, or the registry failed; a second call goes on.
        """
        if not origin.versions:
            raise ExportError(
                "expected a run with a published version, for Kubeflow registers versions. "
                f"Received: {origin.run.model}/{origin.run.run}, {origin.run.outcome}"
            )
        content = content_of(origin)
        model = self._one(
            "registered_model", {"name": origin.run.model}, {"name": origin.run.model}
        )
        return [
            self._version(origin, content, model, version.version, version.path)
            for version in origin.versions
        ]

    def _version(self, origin: Origin, content: Content, model: str, number: int, path: str) -> str:
        run = origin.run
        approved = [one.reviewer for one in origin.approvals if one.verdict == "approved"]
        told = {
            "description": run.reason,
            "author": approved[-1] if approved else "the policy",
            "state": "LIVE",
            "customProperties": {
                "loomline.run": _text(content.name),
                **{f"loomline.{name}": _text(value) for name, value in content.facts.items()},
                **{name: _number(value) for name, value in content.figures.items()},
            },
        }
        name = str(number)
        version = self._one(
            "model_version",
            {"name": name, "parentResourceId": model},
            {"name": name, "registeredModelId": model, **told},
            told,
        )
        label = f"{run.model}-{number}"
        artifacts: list[dict[str, Any]] = [
            {
                "artifactType": "model-artifact",
                "name": label,
                "uri": _uri(path),
                "modelFormatName": "tensorflow",
                "modelFormatVersion": "2",
                "modelSourceKind": "loomline",
                "modelSourceName": content.name,
                "state": "LIVE",
            },
            {
                "artifactType": "dataset-artifact",
                "name": f"{label}-data",
                "source": run.source,
                "digest": run.source_digest,
                "state": "LIVE",
            },
        ]
        for report in content.reports:
            name = f"{label}-{report.name}"
            doc = {"artifactType": "doc-artifact", "name": name, "uri": report.as_uri()}
            artifacts.append({**doc, "state": "LIVE"})
        self._artifacts(version, artifacts)
        return f"{self._rest.url}{_API}/model_versions/{version}"

    def _one(
        self,
        kind: str,
        query: dict[str, str],
        new: dict[str, Any],
        changed: dict[str, Any] | None = None,
    ) -> str:
        """The id of a resource, which is made where there is none, and brought up to date."""
        found = self._rest.get(f"{_API}/{kind}", query)
        if found is None:
            status, made = self._rest.send("POST", f"{_API}/{kind}s", new, also=(_CONFLICT,))
            if status != _CONFLICT:
                return str(made["id"])
            # Somebody else made it in the meantime.
            found = self._rest.get(f"{_API}/{kind}", query)
            if found is None:
                raise ExportError(
                    f"expected {self._rest.url} to have {kind} {query['name']}, which it says "
                    "exists. Received: none"
                )
        if changed is not None:
            self._rest.send("PATCH", f"{_API}/{kind}s/{found['id']}", changed)
        return str(found["id"])

    def _artifacts(self, version: str, wanted: list[dict[str, Any]]) -> None:
        path = f"{_API}/model_versions/{version}/artifacts"
        known: dict[tuple[str, str], str] = {}
        query = {"pageSize": str(_PAGE)}
        while True:
            page = self._rest.get(path, query) or {}
            for one in page.get("items", []):
                known[str(one.get("artifactType")), str(one.get("name"))] = str(one["id"])
            if not page.get("nextPageToken"):
                break
            query["nextPageToken"] = str(page["nextPageToken"])
        for artifact in wanted:
            found = known.get((artifact["artifactType"], artifact["name"]))
            if found is None:
                self._rest.send("POST", path, artifact)
            else:
                changed = {name: value for name, value in artifact.items() if name != "name"}
                self._rest.send("PATCH", f"{_API}/artifacts/{found}", changed)


def _uri(path: str) -> str:
    return path if "://" in path else Path(path).absolute().as_uri()


def _text(value: str) -> dict[str, Any]:
    return {"metadataType": "MetadataStringValue", "string_value": value}


def _number(value: float) -> dict[str, Any]:
    return {"metadataType": "MetadataDoubleValue", "double_value": value}

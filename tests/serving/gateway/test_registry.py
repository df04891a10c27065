"""Runs, lineage and what serves where, over HTTP: for admins, from the real store."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.store import Approval, Run, Store, Version, open_store

# The registry is read without a model server.
NOWHERE = "127.0.0.1:1"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, past_run: Callable[..., Run]) -> str:
    """Of a store with two versions of text, the second approved by Ada, and a rejected run."""
    folder = tmp_path_factory.mktemp("registry")
    url = f"sqlite:///{folder / 'store.sqlite'}"
    reports = folder / "records"
    reports.mkdir()
    (reports / "evaluation.html").write_text("<style>p{color:red}</style><p>it is good")
    (reports / "secret.html").write_text("not a report")
    rules = [{"metric": "evaluation.copy_share", "value": 0.05, "verdict": "pass", "reason": "low"}]
    (reports / "decision.json").write_text(json.dumps({"rules": rules}))
    compared = {
        "data": {"moved": False, "told": "The current text is alike.", "suggestions": []},
        "output": {"moved": True, "told": "Samples are shorter.", "suggestions": ["Train longer."]},
        "other": {"moved": True},
    }
    (reports / "drift.json").write_text(json.dumps({"comparisons": compared}))

    def record(store: Store, name: str, version: int | None = None, **changed: Any) -> None:
        outcome = "pushed" if version else "rejected"
        run = past_run(name, **{"outcome": outcome, "records": "", **changed})
        digest = f"{version}" * 64
        published = version and Version(run.model, version, name, digest, f"/models/text/{version}")
        store.registry.record(run, published or None)

    with contextlib.closing(open_store(url)) as store:
        record(store, "a", 1, finished=NOON - timedelta(hours=1))
        record(store, "b", 2, champion_version=1, records=str(reports))
        record(store, "c", champion_version=2, finished=NOON + timedelta(hours=1))
        record(store, "x", model="image", figures={})
        envelope = ("n", "text", "b", "approved", "Ada", "reads well", NOON, NOON, "{}")
        store.approvals.decide("text", "b", NOON, lambda _: Approval(*envelope))
        now = datetime.now(UTC)
        store.deployments.observe("models:8500", "text", {1: ["canary"], 2: ["stable"]}, now)
        store.deployments.observe("old:8500", "text", {1: [], 9: []}, NOON)
    return url


@pytest.fixture(scope="module")
def http(start_gateway: Callable[..., Any], url: str) -> Any:
    return start_gateway(NOWHERE, store=url).http


def test_runs_are_filtered_and_come_page_by_page(http: Any) -> None:
    whole = http.get("/v1/runs").json()
    assert [one["run"] for one in whole["runs"]] == ["c", "x", "b", "a"]
    assert (whole["models"], whole["next_before"]) == (["image", "text"], None)
    told = whole["runs"][2]
    assert told["headline"] == {"name": "bits_per_byte", "value": 1.9}
    assert (told["drift"], told["outcome"]) == (0.5, "pushed")
    assert "config" not in told
    only = http.get("/v1/runs?model=text&outcome=rejected").json()["runs"]
    assert [one["run"] for one in only] == ["c"]
    first = http.get("/v1/runs?limit=3").json()
    rest = http.get("/v1/runs", params={"limit": 3, "before": first["next_before"]}).json()
    assert [one["run"] for one in rest["runs"]] == ["a"]


def test_a_run_shows_what_made_it_and_where_it_serves(http: Any) -> None:
    told = http.get("/v1/runs/text/b").json()
    assert told["config"]["train"] == {"layers": 4, "steps": 700}
    assert told["rules"][0]["verdict"] == "pass"
    assert told["changes"] == [
        {"moved": True, "told": "Samples are shorter.", "suggestions": ["Train longer."]},
        {"moved": False, "told": "The current text is alike.", "suggestions": []},
    ]
    assert http.get("/v1/runs/text/c").json()["changes"] == []
    assert [(one["verdict"], one["reviewer"]) for one in told["verdicts"]] == [("approved", "Ada")]
    assert [one["version"] for one in told["versions"]] == [2]
    (place,) = told["serving"]
    assert (place["server"], place["labels"], place["fresh"]) == ("models:8500", ["stable"], True)
    (before,) = told["lineage"]
    assert before["run"] == "a"
    assert [one["fresh"] for one in before["serving"]] == [True, False]
    assert http.get("/v1/runs/text/2").json()["run"] == "b"


def test_lineage_goes_back_through_the_champions(http: Any) -> None:
    for name in ("2", "b"):
        found = http.get(f"/v1/lineage/text/{name}").json()["lineage"]
        assert [one["run"] for one in found] == ["b", "a"]


def test_runs_are_compared_oldest_first(http: Any) -> None:
    told = http.get("/v1/runs/compare?run=text/c&run=text/1&run=text/b").json()
    assert [one["run"] for one in told["runs"]] == ["a", "b", "c"]
    rows = {row["name"]: row for row in told["rows"]}
    assert rows["outcome"]["values"] == ["pushed", "pushed", "rejected"]
    assert (rows["outcome"]["differs"], rows["source"]["differs"]) == (True, False)
    assert rows["evaluation.bits_per_byte"] == {
        "kind": "figure",
        "name": "evaluation.bits_per_byte",
        "values": [1.9, 1.9, 1.9],
        "differs": False,
    }


def test_versions_are_told_with_where_they_serve(http: Any) -> None:
    told = http.get("/v1/registry/models").json()
    assert [(one["model"], one["version"]) for one in told["versions"]] == [
        ("text", 2),
        ("text", 1),
    ]
    newest = told["versions"][0]
    assert newest["approval"]["reviewer"] == "Ada"
    assert [one["server"] for one in newest["serving"]] == ["models:8500"]
    assert told["versions"][1]["approval"] is None
    assert [one["version"] for one in told["unregistered"]] == [9]


def test_reports_are_served_without_rights(http: Any) -> None:
    assert http.get("/v1/runs/text/b").json()["pages"] == ["evaluation.html"]
    reply = http.get("/v1/runs/text/b/evaluation.html")
    assert reply.text.endswith("it is good")
    # One policy, which lets the report's own styles be.
    assert reply.headers.get_list("content-security-policy") == [
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    ]
    for name in ("secret.html", "decision.json", "..%2Fstore.sqlite", "drift.html"):
        assert http.get(f"/v1/runs/text/b/{name}").status_code == 404, name
    assert http.get("/v1/runs/text/c/evaluation.html").status_code == 404


def test_a_mistake_is_one_line(http: Any) -> None:
    many = "&".join(f"run=text/{number}" for number in range(51))
    for path, status in {
        "/v1/runs?limit=0": 400,
        "/v1/runs?limit=many": 400,
        "/v1/runs?outcome=splendid": 400,
        "/v1/runs?before=text/nothing": 404,
        "/v1/runs/text/nothing": 404,
        "/v1/runs/image/b": 404,
        "/v1/runs/compare": 400,
        "/v1/runs/compare?run=text/a": 400,
        "/v1/runs/compare?run=text/a&run=text/a": 400,
        "/v1/runs/compare?run=text/a&run=text/nothing": 404,
        f"/v1/runs/compare?{many}": 400,
        "/v1/lineage/text/99": 404,
        "/v1/lineage/text/%00": 404,
    }.items():
        reply = http.get(path)
        assert reply.status_code == status, f"{path}: {reply.text}"
        message = reply.json()["error"]["message"]
        assert message.startswith("expected"), path
        assert "\n" not in message, path


def test_with_keys_only_admins_see_the_registry(
    start_gateway: Callable[..., Any], url: str
) -> None:
    with contextlib.closing(open_store(url)) as store:
        _, admin = store.keys.create("Grace", admin=True)
        _, app = store.keys.create("an app")
    http = start_gateway(NOWHERE, "--auth=keys", store=url).http
    for path in (
        "/v1/runs",
        "/v1/runs/compare?run=text/a&run=text/b",
        "/v1/runs/text/b",
        "/v1/runs/text/b/evaluation.html",
        "/v1/lineage/text/b",
        "/v1/registry/models",
    ):
        assert http.get(path).status_code == 401, path
        assert http.get(path, headers={"Authorization": f"Bearer {app}"}).status_code == 403, path
        assert http.get(path, headers={"Authorization": f"Bearer {admin}"}).status_code == 200, path
    documented = http.get("/openapi.json").json()["paths"]
    assert documented["/v1/runs/compare"]["get"]["security"] == [{"key": []}]


def test_pages_let_reports_be_styled_and_nothing_else(http: Any) -> None:
    for path in ("/runs", "/runs/compare?run=a", "/runs/text/b", "/models", "/review"):
        reply = http.get(path)
        assert reply.status_code == 200, path
        (policy,) = reply.headers.get_list("content-security-policy")
        assert "style-src 'self' 'unsafe-inline'" in policy
        assert "script-src 'self';" in policy
    (policy,) = http.get("/").headers.get_list("content-security-policy")
    assert "unsafe" not in policy


def test_the_gateway_notes_what_its_server_serves(
    start_gateway: Callable[..., Any], server: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    url = f"sqlite:///{tmp_path / 'noted.sqlite'}"
    gateway = start_gateway(server.address, "--deployment-seconds=0.1", store=url)
    with contextlib.closing(open_store(url)) as store:
        until(lambda: store.deployments.current() != [])
        (found,) = store.deployments.current()
    assert (found.server, found.model, found.version) == (server.address, "text", 3)
    shown = gateway.http.get("/v1/registry/models").json()["unregistered"]
    assert [(one["version"], one["fresh"]) for one in shown] == [(3, True)]


def test_a_server_that_is_away_leaves_what_was_noted(
    start_gateway: Callable[..., Any], url: str, until: Callable[..., None]
) -> None:
    gateway = start_gateway(NOWHERE, "--deployment-seconds=0.1", store=url)
    until(lambda: gateway.http.get("/readyz").status_code == 503)
    with contextlib.closing(open_store(url)) as store:
        assert {one.server for one in store.deployments.current()} == {"models:8500", "old:8500"}

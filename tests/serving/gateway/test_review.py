"""What waits for approval, over HTTP: evidence for admins, verdicts that the push step accepts."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from serving.review import reviewers
from serving.review.signing import key_id_of, predicate_of, public_bytes
from serving.store import Store, open_store

# Nothing of the review needs a model server.
NOWHERE = "127.0.0.1:1"
RUN = "20261123-120000"
PATH = f"/v1/review/text/{RUN}"
APPROVED = {"verdict": "approved", "comment": "reads well"}
Candidates = Callable[..., Any]


@pytest.fixture
def reviewing(
    start_gateway: Callable[..., Any], tmp_path: Path, person: Callable[[str], Any]
) -> Callable[..., Any]:
    """A gateway that reviews the models below the test's folder, with Ada's key."""
    ada = person("Ada")

    def reviewing(*flags: str, **given: Any) -> Any:
        (tmp_path / "models").mkdir(exist_ok=True)
        chosen = [f"--review-models={tmp_path / 'models'}", f"--review-key={ada.key_path}"]
        return start_gateway(NOWHERE, *chosen, *flags, **given)

    return reviewing


def test_what_waits_is_listed_with_its_evidence(
    reviewing: Callable[..., Any], candidate: Candidates, tmp_path: Path
) -> None:
    samples = json.dumps({"samples": [{"prompt": "a", "text": "b", "seed": 1}]})
    candidate(champion=3, **{"samples.json": samples, "evaluation.html": "<p>it is good</p>"})
    champion = tmp_path / "models" / "text" / "3" / "loomline"
    champion.mkdir(parents=True)
    (champion / "samples.json").write_text(samples.replace('"b"', '"c"'))
    http = reviewing().http
    listed = http.get("/v1/review").json()
    assert listed["signs"] is True
    (one,) = listed["candidates"]
    assert (one["model"], one["run"], one["champion_version"]) == ("text", RUN, 3)
    assert (one["reason"], one["verdict"]) == ("approved: all 3 rules pass", None)
    whole = http.get(PATH).json()
    assert whole["decision"]["rules"][0]["metric"] == "evaluation.copy_share"
    assert whole["samples"][0]["text"] == "b"
    assert whole["champion_samples"][0]["text"] == "c"
    assert whole["pages"] == ["evaluation.html"]
    report = http.get(f"{PATH}/evaluation.html")
    assert report.text == "<p>it is good</p>"
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_reports_of_the_run_stand_beside_the_evidence_and_never_in_its_place(
    reviewing: Callable[..., Any], candidate: Candidates, tmp_path: Path
) -> None:
    records = tmp_path / "records"
    records.mkdir()
    for name in ("evaluation.html", "validation.html", "trend.html", "summary.json"):
        (records / name).write_text(f"<p>the run's {name}</p>")
    candidate(records=records, **{"evaluation.html": "<p>the evidence</p>"})
    candidate("20261124-120000", records=tmp_path / "gone", **{"evaluation.html": ""})
    http = reviewing().http
    whole = http.get(PATH).json()
    assert whole["pages"] == ["evaluation.html", "trend.html", "validation.html"]
    assert whole["unsigned_pages"] == ["trend.html", "validation.html"]
    assert http.get(f"{PATH}/evaluation.html").text == "<p>the evidence</p>"
    report = http.get(f"{PATH}/trend.html")
    assert report.text == "<p>the run's trend.html</p>"
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert http.get(f"{PATH}/summary.json").status_code == 404
    away = http.get("/v1/review/text/20261124-120000").json()
    assert (away["pages"], away["unsigned_pages"]) == (["evaluation.html"], [])


def test_a_verdict_is_signed_and_recorded(
    reviewing: Callable[..., Any], candidate: Candidates
) -> None:
    waits, gateway = candidate(), reviewing()
    told = gateway.http.post(PATH, json=APPROVED)
    assert told.status_code == 200, told.text
    assert told.json().items() >= {"verdict": "approved", "reviewer": "Ada", "new": True}.items()
    assert gateway.http.post(PATH, json=APPROVED).json()["new"] is False
    said = predicate_of((waits.evidence / "approval.json").read_text())
    assert (said["verdict"], said["reviewer"], said["comment"]) == ("approved", "Ada", "reads well")
    (one,) = gateway.http.get("/v1/review").json()["candidates"]
    assert (one["verdict"], one["reviewer"]) == ("approved", "Ada")
    with contextlib.closing(open_store(gateway.store)) as store:
        assert [entry.read()["actor"] for entry in store.audit.entries()] == ["Ada"]
    other = gateway.http.post(PATH, json={"verdict": "rejected"})
    assert other.status_code == 409
    assert "Ada approved it" in other.json()["error"]["message"]


def test_with_keys_the_caller_is_the_reviewer_and_must_be_an_admin(
    reviewing: Callable[..., Any], candidate: Candidates, tmp_path: Path
) -> None:
    waits = candidate()
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with contextlib.closing(open_store(url)) as store:
        secrets = {
            name: store.keys.create(name, admin=admin)[1]
            for name, admin in (("Grace", True), ("an app", False))
        }
    http = reviewing("--auth=keys", store=url).http
    calls = [("GET", "/v1/review"), ("GET", PATH), ("GET", f"{PATH}/decision.html"), ("POST", PATH)]
    for method, path in calls:
        body = APPROVED if method == "POST" else None
        assert http.request(method, path, json=body).status_code == 401
        app = {"Authorization": f"Bearer {secrets['an app']}"}
        assert http.request(method, path, json=body, headers=app).status_code == 403
    assert not (waits.evidence / "approval.json").exists()
    grace = {"Authorization": f"Bearer {secrets['Grace']}"}
    assert http.post(PATH, json=APPROVED, headers=grace).json()["reviewer"] == "Grace"
    assert predicate_of((waits.evidence / "approval.json").read_text())["reviewer"] == "Grace"


def test_what_does_not_wait_is_not_found_and_other_bodies_are_refused(
    reviewing: Callable[..., Any], candidate: Candidates
) -> None:
    waits, http = candidate(), reviewing().http
    for path in (
        "/v1/review/text/nothing",
        f"/v1/review/image/{RUN}",
        "/v1/review/..%2F..%2Fetc/passwd",
        "/v1/review/text/%2E%2E",
        f"{PATH}/approval.json",
        f"{PATH}/..%2F..%2Fsaved_model.pb",
        f"{PATH}/drift.html",
    ):
        assert http.get(path).status_code == 404, path
    for body in (
        {"verdict": "maybe"},
        {},
        {"verdict": "approved", "comment": "x" * 10_001},
        {"verdict": "approved", "reviewer": "Eve"},
    ):
        assert http.post(PATH, json=body).status_code == 400, body
    assert not (waits.evidence / "approval.json").exists()


def test_changed_evidence_and_revoked_keys_are_refused(
    reviewing: Callable[..., Any], candidate: Candidates, approvers: Path, person: Any
) -> None:
    waits = candidate()
    http: httpx.Client = reviewing().http
    whole = (waits.evidence / "evaluation.json").read_text()
    (waits.evidence / "evaluation.json").write_text('{"better": 1}')
    for reply in (http.get(PATH), http.post(PATH, json=APPROVED)):
        assert reply.status_code == 409
        assert "evaluation.json as the run left it" in reply.json()["error"]["message"]
    (waits.evidence / "evaluation.json").write_text(whole)
    (ada,) = reviewers.read(approvers)
    reviewers.revoke(approvers, ada.key_id)
    reply = http.post(PATH, json=APPROVED)
    assert reply.status_code == 409
    assert "revoked" in reply.json()["error"]["message"]
    assert not (waits.evidence / "approval.json").exists()


def test_a_gateway_without_a_key_says_so(
    start_gateway: Callable[..., Any], candidate: Candidates, tmp_path: Path, person: Any
) -> None:
    candidate()
    http = start_gateway(NOWHERE, f"--review-models={tmp_path / 'models'}").http
    assert http.get("/v1/review").json()["signs"] is False
    reply = http.post(PATH, json=APPROVED)
    assert reply.status_code == 409
    assert "--review-key" in reply.json()["error"]["message"]


def test_a_gateway_without_models_says_so(gateway: Any) -> None:
    plain = gateway.http.get("/v1/review")
    assert plain.status_code == 404
    assert "--review-models" in plain.json()["error"]["message"]


def test_a_key_that_the_models_reviewers_do_not_list_is_refused(
    start_gateway: Callable[..., Any], candidate: Candidates, tmp_path: Path, person: Any
) -> None:
    candidate()
    eve = person("Eve")
    other = tmp_path / "others.json"
    reviewers.add(other, "Bob", b"0" * 32)
    assert key_id_of(public_bytes(eve.key))
    flags = [f"--review-models={tmp_path / 'models'}", f"--review-key={eve.key_path}"]
    http = start_gateway(NOWHERE, *flags, f"--approvers={other}").http
    reply = http.post(PATH, json=APPROVED)
    assert reply.status_code == 409
    assert "not listed" in reply.json()["error"]["message"]


def test_of_two_reviewers_at_once_one_decides(
    reviewing: Callable[..., Any], candidate: Candidates, store: Store, url: str
) -> None:
    waits = candidate()
    keys = {name: store.keys.create(name, admin=True)[1] for name in ("Grace", "Alan")}
    http = reviewing("--auth=keys", store=url).http
    barrier = threading.Barrier(2)

    def decide(name: str, verdict: str) -> httpx.Response:
        barrier.wait()
        headers = {"Authorization": f"Bearer {keys[name]}"}
        reply: httpx.Response = http.post(PATH, json={"verdict": verdict}, headers=headers)
        return reply

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(decide, ("Grace", "Alan"), ("approved", "rejected")))
    assert sorted(reply.status_code for reply in replies) == [200, 409]
    (won,) = [reply.json() for reply in replies if reply.status_code == 200]
    (lost,) = [reply.json() for reply in replies if reply.status_code == 409]
    assert f"{won['reviewer']} {won['verdict']} it" in lost["error"]["message"]
    (row,) = store.approvals.of_run("text", RUN)
    assert (row.reviewer, row.verdict) == (won["reviewer"], won["verdict"])
    said = predicate_of((waits.evidence / "approval.json").read_text())
    assert (said["reviewer"], said["verdict"]) == (won["reviewer"], won["verdict"])
    assert [entry.read()["actor"] for entry in store.audit.entries()] == [won["reviewer"]]


def test_a_database_that_goes_away_in_the_middle_of_an_approval_decides_nothing(
    reviewing: Callable[..., Any],
    candidate: Candidates,
    postgresql: Any,
    until: Callable[..., None],
) -> None:
    waits, url = candidate(), postgresql.new_database()
    open_store(url).close()
    http = reviewing("--store-seconds=20", store=url).http
    assert http.get(PATH).status_code == 200
    other = sa.create_engine(url)
    try:
        with other.connect() as holder, concurrent.futures.ThreadPoolExecutor(1) as pool:
            # The verdict is signed under this lock, so its transaction has begun and waits.
            holder.execute(sa.text("LOCK TABLE audit_log IN EXCLUSIVE MODE"))
            deciding = pool.submit(http.post, PATH, json=APPROVED)
            waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            until(lambda: holder.execute(waiting).scalar())
            postgresql.stop()
            reply = deciding.result(30)
            holder.invalidate()
    finally:
        postgresql.start()
        other.dispose()
    assert reply.status_code == 503, reply.text
    assert "the database is down" in reply.json()["error"]["message"]
    assert not (waits.evidence / "approval.json").exists()
    with contextlib.closing(open_store(url)) as store:
        assert store.approvals.of_run("text", RUN) == []
        assert list(store.audit.entries()) == []
    until(lambda: http.post(PATH, json=APPROVED).status_code == 200, 30)
    assert predicate_of((waits.evidence / "approval.json").read_text())["verdict"] == "approved"
    with contextlib.closing(open_store(url)) as store:
        assert len(store.approvals.of_run("text", RUN)) == 1

"""One verdict stands for each candidate, whoever else decides at the same moment."""

from __future__ import annotations

import concurrent.futures
import json
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.review import reviewers
from serving.review.candidates import Candidate, read_candidate, waiting
from serving.review.deciding import decide
from serving.review.errors import ReviewError
from serving.review.signing import key_id_of, make_key, predicate_of, public_bytes
from serving.store import Approval, Store, StoreError, open_store
from serving.store.audit import checked

People = Callable[[str], Any]
Candidates = Callable[..., Candidate]


def test_a_verdict_is_signed_stored_logged_and_laid_down(
    store: Store, candidate: Candidates, person: People, approvers: Path
) -> None:
    head = store.audit.append("event", actor="x", subject="y")
    waits, ada = candidate(), person("Ada")
    approval, new = decide(
        store, waits, ada.key, approvers, verdict="approved", comment="good \u2713", days=2
    )
    assert new
    assert (waits.evidence / "approval.json").read_text() == approval.envelope
    assert store.approvals.of_run("text", waits.run) == [approval]
    said = predicate_of(approval.envelope)
    assert said["audit_log"] == {"id": 1, "digest": head.digest}
    assert (said["reviewer"], said["comment"], said["nonce"]) == ("Ada", "good \u2713", approval.id)
    assert approval.expires - approval.created == timedelta(days=2)
    *_, last = checked(store.audit.entries())
    logged = last.read()
    assert (logged["event"], logged["actor"]) == ("candidate.approved", "Ada")
    assert logged["subject"] == f"text/{waits.run}"
    assert logged["details"] == {"id": approval.id, "comment": "good \u2713"}


def test_a_second_call_goes_on_and_signs_nothing_new(
    store: Store, candidate: Candidates, person: People, approvers: Path
) -> None:
    waits, ada, bob = candidate(), person("Ada"), person("Bob")
    first, _ = decide(store, waits, ada.key, approvers, verdict="approved", comment="")
    (waits.evidence / "approval.json").unlink()
    second, new = decide(store, waits, bob.key, approvers, verdict="approved", comment="too")
    assert (second, new) == (first, False)
    assert (waits.evidence / "approval.json").read_text() == first.envelope
    assert len(list(store.audit.entries())) == 1


@pytest.mark.parametrize("first", ["approved", "rejected"])
def test_the_other_verdict_is_refused(
    store: Store, candidate: Candidates, person: People, approvers: Path, first: str
) -> None:
    waits, ada, bob = candidate(), person("Ada"), person("Bob")
    decide(store, waits, ada.key, approvers, verdict=first, comment="my reason")
    other = {"approved": "rejected", "rejected": "approved"}[first]
    with pytest.raises(ReviewError, match=rf"Ada {first} it at .* \(my reason\)"):
        decide(store, waits, bob.key, approvers, verdict=other, comment="")
    assert predicate_of((waits.evidence / "approval.json").read_text())["verdict"] == first


def test_an_approval_that_expired_makes_room_for_another(
    store: Store, candidate: Candidates, person: People, approvers: Path
) -> None:
    waits, ada = candidate(), person("Ada")
    old, _ = decide(store, waits, ada.key, approvers, verdict="approved", comment="", days=1e-9)
    new, signed = decide(store, waits, ada.key, approvers, verdict="approved", comment="")
    assert signed
    assert new.id != old.id
    assert not old.stands(datetime.now(UTC))


@pytest.mark.parametrize("attempt", range(5))
def test_of_two_reviewers_at_once_one_decides(
    url: str, candidate: Candidates, person: People, approvers: Path, attempt: int
) -> None:
    waits = candidate()
    people = {"approved": person("Ada"), "rejected": person("Bob")}
    open_store(url).close()
    barrier = threading.Barrier(2)

    def vote(verdict: str) -> Approval | None:
        store = open_store(url)
        barrier.wait()
        try:
            key = people[verdict].key
            return decide(store, waits, key, approvers, verdict=verdict, comment="")[0]
        except ReviewError:
            return None
        finally:
            store.close()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(vote, people))
    (winner,) = [one for one in done if one is not None]
    store = open_store(url)
    assert store.approvals.of_run("text", waits.run) == [winner]
    assert [entry.read()["event"] for entry in checked(store.audit.entries())] == [
        f"candidate.{winner.verdict}"
    ]
    store.close()
    assert (waits.evidence / "approval.json").read_text() == winner.envelope


def test_who_is_not_listed_decides_nothing(
    store: Store, candidate: Candidates, person: People, approvers: Path, tmp_path: Path
) -> None:
    waits, ada = candidate(), person("Ada")
    stranger = make_key(tmp_path / "stranger.key")
    with pytest.raises(ReviewError, match="which is not listed"):
        decide(store, waits, stranger, approvers, verdict="approved", comment="")
    reviewers.revoke(approvers, key_id_of(public_bytes(ada.key)))
    with pytest.raises(ReviewError, match=r"Ada's key .* revoked"):
        decide(store, waits, ada.key, approvers, verdict="approved", comment="")
    late = make_key(tmp_path / "late.key")
    reviewers.add(approvers, "Late", public_bytes(late), datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(ReviewError, match=r"Late's key .* expired"):
        decide(store, waits, late, approvers, verdict="approved", comment="")
    assert store.approvals.of_run("text", waits.run) == []
    assert list(store.audit.entries()) == []
    assert not (waits.evidence / "approval.json").exists()


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_changed_evidence_is_not_decided_about(
    store: Store, candidate: Candidates, person: People, approvers: Path, change: str
) -> None:
    waits, ada = candidate(), person("Ada")
    path = waits.evidence / "evaluation.json"
    if change == "edit":
        path.write_text('{"better": true}')
    else:
        path.unlink()
    with pytest.raises(ReviewError, match=r"evaluation\.json as the run left it"):
        decide(store, waits, ada.key, approvers, verdict="approved", comment="")
    assert list(store.audit.entries()) == []


def test_what_was_added_before_the_verdict_is_part_of_it(
    store: Store, candidate: Candidates, person: People, approvers: Path
) -> None:
    waits, ada = candidate(), person("Ada")
    (waits.evidence / "serving_check.json").write_text("{}")
    assert waits.check().keys() == waits.digests.keys() | {"serving_check.json"}
    decide(store, waits, ada.key, approvers, verdict="approved", comment="")


@pytest.mark.parametrize(("comment", "days"), [("x" * 10_001, 7.0), ("", 1e12)])
def test_too_much_is_one_line(
    store: Store,
    candidate: Candidates,
    person: People,
    approvers: Path,
    comment: str,
    days: float,
) -> None:
    waits, ada = candidate(), person("Ada")
    with pytest.raises(ReviewError, match="expected"):
        decide(store, waits, ada.key, approvers, verdict="approved", comment=comment, days=days)
    assert list(store.audit.entries()) == []


def test_a_database_that_is_away_decides_nothing(
    postgresql: Any, candidate: Candidates, person: People, approvers: Path
) -> None:
    store = open_store(postgresql.new_database())
    waits, ada = candidate(), person("Ada")
    postgresql.stop()
    try:
        with pytest.raises(StoreError):
            decide(store, waits, ada.key, approvers, verdict="approved", comment="")
    finally:
        postgresql.start()
    assert not (waits.evidence / "approval.json").exists()
    # Back again, the same call does it.
    _, new = decide(store, waits, ada.key, approvers, verdict="approved", comment="")
    assert new
    store.close()


def test_candidates_are_found_oldest_first(candidate: Candidates, tmp_path: Path) -> None:
    names = ["20261123-120000", "20261123-120500"]
    made = [candidate(name) for name in names]
    assert [one.run for one in waiting(tmp_path / "models")] == names
    assert made[0].decision()["approved"] is True


@pytest.mark.parametrize("damage", ["moved", "garbage", "other form", "half"])
def test_a_damaged_candidate_is_one_line(candidate: Candidates, damage: str) -> None:
    waits = candidate()
    file = waits.evidence / "pending.json"
    path = waits.path
    if damage == "moved":
        path = waits.path.with_name("another")
        shutil.move(waits.path, path)
    elif damage == "garbage":
        file.write_bytes(b"\xff\xfe")
    elif damage == "half":
        file.write_text(json.dumps({"run": waits.run}))
    else:
        file.write_text("[]")
    with pytest.raises(ReviewError) as raised:
        read_candidate(path)
    assert "expected" in str(raised.value)
    assert "\n" not in str(raised.value)

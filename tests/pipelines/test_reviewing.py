"""A model that waits for a person: nothing but that person's own record publishes it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.approval_desk import Desk
from components.artifacts import (
    Evaluation,
    Model,
    Pending,
    Published,
    read_json,
)
from components.errors import (
    AlteredModelError,
    ApprovalError,
    ConfigError,
)
from components.push.approved import publish_approved
from components.push.push import run as push
from components.summarize.records import Records
from pipelines.cli import main
from pipelines.config import load_config
from pipelines.local import _arguments
from pipelines.output import Output
from pipelines.reviewing import Review
from pipelines.stack import settling
from serving.review.candidates import read_candidate
from serving.review.deciding import decide
from serving.review.errors import ReviewError
from serving.review.signing import make_key
from serving.store import StoreError


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def loomline(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_what_is_approved_is_published_with_its_record(desk: Desk) -> None:
    waits = desk.wait("a")
    assert desk.versions() == []
    assert waits.read()["champion_version"] is None
    digest = Model(desk.root / "a" / "model").digest()
    version, told = desk.review("a").approve("good", 7)
    assert told == "Ada approved text/a"
    assert desk.versions() == [version.version] == [1]
    assert Pending(version.path).digests()["saved_model"] == digest
    assert not waits.path.exists()
    assert desk.events() == ["candidate.approved", "version.published"]
    records = Records(desk.records("a"))
    assert records.pushed() == {"version": 1, "path": str(version.path), "model_digest": digest}
    assert read_json(records.summary_path)["outcome"] == "pushed"
    assert records.approval_path.read_bytes() == version.approval_path.read_bytes()


def test_a_second_approval_changes_nothing(desk: Desk) -> None:
    desk.wait("a")
    desk.review("a").approve("", 7)
    before = (desk.events(), desk.versions())
    version, told = desk.review("a").approve("again", 7)
    assert (version.version, told) == (1, "text/a was approved before")
    assert (desk.events(), desk.versions()) == before


def test_versions_follow_each_other(desk: Desk) -> None:
    for run in ("a", "b"):
        desk.wait(run)
        desk.review(run).approve("", 7)
    assert desk.versions() == [1, 2]


def test_a_killed_approval_is_finished_by_a_second_one(desk: Desk) -> None:
    waits = desk.wait("a")
    with contextlib.closing(desk.store()) as store:
        decide(
            store,
            read_candidate(waits.path),
            desk.key,
            desk.approvers,
            verdict="approved",
            comment="first",
        )
    waits.approval_path.unlink()
    desk.review("a").approve("second", 7)
    assert desk.versions() == [1]
    assert desk.events() == ["candidate.approved", "version.published"]


def test_a_push_whose_log_entry_is_missing_gets_it(desk: Desk) -> None:
    waits = desk.wait("a")
    with contextlib.closing(desk.store()) as store:
        candidate = read_candidate(waits.path)
        decide(store, candidate, desk.key, desk.approvers, verdict="approved", comment="")
    publish_approved(waits, desk.approvers)
    assert desk.events() == ["candidate.approved"]
    desk.review("a").approve("", 7)
    assert desk.events() == ["candidate.approved", "version.published"]


def test_a_rejected_model_stays_away_for_good(desk: Desk) -> None:
    waits = desk.wait("a")
    assert desk.review("a").reject("repeats itself") == "Ada rejected text/a"
    assert not waits.path.exists()
    assert desk.versions() == []
    assert Model(desk.root / "a" / "model").digest()
    assert read_json(Records(desk.records("a")).summary_path)["outcome"] == "rejected"
    assert desk.events() == ["candidate.rejected"]
    # The same run's model, brought back by another try of the step.
    shutil.rmtree(desk.root / "a")
    desk.wait("a")
    with pytest.raises(ReviewError, match=r"Ada rejected it .* \(repeats itself\)"):
        desk.review("a").approve("", 7)


def test_what_is_published_cannot_be_rejected(desk: Desk) -> None:
    desk.wait("a")
    desk.review("a").approve("", 7)
    with pytest.raises(ConfigError, match="published as version 1; roll it back"):
        desk.review("a").reject("too late")


def test_another_try_of_the_step_keeps_what_is_being_looked_at(desk: Desk) -> None:
    waits = desk.wait("a")
    before = waits.pending_path.read_bytes()
    (waits.provenance_folder / "serving_check.json").write_text("{}")
    folders = [desk.root / "a" / name for name in ("model", "decision", "evaluation", "drift")]
    model, decision, evaluation, drift = folders
    push(model, decision, evaluation, drift, desk.options(), {"run": "a", "other": 1})
    assert waits.pending_path.read_bytes() == before
    desk.review("a").approve("", 7)
    assert (Published(desk.models / "text" / "1").provenance_folder / "serving_check.json").exists()


def test_a_candidate_that_another_version_overtook_is_refused(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("b")
    desk.review("b").approve("", 7)
    with pytest.raises(ApprovalError, match=r"to follow no version.*version 1 is the newest"):
        desk.review("a").approve("", 7)
    assert desk.versions() == [1]


def test_an_approval_has_its_time(desk: Desk) -> None:
    waits = desk.wait("a")
    with contextlib.closing(desk.store()) as store:
        candidate = read_candidate(waits.path)
        decide(store, candidate, desk.key, desk.approvers, verdict="approved", comment="", days=2)
    now = datetime.now(UTC)
    with pytest.raises(ApprovalError, match="that has not expired"):
        publish_approved(waits, desk.approvers, now + timedelta(days=2))
    # A clock that jumped back.
    with pytest.raises(ApprovalError, match="a record of now or before"):
        publish_approved(waits, desk.approvers, now - timedelta(hours=1))
    assert publish_approved(waits, desk.approvers, now + timedelta(days=1)).version == 1


def test_without_a_record_nothing_is_published(desk: Desk) -> None:
    waits = desk.wait("a")
    with pytest.raises(ApprovalError, match="Received: none"):
        publish_approved(waits, desk.approvers)


def test_reports_that_changed_after_the_gate_are_refused(desk: Desk) -> None:
    folders = desk.artifacts("a")
    path = Evaluation(folders[2]).json_path
    path.write_text(path.read_text().replace("0.1", "0.01"))
    with pytest.raises(AlteredModelError, match=r"evaluation\.json that the gate decided by"):
        push(*folders, desk.options(), {"run": "a"})


@pytest.mark.parametrize("run", ["", "..", "a/b", ".hidden"])
def test_a_run_without_a_usable_name_cannot_wait(desk: Desk, run: str) -> None:
    with pytest.raises(ConfigError, match="to name the run"):
        push(*desk.artifacts("a"), desk.options(), {"run": run})


def test_a_manual_decision_needs_reviewers(desk: Desk) -> None:
    folders = desk.artifacts("a")
    options = desk.options().model_copy(update={"approvers": ""})
    with pytest.raises(ConfigError, match="leaves the last word to people"):
        push(*folders, options, {"run": "a"})
    desk.approvers.write_text('{"reviewers": []}')
    with pytest.raises(ConfigError, match="expected reviewers in"):
        push(*folders, desk.options(), {"run": "a"})
    assert desk.versions() == []


def test_a_database_that_is_away_leaves_the_model_waiting(desk: Desk) -> None:
    waits = desk.wait("a")
    url = "postgresql://me:hidden@127.0.0.1:1/db"
    with pytest.raises(StoreError, match=r"127\.0\.0\.1"):
        desk.review("a", url).approve("", 7)
    assert desk.versions() == []
    assert waits.path.exists()
    desk.review("a").approve("", 7)
    assert desk.versions() == [1]


def test_a_database_that_goes_away_after_the_push_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = desk.wait("a")
    with contextlib.closing(desk.store()) as store:
        candidate = read_candidate(waits.path)
        decide(store, candidate, desk.key, desk.approvers, verdict="approved", comment="")
    publish_approved(waits, desk.approvers)
    monkeypatch.setattr("serving.store.engine.CONNECT_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(desk.root / "out" / "store.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="version 1 is published, and the audit log lacks"):
            desk.review("a").approve("", 7)
    desk.review("a").approve("", 7)
    assert desk.events() == ["candidate.approved", "version.published"]


def verdict(desk: Desk, run: str, verdict: str) -> Pending:
    """Has a verdict given elsewhere, as the review page does."""
    waits = desk.wait(run)
    with contextlib.closing(desk.store()) as store:
        candidate = read_candidate(waits.path)
        decide(store, candidate, desk.key, desk.approvers, verdict=verdict, comment="")
    return waits


def test_what_was_decided_elsewhere_is_settled(desk: Desk) -> None:
    gone = verdict(desk, "a", "rejected")
    undecided = desk.wait("b")
    verdict(desk, "c", "approved")
    done = loomline("settle", desk.models)
    assert done.output.splitlines() == [
        "text/a was rejected, and is removed from the models",
        "text/c was approved, and is version 1",
    ]
    assert not gone.path.exists()
    assert undecided.path.exists()
    assert desk.versions() == [1]
    outcomes = [read_json(Records(desk.records(run)).summary_path)["outcome"] for run in "ac"]
    assert outcomes == ["rejected", "pushed"]
    assert loomline("settle", desk.models).output == "nothing was decided about\n"


def test_what_cannot_be_settled_says_why_and_goes_on_waiting(desk: Desk) -> None:
    waits = verdict(desk, "a", "approved")
    (waits.path / "extra").write_text("ops")
    done = loomline("settle", desk.models)
    assert done.output.startswith("text/a still waits: expected the saved_model that Ada approved")
    # So that a job that does it fails where somebody has to look.
    assert done.exit_code == 2
    waits.approval_path.write_bytes(b"\xff")
    assert "still waits: expected a verdict" in loomline("settle", desk.models).output
    assert waits.path.exists()


def test_serving_settles_by_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.stack._SETTLE_SECONDS", 0.05)
    with settling(desk.models, f"sqlite:///{desk.root / 'out' / 'store.sqlite'}"):
        verdict(desk, "a", "approved")
        deadline = time.monotonic() + 30
        while desk.events()[-1:] != ["version.published"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert desk.versions() == [1]


# --- The log ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cut off", "written anew"])
def test_a_log_without_its_end_shows_against_the_approvals(desk: Desk, kind: str) -> None:
    for run in ("a", "b"):
        desk.wait(run)
        desk.review(run).approve("", 7)
    store = desk.root / "out" / "store.sqlite"
    verify = ("audit", "verify", f"--store=sqlite:///{store}", f"--models={desk.models}")
    sound = loomline(*verify)
    assert sound.exit_code == 0, sound.output
    assert "4 entries, unbroken, and hold against 1 approvals" in sound.output
    with contextlib.closing(sqlite3.connect(store)) as thief:
        for name in ("update", "delete"):
            thief.execute(f"DROP TRIGGER audit_log_no_{name}")
        thief.execute(
            "DELETE FROM audit_log WHERE id > 1" if kind == "cut off" else "DELETE FROM audit_log"
        )
        thief.commit()
    if kind == "written anew":
        with contextlib.closing(desk.store()) as anew:
            for _ in range(4):
                anew.audit.append("candidate.approved", actor="Eve", subject="text/a")
    assert loomline(*verify[:3]).exit_code == 0
    done = loomline(*verify)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "the log was cut off or written anew" in done.stderr


# --- The commands -----------------------------------------------------------------------------


def test_the_commands_from_waiting_to_published(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMLINE_REVIEW_KEY", str(desk.key_path))
    desk.wait("a")
    listed = loomline("pending", desk.models).output
    assert "approved: all 3 rules pass" in listed
    done = loomline("approve", desk.records("a"), "-m", "fine")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Ada approved text/a\nversion 1 is at ")
    assert loomline("pending", desk.models).output == "nothing waits for approval\n"
    url = f"--store=sqlite:///{desk.root / 'out' / 'store.sqlite'}"
    assert "candidate.approved" in loomline("audit", "list", url).output
    desk.wait("b")
    done = loomline("reject", desk.models / "text" / ".pending" / "b", "-m", "worse")
    assert done.output == "Ada rejected text/b\n"


def test_a_run_is_found_by_its_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.wait("a")
    monkeypatch.chdir(desk.root)
    (desk.root / "runs").mkdir()
    (desk.root / "out").rename(desk.root / "runs" / "text")
    record = desk.root / "runs" / "text" / "records" / "a" / "pending.json"
    record.write_text(record.read_text().replace("/out/", "/runs/text/"))
    waits = Review.of("a", None, None, None).pending
    assert waits.path == desk.root / "runs" / "text" / "models" / "text" / ".pending" / "a"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["approve", "nothing"], "expected a run whose model waits"),
        (["approve", "{tmp}"], "expected a run whose model waits"),
        (["approve", "{tmp}/out/records/a", "--key={tmp}/none"], "a reviewer's private key"),
        (["approve", "{tmp}/out/records/a", "--key={tmp}/x.key"], "which is not listed"),
        (["approve", "{tmp}/out/records/a", "--store=nonsense"], "the store's URL as"),
        (["approve", "{tmp}/out/records/a", "--approvers={tmp}/no"], "which is not listed"),
        (["approve", "{tmp}/out/records/a", "--days=1e12"], "fewer days"),
        (["reject", "{tmp}/out/models/text/.pending/z"], "pending.json"),
    ],
)
def test_a_mistake_is_one_line(
    desk: Desk, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMLINE_REVIEW_KEY", str(desk.key_path))
    desk.wait("a")
    make_key(desk.root / "x.key")
    done = loomline(*(argument.format(tmp=desk.root) for argument in arguments))
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert desk.versions() == []
    assert read_candidate(desk.models / "text" / ".pending" / "a").run == "a"


@pytest.mark.parametrize("overrides", [["gate.approval=manual"], ["push.approvers=approvers.json"]])
def test_manual_approval_and_reviewers_go_together(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"gate\.approval: manual and push\.approvers"):
        load_config("text", overrides=overrides)


def test_missing_reviewers_are_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text.")
    overrides = [
        f"ingest.source={tmp_path / 'a.txt'}",
        *(f"ingest.{name}=" for name in ("reference_from", "reference_to", "current_from")),
        "gate.approval=manual",
        f"push.approvers={tmp_path / 'none.json'}",
    ]
    config = load_config("text", overrides=overrides)
    with pytest.raises(ConfigError, match="Make one with `loomline reviewers add NAME"):
        _arguments(config, Output(tmp_path / "runs"))

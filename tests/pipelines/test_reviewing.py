"""A model that waits for a person: nothing but that person's own record publishes it."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Model,
    Pending,
    Published,
    digest_files,
    published_versions,
    read_json,
)
from components.errors import (
    AlteredModelError,
    ApprovalError,
    ConfigError,
    LoomlineError,
    PublishError,
)
from components.push.approved import publish_approved
from components.push.options import PushOptions
from components.push.push import run as push
from components.summarize.records import Records, record_push
from pipelines.cli import main
from pipelines.config import load_config
from pipelines.local import _arguments
from pipelines.output import Output
from pipelines.reviewing import Review
from pipelines.stack import settling
from serving.review import reviewers
from serving.review.candidates import read_candidate
from serving.review.deciding import decide
from serving.review.errors import ReviewError
from serving.review.signing import load_key, make_key, public_bytes, sign
from serving.store import Store, StoreError, open_store
from serving.store.audit import checked


@dataclasses.dataclass
class Desk:
    """An output folder, a reviewer, and the models that wait for her."""

    root: Path

    def __post_init__(self) -> None:
        self.key_path = self.root / "ada.key"
        self.approvers = self.root / "approvers.json"
        if not self.key_path.exists():
            reviewers.add(self.approvers, "Ada", public_bytes(make_key(self.key_path)))
        self.key = load_key(self.key_path)
        (self.reviewer,) = reviewers.read(self.approvers)
        self.models = self.root / "out" / "models"

    def options(self) -> PushOptions:
        return PushOptions(
            model_name="text", base_path=str(self.models), approvers=str(self.approvers)
        )

    def records(self, run: str) -> Path:
        return self.root / "out" / "records" / run

    def artifacts(self, run: str) -> tuple[Path, Path, Path, Path]:
        model, decision, evaluation, drift = (
            self.root / run / name for name in ("model", "decision", "evaluation", "drift")
        )
        saved = Model(model).saved_model
        (saved / "variables").mkdir(parents=True)
        (saved / "saved_model.pb").write_bytes(f"graph of {run}".encode())
        (saved / "variables" / "variables.index").write_bytes(b"weights")
        digest = Model(model).digest()
        figures = {"copy_share": {"value": 0.1, "samples": 64}}
        about = {"figures": figures, "model_digest": digest, "eval_digest": "e"}
        Evaluation(evaluation).write(about, "<p>evaluation</p>")
        Drift(drift).write({"figures": {}}, "<p>drift</p>")
        versions = published_versions(self.models, "text")
        reports = (Evaluation(evaluation).json_path, Drift(drift).json_path)
        verdict = {
            "approved": True,
            "approval": "manual",
            "reason": "approved: all 3 rules pass",
            "model_digest": digest,
            "evidence": {path.name: digest_files(path) for path in reports},
            "champion_version": versions[-1].version if versions else None,
        }
        Decision(decision).write(verdict, "<p>decision</p>")
        return model, decision, evaluation, drift

    def wait(self, run: str) -> Pending:
        """Has a model of that run wait, as the push step does."""
        records = self.records(run)
        waiting = push(*self.artifacts(run), self.options(), {"run": run}, records)
        assert isinstance(waiting, Pending)
        record_push(records, waiting)
        return waiting

    def review(self, run: str, url: str | None = None) -> Review:
        return Review.of(str(self.records(run)), self.key_path, None, url)

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.root / 'out' / 'store.sqlite'}")

    def events(self) -> list[str]:
        with contextlib.closing(self.store()) as store:
            return [entry.read()["event"] for entry in checked(store.audit.entries())]

    def versions(self) -> list[int]:
        return [version.version for version in published_versions(self.models, "text")]


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


# --- Tampering --------------------------------------------------------------------------------


def _edit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(content))


def _change_model(waits: Pending, desk: Desk, chance: random.Random) -> None:
    files = sorted(path for path in waits.path.rglob("*") if path.is_file())
    _edit(chance.choice([path for path in files if "loomline" not in path.parts]), chance)


def _add_to_model(waits: Pending, desk: Desk, chance: random.Random) -> None:
    (waits.path / f"extra-{chance.randrange(9)}").write_bytes(b"ops")


def _remove_from_model(waits: Pending, desk: Desk, chance: random.Random) -> None:
    (waits.path / "variables" / "variables.index").unlink()


def _change_evidence(waits: Pending, desk: Desk, chance: random.Random) -> None:
    aside = (waits.pending_path, waits.approval_path)
    files = [path for path in sorted(waits.provenance_folder.iterdir()) if path not in aside]
    _edit(chance.choice(files), chance)


def _add_evidence(waits: Pending, desk: Desk, chance: random.Random) -> None:
    (waits.provenance_folder / f"note-{chance.randrange(9)}.json").write_text("{}")


def _remove_evidence(waits: Pending, desk: Desk, chance: random.Random) -> None:
    chance.choice([waits.provenance_path, Drift(waits.provenance_folder).json_path]).unlink()


def _change_record(waits: Pending, desk: Desk, chance: random.Random) -> None:
    """One letter of the payload or of the signature."""
    envelope = json.loads(waits.approval_path.read_text())
    signature = envelope["signatures"][0]
    holder, name = chance.choice([(envelope, "payload"), (signature, "sig")])
    raw = bytearray(base64.b64decode(holder[name]))
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    holder[name] = base64.b64encode(raw).decode()
    waits.approval_path.write_text(json.dumps(envelope))


def _reword(waits: Pending, chance: random.Random, **changed: Any) -> dict[str, Any]:
    envelope = json.loads(waits.approval_path.read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"] |= changed
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    waits.approval_path.write_text(json.dumps(envelope))
    predicate: dict[str, Any] = statement["predicate"]
    return predicate


def _extend(waits: Pending, desk: Desk, chance: random.Random) -> None:
    _reword(waits, chance, expires=f"2{chance.randrange(100, 999)}-01-01T00:00:00+00:00")


def _sign_as_stranger(waits: Pending, desk: Desk, chance: random.Random) -> None:
    stranger = make_key(desk.root / "stranger.key")
    waits.approval_path.write_text(sign(stranger, waits.digests(), _reword(waits, chance)))


def _sign_in_her_name(waits: Pending, desk: Desk, chance: random.Random) -> None:
    _sign_as_stranger(waits, desk, chance)
    envelope = json.loads(waits.approval_path.read_text())
    envelope["signatures"][0]["keyid"] = desk.reviewer.key_id
    waits.approval_path.write_text(json.dumps(envelope))


def _revoke(waits: Pending, desk: Desk, chance: random.Random) -> None:
    reviewers.revoke(desk.approvers, desk.reviewer.key_id)


def _expire_key(waits: Pending, desk: Desk, chance: random.Random) -> None:
    content = json.loads(desk.approvers.read_text())
    content["reviewers"][0]["expires"] = "2026-01-01T00:00:00+00:00"
    desk.approvers.write_text(json.dumps(content))


def _replay_of_another(waits: Pending, desk: Desk, chance: random.Random) -> None:
    """The record that published the version before."""
    newest = published_versions(desk.models, "text")[-1]
    shutil.copyfile(newest.approval_path, waits.approval_path)


def _replay_the_model(waits: Pending, desk: Desk, chance: random.Random) -> None:
    """A published version with its record, put where the candidate waits."""
    newest = published_versions(desk.models, "text")[-1]
    shutil.rmtree(waits.path)
    shutil.copytree(newest.path, waits.path)


def _sign_refusal(waits: Pending, desk: Desk, chance: random.Random) -> None:
    predicate = _reword(waits, chance, verdict="rejected")
    waits.approval_path.write_text(sign(desk.key, waits.digests(), predicate))


def _sign_for_another_place(waits: Pending, desk: Desk, chance: random.Random) -> None:
    name, value = chance.choice([("run", "z"), ("model_name", "image"), ("champion_version", 7)])
    predicate = _reword(waits, chance, **{name: value})
    waits.approval_path.write_text(sign(desk.key, waits.digests(), predicate))


def _used_nonce(waits: Pending, desk: Desk, chance: random.Random) -> None:
    newest = published_versions(desk.models, "text")[-1]
    payload = json.loads(newest.approval_path.read_text())["payload"]
    nonce = json.loads(base64.b64decode(payload))["predicate"]["nonce"]
    predicate = _reword(waits, chance, nonce=nonce)
    waits.approval_path.write_text(sign(desk.key, waits.digests(), predicate))


def _garbage(waits: Pending, desk: Desk, chance: random.Random) -> None:
    junk: list[object] = [[], {}, 7, None, {"signatures": []}, "x", {"payloadType": 1}]
    text = json.dumps(chance.choice(junk))
    waits.approval_path.write_text(chance.choice([text, text[:-1], "\0" * 40, "[" * 5000]))


def _two_signatures(waits: Pending, desk: Desk, chance: random.Random) -> None:
    envelope = json.loads(waits.approval_path.read_text())
    envelope["signatures"] *= 2
    waits.approval_path.write_text(json.dumps(envelope))


def _lighten(waits: Pending, desk: Desk, chance: random.Random) -> None:
    """Her own signature over less than everything."""
    digests = waits.digests()
    del digests[chance.choice(sorted(digests))]
    waits.approval_path.write_text(sign(desk.key, digests, _reword(waits, chance)))


def _change_pending(waits: Pending, desk: Desk, chance: random.Random) -> None:
    content = waits.read()
    name, value = chance.choice([("run", "z"), ("model_name", "z"), ("champion_version", 9)])
    waits.pending_path.write_text(json.dumps({**content, name: value}))


ATTEMPTS: list[Callable[[Pending, Desk, random.Random], None]] = [
    _change_model,
    _add_to_model,
    _remove_from_model,
    _change_evidence,
    _add_evidence,
    _remove_evidence,
    _change_record,
    _extend,
    _sign_as_stranger,
    _sign_in_her_name,
    _revoke,
    _expire_key,
    _replay_of_another,
    _replay_the_model,
    _sign_refusal,
    _sign_for_another_place,
    _used_nonce,
    _garbage,
    _two_signatures,
    _lighten,
    _change_pending,
]


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk with a published version, and an approved candidate that is not published yet."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.wait("a")
    desk.review("a").approve("", 7)
    waits = desk.wait("b")
    with contextlib.closing(desk.store()) as store:
        candidate = read_candidate(waits.path)
        decide(store, candidate, desk.key, desk.approvers, verdict="approved", comment="")
    return desk.root


@pytest.fixture
def copied(approved: Path, tmp_path: Path) -> Desk:
    shutil.copytree(approved, tmp_path / "desk")
    return Desk(tmp_path / "desk")


@pytest.mark.parametrize("seed", range(100))
def test_tampering_is_refused(copied: Desk, seed: int) -> None:
    desk = copied
    waits = Pending(desk.models / "text" / ".pending" / "b")
    ATTEMPTS[seed % len(ATTEMPTS)](waits, desk, random.Random(seed))
    before = {path: path.read_bytes() for path in waits.path.rglob("*") if path.is_file()}
    with pytest.raises(LoomlineError) as raised:
        publish_approved(waits, desk.approvers)
    assert not isinstance(raised.value, PublishError)
    assert "expected" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert desk.versions() == [1]
    assert {path: path.read_bytes() for path in before} == before


def test_untampered_it_is_published(copied: Desk) -> None:
    """What the test before changes is all that stands in the way."""
    waits = Pending(copied.models / "text" / ".pending" / "b")
    assert publish_approved(waits, copied.approvers).version == 2


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

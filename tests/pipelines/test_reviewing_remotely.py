"""A model that goes to an object store waits on a folder, and a person's record takes it there."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.approval_desk import Desk
from components.artifacts import Pending, read_json
from components.errors import AlteredModelError, ApprovalError, ConfigError, PublishError
from components.push import approved
from components.push.approved import publish_approved
from components.push.options import PushOptions
from components.push.push import run as push
from components.summarize.records import Records
from pipelines.cli import main
from pipelines.reviewing import settle_all
from serving import storage
from serving.review.candidates import read_candidate
from serving.review.deciding import decide
from serving.storage import StorageError


@pytest.fixture
def desk(remote: str, tmp_path: Path) -> Desk:
    return Desk(tmp_path, f"{remote}/models")


def decided(desk: Desk, waits: Pending, verdict: str = "approved") -> None:
    """As the review page does: the verdict lies beside the model, and nothing is published."""
    with contextlib.closing(desk.store()) as store:
        candidate = read_candidate(waits.path)
        decide(store, candidate, desk.key, desk.approvers, verdict=verdict, comment="")


def test_what_is_approved_is_published_to_the_store_with_its_record(desk: Desk) -> None:
    waits = desk.wait("a")
    assert waits.path.is_relative_to(desk.models)
    assert desk.versions() == []
    done = CliRunner().invoke(
        main, ["approve", str(desk.records("a")), f"--key={desk.key_path}", "-m", "good"]
    )
    assert done.exit_code == 0, done.output
    location = f"{desk.store_of_models}/text/1"
    assert f"version 1 is at {location}" in done.output
    assert desk.versions() == [1]
    assert not waits.path.exists()
    storage.download_version(location, desk.root / "fetched")
    assert Pending(desk.root / "fetched").approval_path.is_file()
    assert desk.events() == ["candidate.approved", "version.published"]
    records = Records(desk.records("a"))
    assert (records.pushed() or {})["path"] == location
    assert read_json(records.summary_path)["outcome"] == "pushed"

    # A second approval changes nothing; the next model follows.
    version, told = desk.review("a").approve("again", 7)
    assert (version.location, told) == (location, "text/a was approved before")
    desk.wait("b")
    assert desk.review("b").approve("", 7)[0].location == f"{desk.store_of_models}/text/2"


def test_verdicts_of_the_review_page_are_settled(desk: Desk) -> None:
    decided(desk, desk.wait("a"))
    decided(desk, desk.wait("b"), "rejected")
    told = list(settle_all(desk.models, desk.approvers, None))
    assert told == [
        ("text/a was approved, and is version 1", True),
        ("text/b was rejected, and is removed from the models", True),
    ]
    assert desk.versions() == [1]
    assert list((desk.models / "text" / ".pending").iterdir()) == []
    with pytest.raises(ConfigError, match="published as version 1; roll it back"):
        desk.review("a").reject("too late")


def test_a_record_holds_for_the_store_that_was_approved_and_no_other(
    desk: Desk, remote: str
) -> None:
    waits = desk.wait("a")
    decided(desk, waits)
    content = read_json(waits.provenance_path)
    assert content["base_path"] == desk.store_of_models
    waits.provenance_path.write_text(json.dumps({**content, "base_path": f"{remote}/theirs"}))
    with pytest.raises(ApprovalError, match=r"expected the provenance.json that Ada approved"):
        publish_approved(waits, desk.approvers)
    assert storage.list_versions(f"{remote}/theirs/text") == {}
    assert desk.versions() == []


def test_a_candidate_that_another_version_overtook_is_refused(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("b")
    desk.review("b").approve("", 7)
    with pytest.raises(ApprovalError, match=r"to follow no version.*version 1 is the newest"):
        desk.review("a").approve("", 7)
    assert desk.versions() == [1]


def test_an_approval_is_used_once(desk: Desk) -> None:
    waits = desk.wait("a")
    decided(desk, waits)
    kept = desk.root / "kept"
    shutil.copytree(waits.path, kept)
    publish_approved(waits, desk.approvers)
    # The same files and the same record once more: the version that there is, and no second one.
    shutil.copytree(kept, waits.path)
    assert publish_approved(waits, desk.approvers).version == 1
    assert desk.versions() == [1]
    # Under another name, it is a record about another run.
    other = waits.path.with_name("b")
    shutil.copytree(kept, other)
    with pytest.raises(ApprovalError, match="whose run is 'b'"):
        publish_approved(Pending(other), desk.approvers)


def test_one_that_was_killed_after_publishing_is_finished_by_a_second_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = desk.wait("a")

    def killed(_: Pending) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(approved, "forget", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.review("a").approve("", 7)
    assert desk.versions() == [1]
    assert waits.path.is_dir()
    desk.review("a").approve("", 7)
    assert desk.versions() == [1]
    assert not waits.path.exists()
    assert desk.events() == ["candidate.approved", "version.published"]


def test_a_store_that_refuses_leaves_the_model_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = desk.wait("a")

    def refuse(*_: object) -> str:
        raise StorageError("no permission for gs://somewhere: 403")

    with monkeypatch.context() as patched:
        patched.setattr("components.push.remote.publish", refuse)
        with pytest.raises(PublishError, match=r"no permission .*; the model still waits at") as e:
            desk.review("a").approve("", 7)
    assert "\n" not in str(e.value)
    assert waits.path.is_dir()
    assert desk.review("a").approve("", 7)[0].version == 1


def test_without_a_folder_to_wait_in_it_is_one_line(desk: Desk) -> None:
    options = PushOptions(base_path=desk.store_of_models, approvers=str(desk.approvers))
    with pytest.raises(ConfigError, match=r"push\.waiting to be a folder that reviewers see") as e:
        push(*desk.artifacts("a"), options, {"run": "a"})
    assert "\n" not in str(e.value)


def test_a_model_that_was_changed_while_it_waited_is_refused(desk: Desk) -> None:
    waits = desk.wait("a")
    decided(desk, waits)
    (waits.path / "saved_model.pb").write_bytes(b"another graph")
    with pytest.raises((ApprovalError, AlteredModelError), match="changed since"):
        publish_approved(waits, desk.approvers)
    assert desk.versions() == []

"""Keys and the file of reviewers: made, listed, revoked, and refused in one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from serving.review import reviewers as listed
from serving.review.commands import reviewers
from serving.review.errors import ReviewError
from serving.review.signing import key_id_of, load_key, make_key, public_bytes


def call(*arguments: str) -> Result:
    return CliRunner().invoke(reviewers, list(arguments))


def test_a_reviewer_from_first_to_last_day(tmp_path: Path) -> None:
    file, key = tmp_path / "approvers.json", tmp_path / "deep" / "ada.key"
    given = [f"--approvers={file}", f"--key={key}"]
    added = call("add", "Ada", *given, "--days=2")
    assert added.exit_code == 0, added.output
    assert oct(key.stat().st_mode & 0o777) == "0o600"
    (ada,) = listed.read(file)
    assert ada.key_id == key_id_of(public_bytes(load_key(key)))
    assert ada.key_id in call("list", f"--approvers={file}").output
    now = datetime.now(UTC)
    assert ada.state(now) == "good"
    assert ada.state(now + timedelta(days=2, seconds=2)).startswith("expired")
    assert call("revoke", ada.key_id, f"--approvers={file}").exit_code == 0
    first = listed.read(file)[0].revoked
    assert first is not None
    assert call("revoke", ada.key_id, f"--approvers={file}").exit_code == 0
    assert listed.read(file)[0].revoked == first
    assert "revoked" in call("list", f"--approvers={file}").output


def test_the_key_there_is_can_be_listed_in_another_file(tmp_path: Path) -> None:
    key = tmp_path / "ada.key"
    for name in ("one.json", "two.json"):
        done = call("add", "Ada", f"--approvers={tmp_path / name}", f"--key={key}")
        assert done.exit_code == 0
    assert (
        listed.read(tmp_path / "one.json")[0].key_id == listed.read(tmp_path / "two.json")[0].key_id
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "Bob", "--approvers={tmp}/a.json", "--key={tmp}/ada.key"], "not listed yet"),
        (["add", "Bob", "--approvers={tmp}/bad.json", "--key={tmp}/new.key"], "another form"),
        (["add", "Bob", "--approvers={tmp}/a.json", "--key={tmp}/bad.json"], "Ed25519 private"),
        (["add", "Bob", "--approvers={tmp}/a.json", "--key={tmp}/p256.key"], "Ed25519 private"),
        (["add", "Bob", "--approvers={tmp}/a.json", "--key={tmp}/open.key"], "chmod 600"),
        (["add", "Bob", "--approvers={tmp}/a.json", "--key={tmp}/b", "--days=1e12"], "fewer days"),
        (["add", "Bob", "--approvers={tmp}/a.json", "--key=/proc/no/key"], "to write a new key"),
        (["revoke", "nobody", "--approvers={tmp}/a.json"], "reviewers list"),
        (["list", "--approvers={tmp}/bad.json"], "expected a file of reviewers"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    call("add", "Ada", f"--approvers={tmp_path}/a.json", f"--key={tmp_path}/ada.key")
    (tmp_path / "bad.json").write_text(json.dumps({"reviewers": [{"name": "?"}]}))
    (tmp_path / "bad.json").chmod(0o600)
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "p256.key").write_bytes(other)
    make_key(tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = call(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(ReviewError, match="to write a new key"):
        make_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before

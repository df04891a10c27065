"""What waits for a person, as the push step leaves it, and people with keys."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serving.review import reviewers
from serving.review.candidates import Candidate, read_candidate
from serving.review.signing import make_key, public_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclasses.dataclass(frozen=True)
class Person:
    name: str
    key: Ed25519PrivateKey
    key_path: Path


@pytest.fixture
def approvers(tmp_path: Path) -> Path:
    return tmp_path / "approvers.json"


@pytest.fixture
def person(tmp_path: Path, approvers: Path) -> Callable[[str], Person]:
    """Lists a reviewer of that name."""

    def person(name: str) -> Person:
        path = tmp_path / f"{name}.key"
        key = make_key(path)
        reviewers.add(approvers, name, public_bytes(key))
        return Person(name, key, path)

    return person


@pytest.fixture
def candidate(tmp_path: Path, approvers: Path) -> Callable[..., Candidate]:
    """A candidate of that run."""

    def candidate(run: str = "20261123-120000") -> Candidate:
        path = tmp_path / "models" / "text" / ".pending" / run
        (path / "loomline").mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(run.encode())
        decision = {"approved": True, "reason": "approved: all 3 rules pass"}
        (path / "loomline" / "decision.json").write_text(json.dumps(decision))
        (path / "loomline" / "evaluation.json").write_text("{}")
        digests = {
            one.name: hashlib.sha256(one.read_bytes()).hexdigest()
            for one in (path / "loomline").iterdir()
        }
        content = {
            "run": run,
            "model_name": "text",
            "champion_version": None,
            "digests": {"saved_model": "5" * 64, **digests},
            "records": "",
            "approvers": str(approvers),
            "created": "2026-11-23T12:00:00+00:00",
        }
        (path / "loomline" / "pending.json").write_text(json.dumps(content))
        return read_candidate(path)

    return candidate

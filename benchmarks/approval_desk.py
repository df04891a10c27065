"""An output folder with models that wait for a person's word, and a reviewer who can give it."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Model,
    Pending,
    digest_files,
)
from components.push.options import PushOptions
from components.push.push import run as push
from components.push.remote import versions_of
from components.summarize.records import record_push
from pipelines.reviewing import Review
from serving.review import reviewers
from serving.review.signing import load_key, make_key, public_bytes
from serving.store import Store, open_store
from serving.store.audit import checked


@dataclasses.dataclass
class Desk:
    """An output folder, a reviewer, and the models that wait for her.

    Attributes:
        root: the folder.
        store_of_models: object store that they are published to; empty for the output folder.
    """

    root: Path
    store_of_models: str = ""

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
            model_name="text",
            base_path=self.store_of_models or str(self.models),
            approvers=str(self.approvers),
            waiting=str(self.models),
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
        versions = self.versions()
        reports = (Evaluation(evaluation).json_path, Drift(drift).json_path)
        verdict = {
            "approved": True,
            "approval": "manual",
            "reason": "approved: all 3 rules pass",
            "model_digest": digest,
            "evidence": {path.name: digest_files(path) for path in reports},
            "champion_version": versions[-1] if versions else None,
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
        return sorted(versions_of(self.store_of_models or self.models, "text"))

"""A tiny real model with the evidence that a push needs."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Decision, Drift, Evaluation, Figure, Model, Published
from components.push.options import PushOptions
from components.push.push import run


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What the steps before the push leave behind, in one folder."""

    root: Path

    @property
    def folders(self) -> tuple[Path, Path, Path, Path]:
        names = ("model", "decision", "evaluation", "drift")
        model, decision, evaluation, drift = (self.root / name for name in names)
        return model, decision, evaluation, drift

    def push(self, base: Path, **provenance: object) -> Published:
        return self.push_to(str(base), **provenance)

    def push_to(self, base: str, **provenance: object) -> Published:
        options = PushOptions(model_name="text", base_path=base)
        return run(*self.folders, options, dict(provenance))


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with one signature that adds its variable to its input."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    class Adder(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.amount = tf.Variable(tf.fill([1000], 2.0))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[misc]
        def add(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x + self.amount[0]}

    path = tmp_path_factory.mktemp("exported") / "saved_model"
    module = Adder()
    tf.saved_model.save(module, str(path), signatures=module.add)
    return path


@pytest.fixture
def candidate(tmp_path: Path, saved_model: Path) -> Callable[..., Candidate]:
    """Makes candidates; another `name` is another model with another digest."""

    def make(name: str = "a", approved: bool = True, reason: str = "approved") -> Candidate:
        made = Candidate(tmp_path / f"candidate-{name}")
        model, decision, evaluation, drift = made.folders
        shutil.copytree(saved_model, Model(model).saved_model)
        extra = Model(model).saved_model / "assets.extra"
        extra.mkdir()
        (extra / "name.txt").write_text(name)
        digest = Model(model).digest()
        figures = {"bits_per_byte": dataclasses.asdict(Figure(1.9, 1.85, 1.95, 120))}
        judged = {"figures": figures, "model_digest": digest, "eval_digest": "e" * 64}
        Evaluation(evaluation).write(judged, "<p>evaluation</p>")
        scores = {"example_id": ["x"], "nll": [1.0], "num_tokens": [2], "num_bytes": [3]}
        pq.write_table(pa.table(scores), Evaluation(evaluation).scores_path)
        moved = {"data.drift_share": dataclasses.asdict(Figure(0.5, samples=100))}
        Drift(drift).write({"figures": moved}, "<p>drift</p>")
        verdict = {"approved": approved, "reason": reason, "model_digest": digest}
        Decision(decision).write({**verdict, "champion_version": None}, "<p>decision</p>")
        return made

    return make

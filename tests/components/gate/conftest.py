"""A tiny real model with measured figures, and a way to judge it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Figure,
    Model,
    Published,
    ValidationReport,
    saved_model_digest,
)
from components.gate.gate import run
from components.gate.options import GateOptions

Figures = Mapping[str, Figure]


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    module = tf.Module()
    module.amount = tf.Variable(2.0)
    path = tmp_path_factory.mktemp("exported") / "saved_model"
    tf.saved_model.save(module, str(path))
    return path


def write_evaluation(
    path: Path, model_digest: str, figures: Figures, scores: Sequence[float], **keys: Any
) -> None:
    """Writes an evaluation whose texts have 99 bytes each and these nlls (nats)."""
    content = {
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        "model_digest": model_digest,
        "eval_digest": "texts",
        "champion": None,
    }
    Evaluation(path).write({**content, **keys}, "<p>evaluation</p>")
    count = len(scores)
    columns = {
        "example_id": [f"{place:04d}" for place in range(count)],
        "document_id": [f"document {place % 20}" for place in range(count)],
        "nll": list(scores),
        "num_tokens": [30] * count,
        "num_bytes": [99] * count,
    }
    pq.write_table(pa.table(columns), Evaluation(path).scores_path)


@dataclasses.dataclass(frozen=True)
class Bench:
    """Judges one model by any rules and figures."""

    root: Path

    @property
    def decision(self) -> dict[str, Any]:
        return Decision(self.root / "decision").read()

    @property
    def html(self) -> str:
        return Decision(self.root / "decision").html_path.read_text("utf-8")

    def judge(
        self,
        rules: Sequence[Mapping[str, Any]],
        figures: Figures,
        drift: Figures | None = None,
        champion: Path | None = None,
        scores: Sequence[float] = (100.0, 120.0),
        champion_measured: Mapping[str, Any] | None = None,
        validation: Figures | None = None,
        **keys: Any,
    ) -> bool:
        digest = Model(self.root / "model").digest()
        keys = {"model_digest": digest, "champion": champion_measured, **keys}
        write_evaluation(
            self.root / "evaluation", keys.pop("model_digest"), figures, scores, **keys
        )
        moved = {name: dataclasses.asdict(figure) for name, figure in (drift or {}).items()}
        Drift(self.root / "drift").write({"figures": moved}, "<p>drift</p>")
        options = GateOptions.model_validate({"rules": list(rules)})
        folders = [self.root / name for name in ("model", "evaluation", "drift")]
        checked = None
        if validation is not None:
            checked = self.root / "validation"
            found = {name: dataclasses.asdict(figure) for name, figure in validation.items()}
            ValidationReport(checked).write({"figures": found}, "<p>validation</p>")
        return run(*folders, options, champion, self.root / "decision", checked)

    def champion(self, figures: Figures, scores: Sequence[float] = (), **keys: Any) -> Path:
        """A published version 3 with its recorded evaluation."""
        version = Published(self.root / "models" / "text" / "3")
        version.path.mkdir(parents=True, exist_ok=True)
        (version.path / "saved_model.pb").write_bytes(b"the model now served")
        digest = saved_model_digest(version.path)
        write_evaluation(version.provenance_folder, digest, figures, scores, **keys)
        return version.path


@pytest.fixture
def bench(tmp_path: Path, saved_model: Path) -> Callable[[], Bench]:
    shutil.copytree(saved_model, Model(tmp_path / "model").saved_model)
    return lambda: Bench(tmp_path)

"""Scores of the version now served, on the texts that the new model is judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.artifacts import Evaluation, Figure, Published, saved_model_digest
from components.errors import DataError


@dataclasses.dataclass(frozen=True)
class Champion:
    """The version now served.

    Attributes:
        version: its number.
        model_digest: of its SavedModel.
        nll: float64 [texts], nats of each held-out text.
        num_tokens: int64 [texts].
        figures: those it was published with, where they are of the same texts.
    """

    version: int
    model_digest: str
    nll: npt.NDArray[np.float64]
    num_tokens: npt.NDArray[np.int64]
    figures: dict[str, Figure]


def judge(
    path: Path, eval_digest: str, example_ids: Sequence[str], texts: Sequence[str]
) -> Champion:
    """Takes the champion's recorded scores if they are of these texts, and scores it if not.

    Args:
        path: folder of the published version.
        eval_digest: identifies the held-out texts.
        example_ids, texts: the held-out texts.

    Raises:
        ModelError: it is not a readable SavedModel.
    """
    digest = saved_model_digest(path)
    published = Published(path)
    version = published.version if path.name.isdecimal() else 0
    recorded = _recorded(published.evaluation(), digest, eval_digest, example_ids)
    if recorded is not None:
        return Champion(version, digest, *recorded)
    from components.evaluate.served_model import ServedModel

    scores = ServedModel(path).score(texts, name="score the champion on")
    return Champion(version, digest, scores.nll, scores.num_tokens, {})


def _recorded(
    evaluation: Evaluation, model_digest: str, eval_digest: str, example_ids: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], dict[str, Figure]] | None:
    try:
        content: dict[str, Any] = evaluation.read()
    except DataError:
        return None
    expected = {"model_digest": model_digest, "eval_digest": eval_digest}
    if {key: content.get(key) for key in expected} != expected:
        return None
    if not evaluation.scores_path.is_file():
        return None
    import pyarrow.parquet as pq

    table = pq.read_table(evaluation.scores_path, columns=["example_id", "nll", "num_tokens"])
    rows = {name: row for row, name in enumerate(table.column("example_id").to_pylist())}
    if any(name not in rows for name in example_ids):
        return None
    order = np.array([rows[name] for name in example_ids])
    nll = table.column("nll").to_numpy().astype(np.float64)[order]
    num_tokens = table.column("num_tokens").to_numpy().astype(np.int64)[order]
    return nll, num_tokens, evaluation.figures()

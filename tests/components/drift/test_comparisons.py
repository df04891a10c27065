"""Requests of users and the training data of the version now served are compared apart."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.artifacts import Drift, Published
from components.drift.drift import run
from components.drift.options import DriftOptions
from components.drift.reference import read_reference
from components.errors import DataError

Paragraphs = Callable[[int, int], list[tuple[str, str, int]]]
Write = Callable[..., Path]


def served(drift: Path, root: Path) -> Path:
    """A published version that holds what the drift step left."""
    version = Published(root / "models" / "text" / "3")
    version.provenance_folder.mkdir(parents=True)
    version.reference_path.write_bytes(Drift(drift).reference_path.read_bytes())
    return version.path


def ask(path: Path, prompts: list[str]) -> str:
    records = [
        {"created": f"2026-11-{1 + place % 20:02d}T09:00:00Z", "inputs": {"prompt": prompt}}
        for place, prompt in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.mark.slow
def test_prompts_and_training_text_that_moved_are_told_apart(
    paragraphs: Paragraphs, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    training = paragraphs(1900, 1959)
    real = [text for _, text, _ in random.Random(0).sample(training, 64)]
    asked = ask(tmp_path / "asked.jsonl", [f"wat abt crypto {n} lol" for n in range(150)])
    options = DriftOptions(max_rows=800, prompts=asked)
    examples, samples = write_examples({"train": training}), write_samples(real)

    figures = run(examples, samples, options, tmp_path / "first")
    assert {name.partition(".")[0] for name in figures} == {"prompt", "output"}
    assert figures["prompt.drift_share"].value > 0.3
    assert figures["prompt.domain_auc"].value > 0.9
    content = Drift(tmp_path / "first").read()
    assert content["comparisons"]["prompt"]["since"] == "2026-11-01"
    assert "Users' prompts differ from openings of training texts" in content["headline"]
    page = Drift(tmp_path / "first").html_path.read_text("utf-8")
    assert "Users&#39; prompts against openings of training texts" in page
    # What users wrote is not carried about.
    assert "crypto" not in page
    kept = Drift(tmp_path / "first").reference_path
    assert training[0][1][:30].encode() not in kept.read_bytes()
    assert training[0][0] not in str(pq.read_table(kept).to_pydict())

    version = served(tmp_path / "first", tmp_path)
    alone = DriftOptions(max_rows=800)
    same = run(examples, samples, alone, tmp_path / "same", champion=version)
    assert same["reference.columns_drifted"].value == 0
    told = Drift(tmp_path / "same").read()["headline"]
    assert "The training text is like that of version 3" in told

    (tmp_path / "later").mkdir()
    examples.rename(tmp_path / "later" / "examples")
    modern = write_examples({"train": paragraphs(1980, 2026)})
    moved = run(modern, samples, alone, tmp_path / "moved", champion=version)
    assert moved["reference.drift_share"].value > 0
    assert moved["reference.domain_auc"].value > 0.8
    # Words unseen in a run's own training text say nothing of another's.
    assert "reference.score.unknown_words" not in moved
    content = Drift(tmp_path / "moved").read()
    assert content["comparisons"]["reference"]["chance_over"] == "documents"
    assert "The training text differs from that of version 3" in content["headline"]
    assert any("is not that of the version now served" in line for line in content["suggestions"])


def test_a_version_without_a_reference_is_told_and_not_compared(
    write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    rows = [(f"doc {place}", f"Some words {place} of text.", 1950) for place in range(30)]
    version = Published(tmp_path / "2")
    version.provenance_folder.mkdir(parents=True)
    options = DriftOptions(keep_reference=False)
    folders: list[Any] = [write_examples({"train": rows}), write_samples(["Some words."] * 8)]
    figures = run(*folders, options, tmp_path / "drift", champion=version.path)
    assert not any(name.startswith("reference.") for name in figures)
    assert not Drift(tmp_path / "drift").reference_path.exists()
    page = Drift(tmp_path / "drift").html_path.read_text("utf-8")
    assert "Version 2 left no measures of its training data." in page

    version.reference_path.write_text("torn")
    with pytest.raises(DataError, match="expected the reference of version 2 at") as caught:
        run(*folders, options, tmp_path / "drift", champion=version.path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError):
        read_reference(tmp_path / "nowhere.parquet", "version 2")


def test_requests_without_prompts_are_one_line(
    write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    rows = [(f"doc {place}", f"Some words {place} of text.", 1950) for place in range(30)]
    (tmp_path / "asked.csv").write_text("label\nSandal\n")
    options = DriftOptions(prompts=str(tmp_path / "asked.csv"))
    folders: list[Any] = [write_examples({"train": rows}), write_samples(["Some words."] * 8)]
    with pytest.raises(DataError, match=r"requests with a prompt.*whose inputs are label"):
        run(*folders, options, tmp_path / "drift")

"""Planted and real shifts are found, and shift-free text raises few alarms."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Drift
from components.drift.detection import compare
from components.drift.drift import run
from components.drift.options import DriftOptions
from components.drift.texts import Text, Vocabulary
from components.errors import ConfigError, DataError

Paragraphs = Callable[[int, int], list[tuple[str, str, int]]]
Write = Callable[..., Path]
ROOT = Path(__file__).parents[3]
QUICK = DriftOptions(max_rows=1500)


def _garbled(texts: list[str]) -> list[str]:
    return [" ".join(word[::-1] for word in text.split()) for text in texts]


def test_the_eras_of_the_corpus_have_truly_drifted(
    paragraphs: Paragraphs, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    training = paragraphs(1900, 1959)
    examples = write_examples({"train": training, "current": paragraphs(1980, 2026)})
    real = [text for _, text, _ in random.Random(0).sample(training, 64)]
    figures = run(examples, write_samples(real), QUICK, tmp_path / "drift")

    assert figures["data.columns_drifted"].value >= 3
    assert figures["data.drift_share"].value == figures["data.columns_drifted"].value / 11
    assert figures["data.drift_share"].samples == 1500
    assert figures["output.drift_share"].samples == 64
    # The samples are training text themselves.
    assert figures["output.columns_drifted"].value == 0

    content = Drift(tmp_path / "drift").read()
    moved = {
        column["descriptor"]: column
        for column in content["comparisons"]["data"]["columns"]
        if column["drifted"]
    }
    assert moved["words_per_sentence"]["current_mean"] < 20
    assert moved["words_per_sentence"]["reference_mean"] > 24
    assert "since 1980-01-05" in content["headline"]
    assert content["comparisons"]["data"]["since"] == "1980-01-05"
    assert content["comparisons"]["data"]["chance_over"] == "documents"
    assert Drift(tmp_path / "drift").figures() == figures

    html = Drift(tmp_path / "drift").html_path.read_text("utf-8")
    places = [html.index(text) for text in ("since 1980-01-05", "What it suggests", "<table")]
    assert places == sorted(places)
    assert "ingest.reference_to" in html
    details = tmp_path / "drift" / "drift_details.html"
    assert "Wasserstein" in details.read_text("utf-8")
    assert "<script src" not in details.read_text("utf-8")


def test_without_a_current_era_only_the_output_is_compared(
    paragraphs: Paragraphs, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    training = paragraphs(1940, 1959)
    real = [text for _, text, _ in random.Random(0).sample(training, 64)]
    examples = write_examples({"train": training})
    figures = run(examples, write_samples(_garbled(real)), QUICK, tmp_path / "drift")
    assert {name.partition(".")[0] for name in figures} == {"output"}
    assert figures["output.columns_drifted"].value >= 1
    content = Drift(tmp_path / "drift").read()
    assert content["comparisons"]["output"]["columns"][0]["descriptor"] == "unknown_words"
    assert any("invents words" in line for line in content["suggestions"])


@pytest.mark.parametrize("samples", [[], None])
def test_missing_samples_are_one_clear_line(
    paragraphs: Paragraphs,
    write_examples: Write,
    write_samples: Write,
    tmp_path: Path,
    samples: list[str] | None,
) -> None:
    examples = write_examples({"train": paragraphs(1950, 1951)})
    evaluation = tmp_path / "nowhere" if samples is None else write_samples(samples)
    with pytest.raises(DataError, match="generated samples"):
        run(examples, evaluation, QUICK, tmp_path / "drift")


def test_an_unknown_method_lists_the_accepted_ones(
    paragraphs: Paragraphs, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    examples = write_examples({"train": paragraphs(1950, 1951)})
    options = DriftOptions(method="wasserstien")
    with pytest.raises(ConfigError, match=r"'wasserstien'. Accepted: .*ks.*psi.*wasserstein"):
        run(examples, write_samples(["a real text"] * 8), options, tmp_path / "drift")


def test_texts_of_one_value_only_are_no_drift(
    write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    same = [(f"doc {place}", "The same words again.", 1950) for place in range(50)]
    examples = write_examples({"train": same, "current": same})
    samples = write_samples(["The same words again."] * 16)
    figures = run(examples, samples, QUICK, tmp_path / "drift")
    assert figures["data.columns_drifted"].value == 0
    assert figures["output.columns_drifted"].value == 0


@pytest.mark.parametrize("method", ["wasserstein", "t_test"])
def test_false_alarms_are_few_and_planted_shifts_are_found(
    paragraphs: Paragraphs, tmp_path: Path, method: str
) -> None:
    chance, threshold = random.Random(1), {"t_test": 0.05}.get(method, 0.1)
    chosen = enumerate(chance.sample(paragraphs(1930, 1939), 240))
    texts = [Text(str(place), who, text[:350]) for place, (who, text, _) in chosen]
    vocabulary = Vocabulary(texts)
    reference = vocabulary.measure(texts[:200])
    free = {
        str(attempt): (reference, vocabulary.measure(chance.sample(texts[200:], 32)))
        for attempt in range(3)
    }
    planted = [dataclasses.replace(text, text=_garbled([text.text])[0]) for text in texts[-32:]]
    free["planted"] = (reference, vocabulary.measure(planted))
    options = DriftOptions(method=method, threshold=threshold)
    found = compare(free, options, tmp_path / "details.html")
    assert "unknown_words" in [column.descriptor.name for column in found["planted"].drifted]
    alarms = [name for name in found if name != "planted" and found[name].drifted]
    assert alarms == []


OFFLINE = """
import json, pathlib, sys
contacted = []
sys.addaudithook(
    lambda event, arguments: contacted.append([event, repr(arguments)])
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto") else None
)
from components.drift.drift import run
from components.drift.options import DriftOptions
examples, evaluation, drift = map(pathlib.Path, sys.argv[1:])
early = [name for name in ("evidently", "pandas", "pyarrow") if name in sys.modules]
run(examples, evaluation, DriftOptions(), drift)
import evidently.telemetry
print(json.dumps([contacted, evidently.telemetry.event_logger.is_enabled(), early]))
"""


def test_nothing_is_sent_anywhere_and_nothing_heavy_is_loaded_early(
    write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    rows = [(f"doc {place}", f"Some words {place} of text.", 1950) for place in range(30)]
    folders = [write_examples({"train": rows}), write_samples(["Some words."] * 8)]
    told = subprocess.run(
        [sys.executable, "-c", OFFLINE, *map(str, folders), str(tmp_path / "drift")],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    result: Any = json.loads(told.stdout.splitlines()[-1])
    assert result == [[], False, []]
    assert not list(tmp_path.rglob("*telemetry*"))

"""Compares the training era with the current one, and generated text with training text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from components.artifacts import CURRENT, TRAIN, Drift, Evaluation, Examples, Figure
from components.drift.detection import Comparison, compare
from components.drift.findings import Findings, findings
from components.drift.options import DriftOptions
from components.drift.report import DETAILS, render
from components.drift.texts import Side, Vocabulary, choose, choose_output
from components.errors import DataError

DATA = "data"
OUTPUT = "output"
# Some dozens of samples are compared with them: more would not sharpen the comparison.
_OUTPUT_REFERENCE = 4000


def run(examples: Path, evaluation: Path, options: DriftOptions, drift: Path) -> dict[str, Figure]:
    """Writes `drift.json`, `drift.html` and Evidently's own page beside them.

    Args:
        examples: validated examples with a `train` split and perhaps a `current` one.
        evaluation: artifact of the evaluate step, for its generated samples.
        options: method, threshold and how much is sampled.
        drift: folder to write.

    Returns:
        Figures by name: `COMPARISON.drift_share`, `COMPARISON.columns_drifted` and
        `COMPARISON.score.COLUMN`, for the comparisons `data` (absent without a current era) and
        `output`.

    Raises:
        DataError: there is no training text, or there are no samples.
        ConfigError: Evidently has no such drift method.
    """
    source = Examples(examples)
    drift.mkdir(parents=True, exist_ok=True)
    sides = _sides(source, Evaluation(evaluation).samples_path, options.max_rows)
    print(f"progress: comparing {' and '.join(sides)}", flush=True)
    compared = compare(sides, options.method, options.threshold, drift / DETAILS, [DATA])
    figures = {
        f"{name}.{key}": figure
        for name, comparison in compared.items()
        for key, figure in _figures(comparison, options.method).items()
    }
    found = findings(compared, source.manifest())
    content = {
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        "method": options.method,
        "threshold": options.threshold,
        "headline": found.headline,
        "suggestions": found.suggestions,
        "comparisons": {name: _entry(compared[name], found, name) for name in compared},
    }
    Drift(drift).write(content, render(compared, found, options))
    print(f"progress: {_tally(compared)}", flush=True)
    return figures


def _tally(compared: dict[str, Comparison]) -> str:
    """Such as 'data: 6 of 11 measures drifted, output: 2 of 11'."""
    counts = [
        f"{name}: {len(each.drifted)} of {len(each.columns)}" for name, each in compared.items()
    ]
    return ", ".join([f"{counts[0]} measures drifted", *counts[1:]])


def _sides(source: Examples, samples: Path, most: int) -> dict[str, tuple[Side, Side]]:
    training = choose(source, TRAIN, most)
    if not training:
        raise DataError(f"expected training text in {source.path}. Received: an empty train split")
    vocabulary = Vocabulary(training)
    sides = {}
    if source.has(CURRENT):
        current = vocabulary.measure(choose(source, CURRENT, most))
        sides[DATA] = (vocabulary.measure(training), current)
    real, generated = choose_output(training[:_OUTPUT_REFERENCE], samples)
    if not real:
        raise DataError(
            "expected training texts longer than the samples' prompts. Received: none; "
            "give shorter prompts"
        )
    sides[OUTPUT] = (vocabulary.measure(real), vocabulary.measure(generated))
    return sides


def _figures(comparison: Comparison, method: str) -> dict[str, Figure]:
    samples = min(len(comparison.reference.texts), len(comparison.current.texts))
    figures = {
        "drift_share": Figure(
            comparison.share, samples=samples, unit="share", better="lower",
            label="share of measures that moved",
        ),
        "columns_drifted": Figure(
            float(len(comparison.drifted)), samples=samples, unit="measures", better="lower",
            label="measures that moved",
        ),
    }  # fmt: skip
    for column in comparison.columns:
        figures[f"score.{column.descriptor.name}"] = Figure(
            column.score,
            samples=samples,
            unit=method,
            better="higher" if comparison.falling else "lower",
            label=f"drift of {column.descriptor.label}",
        )
    return figures


def _entry(comparison: Comparison, found: Findings, name: str) -> dict[str, Any]:
    return {
        "reference_rows": len(comparison.reference.texts),
        "current_rows": len(comparison.current.texts),
        "since": found.since if name == DATA else None,
        "chance_over": comparison.unit,
        "columns": [
            {**dataclasses.asdict(column), "descriptor": column.descriptor.name}
            for column in comparison.columns
        ],
    }

"""Compares the training era with the current one, and generated data with training data."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifacts import TEXT, Drift, Evaluation, Examples, Figure
from components.drift.detection import Comparison, compare
from components.drift.domain import DomainTest
from components.drift.findings import Findings, findings
from components.drift.options import DriftOptions
from components.drift.report import DETAILS, render
from components.drift.sides import Side
from components.drift.wording import Wording

DATA = "data"
OUTPUT = "output"


def run(
    examples: Path,
    evaluation: Path,
    options: DriftOptions,
    drift: Path,
    model: Path | None = None,
) -> dict[str, Figure]:
    """Writes `drift.json`, `drift.html` and Evidently's own page beside them.

    Args:
        examples: validated examples with a `train` split and perhaps a `current` one.
        evaluation: artifact of the evaluate step, for its generated samples.
        options: methods, thresholds and how much is sampled.
        drift: folder to write.
        model: artifact of the train step; where its model embeds images, a classifier tells the
            sides apart by its embeddings.

    Returns:
        Figures by name: `COMPARISON.drift_share`, `COMPARISON.columns_drifted`,
        `COMPARISON.score.COLUMN` and, but for text, `COMPARISON.domain_auc`, for the comparisons
        `data` (absent without a current era) and `output`.

    Raises:
        DataError: there is no training data, or there are no samples.
        ConfigError: Evidently has no such drift method, or there is no such column.
    """
    source = Examples(examples)
    manifest = source.manifest()
    drift.mkdir(parents=True, exist_ok=True)
    sides, wording = _modality(manifest.modality, source, Evaluation(evaluation), options, model)
    print(f"progress: comparing {' and '.join(sides)}", flush=True)
    compared = compare(sides, options, drift / DETAILS, [DATA], wording.items)
    figures = {
        f"{name}.{key}": figure
        for name, comparison in compared.items()
        for key, figure in _figures(comparison).items()
    }
    found = findings(compared, manifest, wording)
    content = {
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        "method": options.method,
        "threshold": options.threshold,
        "headline": found.headline,
        "suggestions": found.suggestions,
        "comparisons": {name: _entry(compared[name], found, name) for name in compared},
    }
    Drift(drift).write(content, render(compared, found, options, wording))
    print(f"progress: {_tally(compared)}", flush=True)
    return figures


def _tally(compared: dict[str, Comparison]) -> str:
    """Such as 'data: 6 of 11 measures drifted, output: 2 of 11'."""
    counts = [
        f"{name}: {len(each.drifted)} of {len(each.columns)}" for name, each in compared.items()
    ]
    return ", ".join([f"{counts[0]} measures drifted", *counts[1:]])


def _modality(
    name: str, source: Examples, evaluation: Evaluation, options: DriftOptions, model: Path | None
) -> tuple[Mapping[str, tuple[Side, Side]], Wording]:
    """The measured sides of each comparison, and how to speak of them."""
    if name == TEXT:
        from components.drift.text_wording import WORDING
        from components.drift.texts import sides

        return sides(source, evaluation.samples_path, options.max_rows), WORDING
    package = f"components.drift.{name}"
    measured = importlib.import_module(f"{package}.sides").sides
    wording: Wording = importlib.import_module(f"{package}.wording").WORDING
    return measured(source, evaluation, options, model), wording


def _figures(comparison: Comparison) -> dict[str, Figure]:
    samples = min(comparison.reference.rows, comparison.current.rows)
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
            unit=column.method,
            better="higher" if column.falling else "lower",
            label=f"drift of {column.descriptor.label}",
        )
    if comparison.domain:
        figures["domain_auc"] = _domain_figure(comparison.domain)
    return figures


def _domain_figure(test: DomainTest) -> Figure:
    return Figure(
        test.auc,
        low=test.low,
        high=test.high,
        samples=test.rows,
        unit="AUC",
        better="lower",
        label="how well a classifier tells the sides apart",
    )


def _entry(comparison: Comparison, found: Findings, name: str) -> dict[str, Any]:
    return {
        "reference_rows": comparison.reference.rows,
        "current_rows": comparison.current.rows,
        "since": found.since if name == DATA else None,
        "chance_over": comparison.unit,
        "domain": dataclasses.asdict(comparison.domain) if comparison.domain else None,
        "columns": [
            {**dataclasses.asdict(column), "descriptor": column.descriptor.name}
            for column in comparison.columns
        ],
    }

"""Compares the training era with the current one, and generated data with training data."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.artifacts import (
    TEXT,
    TRAIN,
    Drift,
    Evaluation,
    Examples,
    ExamplesManifest,
    Figure,
    Published,
)
from components.drift.detection import Comparison, compare
from components.drift.domain import DomainTest
from components.drift.findings import Findings, findings
from components.drift.options import DriftOptions
from components.drift.reference import Reference, read_reference, write_reference
from components.drift.report import DETAILS, render
from components.drift.requests import Request, read_requests
from components.drift.sides import Sides
from components.drift.wording import COMPARISONS, DATA, REFERENCE, Wording


def run(
    examples: Path,
    evaluation: Path,
    options: DriftOptions,
    drift: Path,
    model: Path | None = None,
    champion: Path | None = None,
) -> dict[str, Figure]:
    """Writes `drift.json`, `drift.html`, Evidently's own page, and the run's `reference.parquet`.

    Args:
        examples: validated examples with a `train` split and perhaps a `current` one.
        evaluation: artifact of the evaluate step, for its generated samples.
        options: methods, thresholds, how much is sampled, and what users asked for lately.
        drift: folder to write.
        model: artifact of the train step; where its model embeds images, a classifier tells the
            sides apart by its embeddings.
        champion: folder of the published version whose training data is compared with; None for
            no such comparison.

    Returns:
        Figures by name: `COMPARISON.drift_share`, `COMPARISON.columns_drifted`,
        `COMPARISON.score.COLUMN` and, where there are features, `COMPARISON.domain_auc`, for the
        comparisons `data` (absent without a current era), `prompt` (without a file of requests),
        `output` and `reference` (without a version that left its own).

    Raises:
        DataError: there is no training data, there are no samples, or the requests or the
            version's reference cannot be read.
        ConfigError: Evidently has no such drift method, or there is no such column.
    """
    source = Examples(examples)
    manifest = source.manifest()
    drift.mkdir(parents=True, exist_ok=True)
    requests = read_requests(Path(options.prompts), options.max_rows) if options.prompts else ()
    earlier, absent = _earlier(champion, manifest.modality)
    judged = Evaluation(evaluation)
    measured, wording = _modality(manifest.modality, source, judged, options, model)(
        requests, earlier
    )
    sides = {name: measured.pairs[name] for name in COMPARISONS if name in measured.pairs}
    print(f"progress: comparing {', '.join(sides)}", flush=True)
    compared = compare(sides, options, drift / DETAILS, [DATA, REFERENCE], wording.items)
    figures = {
        f"{name}.{key}": figure
        for name, comparison in compared.items()
        for key, figure in comparison_figures(comparison).items()
    }
    label = earlier.label if earlier else ""
    notes = {**({REFERENCE: [absent]} if absent else {}), **measured.notes}
    found = findings(compared, manifest, wording, label, notes)
    content = {
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        "method": options.method,
        "threshold": options.threshold,
        "headline": found.headline,
        "suggestions": found.suggestions,
        "notes": found.notes,
        "comparisons": {name: _entry(compared[name], found, name) for name in compared},
    }
    if options.keep_reference:
        write_reference(Drift(drift).reference_path, measured.training, {
            **measured.details, **_origin(manifest)
        })  # fmt: skip
    Drift(drift).write(content, render(compared, found, options, wording))
    print(f"progress: {_tally(compared)}", flush=True)
    return figures


def _earlier(champion: Path | None, modality: str) -> tuple[Reference | None, str]:
    """What the version now served left of its training data, or why there is none to compare."""
    if champion is None:
        return None, ""
    version = Published(champion)
    label = f"version {champion.name}"
    if not version.reference_path.is_file():
        return None, f"{label.capitalize()} left no measures of its training data."
    found = read_reference(version.reference_path, label)
    if found.details.get("modality") != modality:
        return None, f"{label.capitalize()} was trained on {found.details.get('modality')}."
    return found, ""


def _origin(manifest: ExamplesManifest) -> dict[str, Any]:
    """What is known of the training split, beside its rows."""
    split = manifest.splits[TRAIN]
    return {
        "modality": manifest.modality,
        "snapshot_digest": manifest.snapshot_digest,
        "rows": split.rows,
        "first_time": split.first_time,
        "last_time": split.last_time,
    }


def _tally(compared: dict[str, Comparison]) -> str:
    """Such as 'data: 6 of 11 measures drifted, output: 2 of 11'."""
    counts = [
        f"{name}: {len(each.drifted)} of {len(each.columns)}" for name, each in compared.items()
    ]
    return ", ".join([f"{counts[0]} measures drifted", *counts[1:]])


def _modality(
    name: str, source: Examples, evaluation: Evaluation, options: DriftOptions, model: Path | None
) -> Callable[[Sequence[Request], Reference | None], tuple[Sides, Wording]]:
    """What measures the sides of each comparison, and how to speak of them."""

    def of_text(requests: Sequence[Request], earlier: Reference | None) -> tuple[Sides, Wording]:
        from components.drift.text_wording import WORDING
        from components.drift.texts import measure

        samples = evaluation.samples_path
        return measure(source, samples, options.max_rows, requests, earlier), WORDING

    def of_others(requests: Sequence[Request], earlier: Reference | None) -> tuple[Sides, Wording]:
        package = f"components.drift.{name}"
        measure = importlib.import_module(f"{package}.sides").measure
        wording: Wording = importlib.import_module(f"{package}.wording").WORDING
        return measure(source, evaluation, options, model, requests, earlier), wording

    return of_text if name == TEXT else of_others


def comparison_figures(comparison: Comparison) -> dict[str, Figure]:
    """Figures by name: `drift_share`, `columns_drifted`, `score.COLUMN`, `domain_auc`."""
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
        "since": found.since.get(name),
        "moved": comparison.moved,
        "told": found.told[name],
        "suggestions": found.advice.get(name, []),
        "chance_over": comparison.unit,
        "domain": dataclasses.asdict(comparison.domain) if comparison.domain else None,
        "columns": [
            {**dataclasses.asdict(column), "descriptor": column.descriptor.name}
            for column in comparison.columns
        ],
    }

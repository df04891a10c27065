"""Turns generated and real rows into figures: of the model, of the floor, of the baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from components.artifacts import Figure
from components.evaluate.intervals import mean, wilson
from components.evaluate.table.coverage import coverage
from components.evaluate.table.fidelity import Fidelity, fidelity, half_samples, spread
from components.evaluate.table.frames import Frame, independent
from components.evaluate.table.options import EvaluateTableOptions
from components.evaluate.table.privacy import nearer_to_training, per_record, repeated
from components.evaluate.table.utility import Score, Utility, choose_target, told_apart, utility

_LABELS = {
    "quality": "Quality: column shapes and pair trends",
    "column_shapes": "Column shapes",
    "pair_trends": "Pair trends",
}


@dataclasses.dataclass(frozen=True)
class Frames:
    """Generated, held-out and training rows, laid out alike.

    `names` are the categories of each column, by code; empty for numbers.
    """

    made: Frame
    held_out: Frame
    training: Frame
    names: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Likeness:
    """How alike the rows are.

    Attributes:
        figures: of the model, `floor.NAME` of training rows, `baseline.NAME` of independent
            columns; `column_shapes.COLUMN` of each column.
        rival_figures: of the version now served.
        ours, floor, baseline: the comparisons with held-out rows.
    """

    figures: Mapping[str, Figure]
    rival_figures: Mapping[str, Figure]
    ours: Fidelity
    floor: Fidelity
    baseline: Fidelity


def likeness(frames: Frames, rival: Frame | None, options: EvaluateTableOptions) -> Likeness:
    """Compares generated rows, training rows and independent columns with held-out rows."""
    real, rows = frames.held_out, len(frames.held_out)
    beside = {
        "floor": frames.training.take(np.arange(min(rows, len(frames.training)))),
        "baseline": independent(frames.training, rows, options.seed),
    }
    ours = fidelity(real, frames.made)
    halves = half_samples(real, frames.made, options.resamples, options.seed, rival)
    figures = {
        name: _similarity(ours, [half for half, _ in halves], name, len(frames.made), "")
        for name in _LABELS
    }
    others = {name: fidelity(real, frame) for name, frame in beside.items()}
    told = {"floor": ", training rows", "baseline": ", independent columns"}
    for prefix, frame in beside.items():
        found = [h for h, _ in half_samples(real, frame, options.resamples, options.seed)]
        for name in _LABELS:
            figures[f"{prefix}.{name}"] = _similarity(
                others[prefix], found, name, len(frame), told[prefix]
            )
    for place, column in enumerate(real.columns):
        shape = float(ours.shapes[place])
        low, high = spread(shape, [half.shapes[place] for half, _ in halves])
        figures[f"column_shapes.{column.name}"] = Figure(
            shape, low, min(high, 1.0), len(frames.made), "", "higher", f"Shape of {column.name}"
        )
    rival_figures = {}
    if rival is not None:
        theirs = fidelity(real, rival)
        found = [other for _, other in halves if other is not None]
        for name in _LABELS:
            rival_figures[name] = _similarity(theirs, found, name, len(rival), "")
            gaps = [getattr(h, name) - getattr(o, name) for h, o in halves if o is not None]
            gap = getattr(ours, name) - getattr(theirs, name)
            figures[f"{name}_minus_champion"] = Figure(
                gap, *spread(gap, gaps), len(frames.made), "", "higher",
                f"{_LABELS[name]}, over the champion's",
            )  # fmt: skip
    return Likeness(figures, rival_figures, ours, others["floor"], others["baseline"])


def _similarity(found: Fidelity, halves: list[Fidelity], name: str, rows: int, of: str) -> Figure:
    value = float(getattr(found, name))
    low, high = spread(value, [getattr(half, name) for half in halves])
    return Figure(value, low, min(high, 1.0), rows, "", "higher", f"{_LABELS[name]}{of}")


@dataclasses.dataclass(frozen=True)
class Taught:
    """What other models make of the generated rows."""

    figures: Mapping[str, Figure]
    utility: Utility | None


def usefulness(frames: Frames, options: EvaluateTableOptions) -> Taught:
    """Trains on generated rows and tests on real ones; tries to tell both apart."""
    figures = {
        "discriminator_auc": _figure(
            told_apart(frames.made, frames.held_out, options.seed), "lower",
            "Told from real rows (ROC AUC, 0.5 is ideal)",
        )
    }  # fmt: skip
    target = choose_target(frames.held_out, options.target)
    found = None
    if target is not None:
        found = utility(frames.made, frames.training, frames.held_out, target, options.seed)
    if found is not None:
        what = f"{found.measure} on {found.target}"
        figures["tstr"] = _figure(found.synthetic, "higher", f"Trained on generated rows: {what}")
        figures["trtr"] = _figure(found.real, "", f"Trained on real rows: {what}")
        if found.ratio is not None:
            figures["tstr_ratio"] = _figure(
                found.ratio, "higher", "Skill learnt from generated rows, over that from real ones"
            )
    return Taught(figures, found)


def usefulness_beside(frames: Frames, options: EvaluateTableOptions) -> dict[str, Figure]:
    """The same of training rows, as `floor.NAME`, and of independent columns, `baseline.NAME`."""
    rows = len(frames.held_out)
    naive = dataclasses.replace(frames, made=independent(frames.training, rows, options.seed))
    figures = {
        f"baseline.{name}": each for name, each in usefulness(naive, options).figures.items()
    }
    # What is trained on real rows is `trtr` already, whatever it is compared with.
    figures.pop("baseline.trtr", None)
    told = told_apart(frames.training, frames.held_out, options.seed)
    figures["floor.discriminator_auc"] = _figure(told, "", "")
    return {name: dataclasses.replace(each, label=_beside(name)) for name, each in figures.items()}


def _beside(name: str) -> str:
    side, _, measured = name.partition(".")
    rows = "Training rows" if side == "floor" else "Independent columns"
    return f"{rows}: {measured.replace('_', ' ')}"


def variety(frames: Frames, options: EvaluateTableOptions) -> dict[str, Figure]:
    """How much of what held-out rows combine occurs at all, in generated and in training rows."""
    rows = min(len(frames.made), len(frames.training))
    floor = frames.training.take(np.arange(rows))
    of = "Pairs of values of held-out rows that occur in"
    return {
        "coverage": coverage(frames.held_out, frames.made, options, f"{of} generated rows"),
        "floor.coverage": coverage(frames.held_out, floor, options, f"{of} training rows", ""),
    }


def privacy(frames: Frames, options: EvaluateTableOptions) -> dict[str, Figure]:
    """How close generated rows lie to training rows, and how close held-out rows do."""
    middle = len(frames.held_out) // 2
    halves = [
        frames.held_out.take(np.arange(start, end))
        for start, end in ((0, middle), (middle, len(frames.held_out)))
    ]
    figures = {
        "closest_record": _nearness(frames.made, frames.training, frames.held_out, options),
        # As if one half of the held-out rows had been generated.
        "floor.closest_record": dataclasses.replace(
            _nearness(halves[0], frames.training, halves[1], options),
            label="Nearer to training than to held-out rows, held-out rows themselves",
        ),
    }
    for name, rows, of in (
        ("repeated_rows", frames.made, ""),
        ("floor.repeated_rows", frames.held_out, ", held-out rows"),
    ):
        hits = repeated(rows, frames.training)
        found = wilson(int(hits.sum()), len(hits))
        figures[name] = Figure(
            found.value, found.low, found.high, found.clusters, "share",
            "" if of else "lower", f"Rows that are, cell by cell, a training row{of}",
        )  # fmt: skip
    return figures


def _nearness(
    rows: Frame, training: Frame, held_out: Frame, options: EvaluateTableOptions
) -> Figure:
    nearer = nearer_to_training(rows, training, held_out)
    share = mean(nearer.tolist(), 500, options.seed)
    bounds = [
        None if bound is None else per_record(min(max(bound, 0), 1), len(training), len(held_out))
        for bound in (share.value, share.low, share.high)
    ]
    return Figure(
        bounds[0] or 0.0, bounds[1], bounds[2], len(nearer), "share", "lower",
        "Nearer to training than to held-out rows, as if both were as many (0.5 is ideal)",
    )  # fmt: skip


def broken(violations: Mapping[str, npt.NDArray[np.bool_]], rows: int) -> Figure:
    """The share of generated rows that break any declared constraint."""
    any_broken = np.zeros(rows, bool)
    for found in violations.values():
        any_broken |= found
    return Figure(
        float(any_broken.mean()), samples=rows, unit="share", better="lower",
        label="Rows that break a declared constraint",
    )  # fmt: skip


def mean_nll(scores: npt.NDArray[np.float64], options: EvaluateTableOptions) -> Figure:
    """Mean negative log-likelihood of held-out rows."""
    found = mean(scores.tolist(), 500, options.seed)
    return Figure(
        found.value, found.low, found.high, found.clusters, "nats", "lower",
        "Negative log-likelihood of a held-out row",
    )  # fmt: skip


def nll_difference(
    ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64], options: EvaluateTableOptions
) -> Figure:
    """Mean over held-out rows of the model's negative log-likelihood minus the champion's."""
    found = mean((ours - theirs).tolist(), 500, options.seed)
    return Figure(
        found.value, found.low, found.high, found.clusters, "nats", "lower",
        "Negative log-likelihood, over the champion's",
    )  # fmt: skip


def _figure(found: Score, better: str, label: str) -> Figure:
    return Figure(found.value, found.low, found.high, found.rows, "", better, label)

"""The names of all figures that a rule may speak of, by modality.

A policy is checked against them before anything runs: a rule on a figure that nothing measures
would block every model, or with `if_absent: warn` never block one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from components.artifacts import IMAGE, TABLE, TEXT

# `*` stands for one or more letters, digits, dots and so on: a class, a column, a version.
_EVERYWHERE = (
    "evaluation.model_bytes",
    "evaluation.latency_ms",
    "evaluation.serving.equal",
    "evaluation.serving.*",
    "validation.rejected_share",
    "validation.generated_share",
    "validation.generated_offered",
    "validation.untagged_share",
    "lineage.diversity_trend",
    "lineage.diversity_change",
    *(
        f"drift.{comparison}.{name}"
        for comparison in ("data", "prompt", "output", "reference")
        for name in ("drift_share", "columns_drifted", "domain_auc", "score.*")
    ),
)
# Images hold no texts to check.
_OF_GUARDS = ("evaluation.guards.*.share", "validation.guards.*.share")
_OF_SAMPLES = (
    *(f"distinct_{order}" for order in (1, 2, 3)),
    "repetition",
    "longest_copy",
    "median_copy",
    "copy_share",
)
_OF_IMAGES = (
    "frechet_distance",
    "kernel_distance",
    "precision",
    "recall",
    "mode_coverage",
    "conditional_accuracy",
    "nearest_train",
)
_OF_TABLES = (
    "quality",
    "column_shapes",
    "pair_trends",
    "discriminator_auc",
    "tstr",
    "tstr_ratio",
    "closest_record",
    "repeated_rows",
    "coverage",
)
METRICS: Mapping[str, tuple[str, ...]] = {
    TEXT: (
        "evaluation.bits_per_byte",
        "evaluation.bits_per_byte_minus_xz",
        "evaluation.bits_per_byte_minus_5gram",
        "evaluation.bits_per_byte_minus_champion",
        "evaluation.perplexity",
        *(
            f"evaluation.yardsticks.{name}"
            for name in ("byte_unigram", "byte_trigram", "byte_5gram", "xz", "xz_alone")
        ),
        *(f"evaluation.{name}" for name in _OF_SAMPLES),
        *(f"evaluation.human.{name}" for name in _OF_SAMPLES),
        "evaluation.mean_tokens",
        "evaluation.ended_share",
        "evaluation.mean_logprob",
        "evaluation.decode_tokens_per_second",
        *_OF_GUARDS,
        *_EVERYWHERE,
    ),
    IMAGE: (
        *(f"evaluation.{name}" for name in _OF_IMAGES),
        *(f"evaluation.floor.{name}" for name in _OF_IMAGES),
        *(f"evaluation.baseline.{name}" for name in _OF_IMAGES),
        *(f"evaluation.{name}_minus_champion" for name in _OF_IMAGES),
        "evaluation.conditional_accuracy.*",
        "evaluation.classifier_accuracy",
        "evaluation.conditional_accuracy_ratio",
        "evaluation.images_per_second",
        "evaluation.inception.*",
        *_EVERYWHERE,
    ),
    TABLE: (
        *(f"evaluation.{name}" for name in _OF_TABLES),
        *(f"evaluation.floor.{name}" for name in _OF_TABLES),
        *(f"evaluation.baseline.{name}" for name in _OF_TABLES),
        *(f"evaluation.{name}_minus_champion" for name in _OF_TABLES),
        "evaluation.column_shapes.*",
        "evaluation.trtr",
        "evaluation.constraint_violations",
        "evaluation.nll",
        "evaluation.nll_minus_champion",
        "evaluation.condition_met",
        "evaluation.rows_per_second",
        *_OF_GUARDS,
        *_EVERYWHERE,
    ),
}


def known(name: str, modality: str) -> bool:
    """Whether the steps of a modality can measure a figure of that name."""
    return any(matches(pattern, name) for pattern in METRICS[modality])


def closest(name: str, names: Iterable[str]) -> str:
    """A hint at what was meant, in brackets, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (the closest name is {close[0]})" if close else ""


def matches(pattern: str, name: str) -> bool:
    """Whether a name is of a pattern."""
    start, star, end = pattern.partition("*")
    if not star:
        return pattern == name
    return re.fullmatch(f"{re.escape(start)}.+{re.escape(end)}", name) is not None

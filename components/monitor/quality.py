"""How well the served model knows what people would rather have read."""

from __future__ import annotations

import math

from components.artifacts import Figure, ServingLog
from components.evaluate.intervals import ClusterBootstrap

_RESAMPLES = 1000
_SEED = 0


def of_edits(log: ServingLog) -> dict[str, Figure]:
    """Nats per byte of texts that people edited, and of the held-out texts of the evaluation.

    Whole texts, or whole documents, are resampled. The difference of the two, which have nothing in
    common, gets its interval from both (Zou and Donner, "Construction of confidence limits about
    effect measures", Statistics in Medicine 2008).
    """
    found = {}
    for name, path, owner, label in (
        ("nll_per_byte", log.edits_path, "id", "nats per byte, texts edited by people"),
        ("baseline_nll_per_byte", log.baseline_path, "document_id", "nats per byte, held-out"),
    ):
        if not path.is_file():
            continue
        rows = [row for batch in log.batches(path) for row in batch.to_pylist() if row["num_bytes"]]
        if not rows:
            continue
        ratio = ClusterBootstrap([row[owner] for row in rows], _RESAMPLES, _SEED).ratio(
            [row["nll"] for row in rows], [row["num_bytes"] for row in rows]
        )
        found[f"quality.{name}"] = Figure(
            ratio.value,
            ratio.low,
            ratio.high,
            ratio.clusters,
            unit="nats/byte",
            better="lower",
            label=label,
        )
    edits, baseline = (
        found.get(f"quality.{name}") for name in ("nll_per_byte", "baseline_nll_per_byte")
    )
    if edits and baseline:
        found["quality.nll_per_byte_minus_baseline"] = _difference(edits, baseline)
    return found


def _difference(one: Figure, other: Figure) -> Figure:
    value = one.value - other.value
    low = high = None
    if None not in (one.low, one.high, other.low, other.high):
        assert one.low is not None
        assert one.high is not None
        assert other.low is not None
        assert other.high is not None
        low = value - math.hypot(one.value - one.low, other.high - other.value)
        high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Figure(
        value,
        low,
        high,
        # How well the held-out texts are known stands in the interval.
        one.samples,
        unit="nats/byte",
        better="lower",
        label="edited texts against held-out texts",
    )

"""The difference of two models' bits per byte over the same texts, with its interval."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.artifacts import Figure

_COLUMNS = ["example_id", "nll", "num_bytes"]


def difference(before: Path, after: Path, resamples: int = 1000, seed: int = 0) -> Figure | None:
    """Bits per byte of `after` minus those of `before`, resampling whole texts.

    Args:
        before, after: `scores.parquet` of two evaluations.
        resamples: bootstrap resamples behind the interval.
        seed: of the bootstrap.

    Returns:
        The difference in bits per byte, or None where the texts are not the same.
    """
    first, second = (pq.read_table(path, columns=_COLUMNS).to_pandas() for path in (before, after))
    both = first.merge(second, on="example_id", suffixes=("_before", "_after"))
    same = len(both) == len(first) == len(second) > 1
    if not same or (both["num_bytes_before"] != both["num_bytes_after"]).any():
        return None
    # The end of a text costs one byte, as in the evaluation itself.
    sizes = both["num_bytes_after"].to_numpy(np.float64) + 1
    extra = (both["nll_after"] - both["nll_before"]).to_numpy(np.float64) / math.log(2)
    drawn = np.random.default_rng(seed).multinomial(
        len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples
    )
    low, high = np.percentile(drawn @ extra / (drawn @ sizes), [2.5, 97.5])
    value = float(extra.sum() / sizes.sum())
    return Figure(value, float(low), float(high), len(sizes), "bits/byte", "lower")

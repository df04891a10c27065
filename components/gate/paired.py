"""The difference of two models' bits per byte over the same texts, with its interval."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.artifacts import Figure
from components.evaluate.intervals import ClusterBootstrap
from components.evaluate.options import EvaluateOptions

_COLUMNS = ["example_id", "document_id", "nll", "num_bytes"]


def difference(before: Path, after: Path) -> Figure | None:
    """Bits per byte of `after` minus those of `before`, as the evaluate step computes it.

    Args:
        before, after: `scores.parquet` of two evaluations.

    Returns:
        The difference in bits per byte, whole documents resampled; None where the texts are not
        the same, or where it is not known which document they belong to.
    """
    known = [set(pq.read_schema(path).names) for path in (before, after)]
    if not all(names.issuperset(_COLUMNS) for names in known):
        return None
    first, second = (pq.read_table(path, columns=_COLUMNS).to_pandas() for path in (before, after))
    both = first.merge(second, on="example_id", suffixes=("_before", "_after"))
    same = len(both) == len(first) == len(second) > 1
    if not same or (both["num_bytes_before"] != both["num_bytes_after"]).any():
        return None
    # The end of a text costs one byte, as in the evaluation itself.
    sizes = both["num_bytes_after"].to_numpy(np.float64) + 1
    extra = (both["nll_after"] - both["nll_before"]).to_numpy(np.float64) / math.log(2)
    options = EvaluateOptions()
    draws = ClusterBootstrap(both["document_id_after"].tolist(), options.bootstrap, options.seed)
    found = draws.ratio(extra, sizes)
    return Figure(found.value, found.low, found.high, found.clusters, "bits/byte", "lower")

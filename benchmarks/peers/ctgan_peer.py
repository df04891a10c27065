"""The peers of the table benchmark: CTGAN and TVAE of the `ctgan` package, and SDMetrics' scores.

Reads one JSON request a line and answers each with one JSON line:

    {"do": "fit", "kind": "ctgan", "cpu_seconds": 120}  ->  {"cpu": s, "wall": s, "epochs": n}
    {"do": "sample", "rows": 100000, "out": "rows.csv"}  ->  {"cpu": s, "wall": s}
    {"do": "score", "path": "rows.csv"}  ->  {"quality": q, "shapes": s, "trends": t, ...}

Models learn `--train`; the scores compare with `--held-out`. Run by the benchmark's own
environment.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ctgan
import ctgan.synthesizers.ctgan as ctgan_module
import ctgan.synthesizers.tvae as tvae_module
import numpy as np
import pandas as pd
import torch
from sdmetrics.reports.single_table import QualityReport
from sdmetrics.single_table import DCROverfittingProtection

KINDS = {"ctgan": (ctgan.CTGAN, ctgan_module), "tvae": (ctgan.TVAE, tvae_module)}
THREADS = 2
# Distances to the closest record cost the product of the rows.
DISTANCE_ROWS, DISTANCE_ROUNDS = 4_000, 3
_ENDLESS = 100_000


class Peer:
    """The rows and the model that was fitted last.

    Args:
        train: CSV file to learn.
        held_out: CSV file to compare with.
        discrete: names of the columns that are categories.
    """

    def __init__(self, train: Path, held_out: Path, discrete: list[str]) -> None:
        self._train = pd.read_csv(train)
        self._held_out = pd.read_csv(held_out)
        self._discrete = discrete
        self._model: Any = None

    def fit(self, kind: str, cpu_seconds: float) -> dict[str, Any]:
        """Trains by the package's defaults, whole epochs until the CPU seconds are used.

        The time that the package takes to learn modes of numbers is not counted: our side has a
        step of its own for that.
        """
        model, module = KINDS[kind]
        spent = {"cpu": 0.0, "wall": 0.0, "epochs": 0}

        def epochs(_: object, disable: bool) -> Iterator[int]:
            started = time.process_time(), time.monotonic()
            for number in range(_ENDLESS):
                if spent["cpu"] >= cpu_seconds:
                    return
                yield number
                spent["cpu"] = time.process_time() - started[0]
                spent["wall"] = time.monotonic() - started[1]
                spent["epochs"] = number + 1

        module.tqdm = epochs
        self._model = model(epochs=_ENDLESS, enable_gpu=False)
        torch.manual_seed(0)
        np.random.seed(0)
        self._model.fit(self._train, self._discrete)
        return spent

    def sample(self, rows: int, out: str) -> dict[str, Any]:
        """Draws rows, timed, and writes them."""
        started = time.process_time(), time.monotonic()
        drawn = self._model.sample(rows)
        cpu, wall = time.process_time() - started[0], time.monotonic() - started[1]
        drawn.to_csv(out, index=False)
        return {"cpu": cpu, "wall": wall}

    def score(self, path: str) -> dict[str, Any]:
        """SDMetrics' quality report against held-out rows, and how near rows are to training."""
        rows = pd.read_csv(path)[self._train.columns]
        columns = {
            name: {"sdtype": "categorical" if name in self._discrete else "numerical"}
            for name in self._train.columns
        }
        metadata = {"columns": columns}
        for name in self._discrete:
            rows[name] = rows[name].astype(self._held_out[name].dtype)
        report = QualityReport()
        report.generate(self._held_out, rows, metadata, verbose=False)
        properties = report.get_properties().set_index("Property")["Score"]
        closest = DCROverfittingProtection.compute_breakdown(
            real_training_data=self._train,
            synthetic_data=rows,
            real_validation_data=self._held_out,
            metadata=metadata,
            table_name=None,
            num_rows_subsample=DISTANCE_ROWS,
            num_iterations=DISTANCE_ROUNDS,
        )
        shares = closest["synthetic_data_percentages"]
        return {
            "quality": float(report.get_score()),
            "shapes": float(properties["Column Shapes"]),
            "trends": float(properties["Column Pair Trends"]),
            "privacy": float(closest["score"]),
            "closer_to_training": float(shares["closer_to_training"]),
        }


def main() -> None:
    """Answers requests until there are no more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--discrete", default="")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(THREADS)
    peer = Peer(arguments.train, arguments.held_out, arguments.discrete.split(","))
    calls: dict[str, Callable[..., dict[str, Any]]] = {
        "fit": peer.fit,
        "sample": peer.sample,
        "score": peer.score,
    }
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(calls[request.pop("do")](**request)), flush=True)


if __name__ == "__main__":
    main()

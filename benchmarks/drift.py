"""The drift report on a million rows: time, memory, and how often its verdicts are right.

The peer is Evidently's own report on all rows. Ours samples rows by digest, so neither its memory
nor its tests grow with them, and it spends its time on 199 divisions that tell drift from chance.
What sampling loses is measured against the same methods of Evidently on all rows. The truth is
known, because the columns are drawn here: in a shifted table 9 of 20 have moved by 0.2, 0.5 or 1.0
standard deviations (or shares of one category by as much), in a free one none has.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import ROOT, alternate, conclude, median_ratio, print_table
from components.drift.detection import compare
from components.drift.options import DriftOptions
from components.drift.scoring import Method, present
from components.drift.sides import Descriptor, Measured

ROWS = 1_000_000
COLUMNS = 20
NUMBERS = 14
EFFECTS = (0.2, 0.5, 1.0)
METHODS = {"wasserstein": 0.1, "ks": 0.05, "psi": 0.1, "jensenshannon": 0.1}
GOALS = {"seconds": 60.0, "gigabytes": 1.5, "agreement": 0.99}
_SAMPLED = DriftOptions().max_rows


def main() -> None:
    """Prints the figures, beside what the project aims at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="Rows of each side.")
    parser.add_argument("--repeats", type=int, default=5, help="Tables of each kind and method.")
    for name in WORK:
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    for name, work in WORK.items():
        if getattr(chosen, name):
            _timed(work, getattr(chosen, name))
            return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), chosen.rows)
        pairs = alternate(
            3, lambda: _apart("ours", Path(folder)), lambda: _apart("peer", Path(folder))
        )
    figures = {}
    for name in ("seconds", "gigabytes"):
        figures[name] = statistics.median(mine[name] for mine, _ in pairs)
        figures[f"peer_{name}"] = statistics.median(peer[name] for _, peer in pairs)
        figures[f"{name}_ratio"] = median_ratio([(mine[name], peer[name]) for mine, peer in pairs])
    print_table(
        f"report on {chosen.rows:,} rows x {COLUMNS} columns on either side, median of 3 runs",
        ["", "seconds", "peak memory, GB", "columns moved (9 did)"],
        [
            [name, figures[f"{key}seconds"], figures[f"{key}gigabytes"], pairs[0][place]["moved"]]
            for place, (name, key) in enumerate(
                [("loomline", ""), ("evidently, all rows", "peer_")]
            )
        ],
    )
    table, agreed = [], []
    for method, threshold in METHODS.items():
        found = simulate(method, threshold, chosen.rows, chosen.repeats)
        agreed += found["agreed"]
        power = [f"{statistics.mean(found['power', effect]):.0%}" for effect in EFFECTS]
        alarms = f"{sum(found['alarms'])} of {len(found['alarms'])}"
        peer = f"{sum(found['peer_alarms'])} of {len(found['peer_alarms'])}"
        agreement = f"{statistics.mean(found['agreed']):.1%}"
        table.append([method, *power, alarms, peer, agreement])
    print_table(
        f"{_SAMPLED:,} sampled rows against all {chosen.rows:,}, {chosen.repeats} tables each",
        [
            "method",
            *(f"power at {effect}" for effect in EFFECTS),
            "false alarms",
            "of the peer",
            "same verdict",
        ],
        table,
    )
    figures["agreement"] = statistics.mean(agreed)
    conclude("drift", figures, GOALS, lower_is_better=["seconds", "gigabytes"])


# --- Tables of which the truth is known ---------------------------------------------------------


def descriptors() -> list[Descriptor]:
    """Names of the columns: numbers of several shapes, then categories."""
    return [
        Descriptor(f"column_{place}", f"column {place}", categorical=place >= NUMBERS)
        for place in range(COLUMNS)
    ]


def effects(shifted: bool) -> list[float]:
    """By how many standard deviations each column moves."""
    moved = {place: EFFECTS[place // 2 % 3] for place in range(0, COLUMNS - 2, 2)}
    return [moved.get(place, 0.0) if shifted else 0.0 for place in range(COLUMNS)]


def draw(rng: np.random.Generator, rows: int, moves: list[float]) -> list[NDArray[Any]]:
    """The columns of one side."""
    shapes = (
        lambda: rng.normal(size=rows),
        lambda: rng.exponential(size=rows),
        lambda: rng.uniform(-(3**0.5), 3**0.5, rows),
        lambda: rng.lognormal(0, 0.5, rows) / 0.6039,
    )
    columns: list[NDArray[Any]] = []
    for place, move in enumerate(moves):
        if place < NUMBERS:
            columns.append(shapes[place % len(shapes)]() + move)
            continue
        shares = np.array([0.4, 0.3, 0.2, 0.1])
        # A category's share has a deviation of half, so this is the effect in deviations.
        shares += np.array([-1, 0, 0, 1]) * min(move / 2, 0.35)
        columns.append(np.array(list("abcd"), object)[rng.choice(4, rows, p=shares)])
    return columns


def simulate(method: str, threshold: float, rows: int, repeats: int) -> dict[Any, list[Any]]:
    """Verdicts on a sample beside those of the same method on all rows, with the same limits."""
    found: dict[Any, list[Any]] = defaultdict(list)
    options = DriftOptions(method=method, threshold=threshold)
    names = descriptors()
    for repeat in range(repeats):
        for shifted in (True, False):
            rng = np.random.default_rng([repeat, shifted])
            moves = effects(shifted)
            whole = [draw(rng, rows, [0.0] * COLUMNS), draw(rng, rows, moves)]
            sampled = [Measured(names, [one[:_SAMPLED] for one in side]) for side in whole]
            with tempfile.TemporaryDirectory() as folder:
                pair = (sampled[0], sampled[1])
                compared = compare({"data": pair}, options, Path(folder) / "page.html")["data"]
            columns = {column.descriptor.name: column for column in compared.columns}
            peer = []
            for place, name in enumerate(names):
                column = columns[name.name]
                judge = Method(column.method, name.categorical, "benchmark")
                score = judge.score(*(present(name, side[place]) for side in whole))
                peer.append(score < column.limit if judge.falling else score > column.limit)
            for place, name in enumerate(names):
                drifted = columns[name.name].drifted
                found["agreed"].append(drifted == peer[place])
                if moves[place]:
                    found["power", moves[place]].append(drifted)
            if not shifted:
                found["alarms"].append(bool(compared.drifted))
                found["peer_alarms"].append(any(peer))
    return found


# --- The whole report, from Parquet to the page -------------------------------------------------


def write(folder: Path, rows: int) -> None:
    """Examples of a table, as the validate step leaves them, with samples of a model."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from components.artifacts import (
        CURRENT,
        TABLE,
        TRAIN,
        Evaluation,
        Examples,
        ExamplesManifest,
        SplitInfo,
    )
    from components.table_schema import Column, TableSchema

    names = descriptors()
    schema = TableSchema(
        tuple(
            Column(name.name, "categorical", "string", False)
            if name.categorical
            else Column(name.name, "numerical", "double", False, None, -10, 50)
            for name in names
        ),
        (),
    )
    examples = Examples(folder / "examples")
    rng = np.random.default_rng(0)
    infos = {}
    for split, shifted in ((TRAIN, False), (CURRENT, True)):
        examples.shard_path(split, 0).parent.mkdir(parents=True)
        infos[split] = SplitInfo(rows, 0, None, None)
        for shard, start in enumerate(range(0, rows, 100_000)):
            count = min(100_000, rows - start)
            columns = draw(rng, count, effects(shifted))
            table = pa.table(columns, names=[name.name for name in names])
            ids = pa.array([rng.bytes(16).hex() for _ in range(count)])
            days = np.datetime64("2026-01-01" if split == TRAIN else "2026-07-01", "us")
            times = days + np.sort(rng.integers(0, 180 * 86400, count)).astype("timedelta64[s]")
            table = table.append_column("example_id", ids).append_column("document_id", ids)
            table = table.append_column("event_time", pa.array(times, pa.timestamp("us", "UTC")))
            pq.write_table(table, examples.shard_path(split, shard))
    examples.write_manifest(
        ExamplesManifest("benchmark", "0", infos, {}, modality=TABLE, details=schema.to_json())
    )
    evaluation = Evaluation(folder / "evaluation")
    evaluation.path.mkdir()
    made = draw(rng, 3000, [0.0] * COLUMNS)
    pq.write_table(pa.table(made, names=[name.name for name in names]), evaluation.samples_path)


def _apart(name: str, folder: Path) -> dict[str, Any]:
    """The work in a process of its own, whose memory is then its own."""
    command = [sys.executable, "-m", "benchmarks.drift", f"--{name}={folder}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _timed(work: Callable[[Path], int], folder: Path) -> None:
    begun = time.perf_counter()
    moved = work(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = {"seconds": time.perf_counter() - begun, "gigabytes": peak / 1e9, "moved": moved}
    print(json.dumps(line))


def _ours(folder: Path) -> int:
    from components.drift.drift import run

    report = folder / f"drift-{os.getpid()}"
    figures = run(folder / "examples", folder / "evaluation", DriftOptions(), report)
    return int(figures["data.columns_drifted"].value)


def _peer(folder: Path) -> int:
    """Evidently's preset over both eras, with its page."""
    os.environ["DO_NOT_TRACK"] = "1"
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = descriptors()
    definition = DataDefinition(
        numerical_columns=[name.name for name in names if not name.categorical],
        categorical_columns=[name.name for name in names if name.categorical],
    )
    train, current = (
        Dataset.from_pandas(
            pd.read_parquet(folder / "examples" / split, columns=[name.name for name in names]),
            data_definition=definition,
        )
        for split in ("train", "current")
    )
    result = Report([DataDriftPreset()]).run(current_data=current, reference_data=train)
    result.save_html(str(folder / f"peer-{os.getpid()}.html"))
    return int(result.dict()["metrics"][0]["value"]["count"])


WORK = {"ours": _ours, "peer": _peer}


if __name__ == "__main__":
    main()

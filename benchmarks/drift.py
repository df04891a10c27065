"""The drift report on a million rows: time, memory, and how often its verdicts are right.

The peer is Evidently's own report on all rows. Ours samples rows by digest, so neither its memory
nor its tests grow with them, and it spends its time on 299 divisions that tell drift from chance.

What sampling loses is measured against the same methods of Evidently on all rows. The truth is
known, because the columns are drawn here. In a `moved` table 9 of 20 have moved by 0.2, 0.5 or 1.0
standard deviations (or shares of one category by as much), in a `free` one none has, and in one
moved `anyhow` each has by a random amount between nothing and a whole deviation, so that some come
to lie just beside the threshold. Power is what Evidently's thresholds leave of it: a PSI of 0.1 is
more than 0.2 deviations of a normal column, on however many rows.
"""

from __future__ import annotations

import argparse
import itertools
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

from benchmarks.common import ROOT, conclude, print_table
from components.drift.detection import Comparison, compare
from components.drift.options import DriftOptions
from components.drift.scoring import Method
from components.drift.sides import Descriptor, Measured

ROWS = 1_000_000
COLUMNS = 20
NUMBERS = 14
EFFECTS = (0.2, 0.5, 1.0)
METHODS = {"wasserstein": 0.1, "ks": 0.05, "psi": 0.1, "jensenshannon": 0.1}
KINDS = ("moved", "free", "anyhow")
GOALS = {"seconds": 60.0, "gigabytes": 1.5, "agreement": 0.99}
_SAMPLED = DriftOptions().max_rows


def main() -> None:
    """Prints the figures, beside what the project aims at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="Rows of each side.")
    parser.add_argument("--repeats", type=int, default=3, help="Tables of each kind.")
    parser.add_argument("--reports", type=int, default=60, help="Shift-free reports of a method.")
    for name in WORK:
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    for name, work in WORK.items():
        if getattr(chosen, name):
            _timed(work, getattr(chosen, name))
            return
    figures = _timings(chosen.rows)
    table, agreed = [], []
    for method, found in simulations(chosen.rows, chosen.repeats, chosen.reports).items():
        agreed += found["agreed"]
        table.append(
            [
                method,
                *(f"{statistics.mean(found['power', effect]):.0%}" for effect in EFFECTS),
                f"{sum(found['alarms'])} of {len(found['alarms'])}",
                f"{sum(found['thresholds'])} of {len(found['thresholds'])}",
                _share(found["agreed"]),
                _share(found["agreed", "anyhow"]),
            ]
        )
        figures[f"agreement_{method}"] = statistics.mean(found["agreed"])
        figures[f"false_alarms_{method}"] = statistics.mean(found["alarms"])
    print_table(
        f"{_SAMPLED:,} sampled rows of {chosen.rows:,}",
        [
            "method",
            *(f"power at {effect}" for effect in EFFECTS),
            "reports with a false alarm",
            "by thresholds alone, all rows",
            "columns judged as on all rows",
            "of them in tables moved anyhow",
        ],
        table,
    )
    figures["agreement"] = statistics.mean(agreed)
    conclude("drift", figures, GOALS, lower_is_better=["seconds", "gigabytes"])


def _timings(rows: int) -> dict[str, float]:
    """The whole report in processes of their own: ours three times, and the peer once."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows)
        mine = [_apart("ours", Path(folder)) for _ in range(3)]
        peer = _apart("peer", Path(folder))
    keys = ("seconds", "cpu_seconds", "gigabytes")
    ours = {key: statistics.median(run[key] for run in mine) for key in keys}
    print_table(
        f"report on {rows:,} rows x {COLUMNS} columns on either side, ours the median of 3 runs",
        ["", "seconds", "CPU seconds", "peak memory, GB", "columns moved (9 did)"],
        [
            ["loomline", *ours.values(), mine[0]["moved"]],
            ["evidently, all rows", *(peer[key] for key in keys), peer["moved"]],
        ],
    )
    return {**ours, **{f"peer_{key}": peer[key] for key in keys}}


def _share(agreed: list[bool]) -> str:
    return f"{statistics.mean(agreed):.2%} of {len(agreed):,}"


# --- Tables of which the truth is known ---------------------------------------------------------


def descriptors() -> list[Descriptor]:
    """Names of the columns: numbers of several shapes, then categories."""
    return [
        Descriptor(f"column_{place}", f"column {place}", categorical=place >= NUMBERS)
        for place in range(COLUMNS)
    ]


def effects(kind: str, rng: np.random.Generator) -> list[float]:
    """By how many standard deviations each column of a table moves; see `KINDS`."""
    if kind == "anyhow":
        return [float(move) for move in rng.uniform(0, 1, COLUMNS)]
    moved = {place: EFFECTS[place // 2 % 3] for place in range(0, COLUMNS - 2, 2)}
    return [moved.get(place, 0.0) if kind == "moved" else 0.0 for place in range(COLUMNS)]


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


Found = dict[Any, list[bool]]


def simulations(rows: int, repeats: int, reports: int) -> dict[str, Found]:
    """Verdicts of each method on samples, beside those on all rows of the same tables."""
    found: dict[str, Found] = {method: defaultdict(list) for method in METHODS}
    for kind, repeat in itertools.product(KINDS, range(repeats)):
        rng = np.random.default_rng([repeat, KINDS.index(kind)])
        moves = effects(kind, rng)
        whole = [draw(rng, rows, [0.0] * COLUMNS), draw(rng, rows, moves)]
        for method, one in found.items():
            _beside_all_rows(method, whole, kind, moves, one)
        print(f"progress: {kind} table {repeat + 1} of {repeats}", flush=True)
    for report in range(reports):
        rng = np.random.default_rng([report, len(KINDS)])
        sampled = [draw(rng, min(_SAMPLED, rows), [0.0] * COLUMNS) for _ in range(2)]
        for method, one in found.items():
            one["alarms"].append(_sampled(method, sampled).moved)
    return found


def _sampled(method: str, sides: list[list[NDArray[Any]]]) -> Comparison:
    """What a report finds in the first rows, which are a sample."""
    before, after = (Measured(descriptors(), [one[:_SAMPLED] for one in side]) for side in sides)
    options = DriftOptions(method=method, threshold=METHODS[method])
    return compare({"data": (before, after)}, options, None)["data"]


def _beside_all_rows(
    method: str, whole: list[list[NDArray[Any]]], kind: str, moves: list[float], found: Found
) -> None:
    """The verdict on each column of a table, and that of its method on all rows."""
    columns = {column.descriptor.name: column for column in _sampled(method, whole).columns}
    by_threshold = []
    for name, before, after, move in zip(descriptors(), *whole, moves, strict=True):
        column = columns[name.name]
        judge = Method(column.method, name.categorical, "benchmark")
        score = judge.score(before, after)

        def passes(limit: float, score: float = score, falling: bool = judge.falling) -> bool:
            return score < limit if falling else score > limit

        agreed = column.drifted == passes(column.limit)
        found["agreed"].append(agreed)
        found["agreed", kind].append(agreed)
        by_threshold.append(passes(column.threshold))
        if kind == "moved" and move:
            found["power", move].append(column.drifted)
    if kind == "free":
        found["thresholds"].append(any(by_threshold))


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
            columns = draw(rng, count, effects("moved" if shifted else "free", rng))
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
    begun, spent = time.perf_counter(), time.process_time()
    moved = work(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - spent,
        "gigabytes": peak / 1e9,
        "moved": moved,
    }
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

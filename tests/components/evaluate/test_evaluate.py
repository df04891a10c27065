"""The evaluate step on a real SavedModel and real examples."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.artifacts import EVAL, Evaluation, Examples, Figure, Model
from components.errors import DataError, ModelError
from components.evaluate.evaluate import run
from components.evaluate.options import EvaluateOptions

OPTIONS = EvaluateOptions(samples=16, sample_tokens=48, copy_characters=10, bootstrap=200)


@pytest.fixture(scope="module")
def evaluated(
    examples: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Evaluation, dict[str, Figure]]:
    path = tmp_path_factory.mktemp("evaluated") / "evaluation"
    return Evaluation(path), run(examples, model, OPTIONS, None, path)


def test_bits_per_byte_is_what_the_model_truly_spends(
    evaluated: tuple[Evaluation, dict[str, Figure]], examples: Path, spent_bits: float
) -> None:
    texts = rows(examples, EVAL, "text")
    expected = spent_bits / sum(len(text.encode()) + 1 for text in texts)
    figure = evaluated[1]["bits_per_byte"]
    assert figure.value == pytest.approx(expected, rel=1e-4)
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    assert figure.samples == len(set(rows(examples, EVAL, "document_id")))


def test_every_figure_is_written_and_finite(
    evaluated: tuple[Evaluation, dict[str, Figure]], model: Path, examples: Path
) -> None:
    written, figures = evaluated
    assert written.figures() == figures
    expected = {
        "bits_per_byte", "perplexity", "bits_per_byte_minus_xz", "bits_per_byte_minus_5gram",
        "distinct_1", "distinct_2", "distinct_3", "repetition", "mean_tokens", "ended_share",
        "longest_copy", "copy_share", "model_bytes", "decode_tokens_per_second",
        *(f"yardsticks.{name}" for name in
          ("byte_unigram", "byte_trigram", "byte_5gram", "xz", "xz_alone")),
    }  # fmt: skip
    assert expected <= set(figures)
    assert "bits_per_byte_minus_champion" not in figures
    assert all(math.isfinite(figure.value) for figure in figures.values())
    content = json.loads(written.json_path.read_text())
    assert content["champion"] is None
    assert content["model_digest"] == Model(model).digest()
    assert content["eval_digest"] == Examples(examples).digest(EVAL)


def test_the_bigram_stands_between_the_unigram_and_the_trigram(
    evaluated: tuple[Evaluation, dict[str, Figure]],
) -> None:
    figures = evaluated[1]
    ladder = [
        figures[name].value
        for name in ("yardsticks.byte_unigram", "bits_per_byte", "yardsticks.byte_trigram")
    ]
    assert ladder == sorted(ladder, reverse=True)
    paired = figures["bits_per_byte_minus_5gram"]
    assert paired.value == pytest.approx(
        figures["bits_per_byte"].value - figures["yardsticks.byte_5gram"].value
    )
    assert paired.low is not None
    assert paired.low > 0


def test_scores_stand_for_every_held_out_row_in_order(
    evaluated: tuple[Evaluation, dict[str, Figure]], examples: Path
) -> None:
    table = pq.read_table(evaluated[0].scores_path).to_pydict()
    texts = rows(examples, EVAL, "text")
    assert table["example_id"] == rows(examples, EVAL, "example_id")
    assert table["document_id"] == rows(examples, EVAL, "document_id")
    assert table["num_bytes"] == [len(text.encode()) for text in texts]
    assert table["num_tokens"] == [len(text.encode()) + 1 for text in texts]
    total = sum(table["nll"]) / math.log(2) / sum(size + 1 for size in table["num_bytes"])
    assert evaluated[1]["bits_per_byte"].value == pytest.approx(total)


def test_samples_can_be_generated_again_from_their_prompts_and_seeds(
    evaluated: tuple[Evaluation, dict[str, Figure]], model: Path, examples: Path
) -> None:
    import tensorflow as tf

    samples = pq.read_table(evaluated[0].samples_path).to_pydict()
    assert len(samples["text"]) == OPTIONS.samples
    assert "" in samples["prompt"]
    held_out = rows(examples, EVAL, "text")
    assert all(any(text.startswith(prompt) for text in held_out) for prompt in samples["prompt"])
    assert all(count <= OPTIONS.sample_tokens for count in samples["num_tokens"])
    found = tf.saved_model.load(str(Model(model).saved_model)).signatures["generate"](
        prompt=tf.constant(samples["prompt"][1:2]),
        max_new_tokens=tf.constant([OPTIONS.sample_tokens]),
        temperature=tf.constant([OPTIONS.temperature], tf.float32),
        top_k=tf.constant([OPTIONS.top_k]),
        top_p=tf.constant([OPTIONS.top_p], tf.float32),
        seed=tf.constant(samples["seed"][1:2], tf.int64),
    )
    assert found["text"].numpy()[0].decode(errors="replace") == samples["text"][1]


def test_the_page_escapes_hostile_text_and_says_what_was_extrapolated(
    evaluated: tuple[Evaluation, dict[str, Figure]],
) -> None:
    page = evaluated[0].html_path.read_text()
    assert "<script" not in page
    assert "bits per byte (95%:" in page
    assert "worse than" in page
    assert "a 5-gram (" in page
    assert "extrapolation, not measured" in page
    assert "Kneser-Ney" in page


def test_a_champion_with_other_records_is_scored_anew(
    examples: Path, weaker: Path, model: Path, tmp_path: Path
) -> None:
    version = tmp_path / "models" / "text" / "7"
    shutil.copytree(Model(weaker).saved_model, version)
    figures = run(examples, model, OPTIONS, version, tmp_path / "evaluation")
    better = figures["bits_per_byte_minus_champion"]
    assert better.high is not None
    assert better.high < 0
    champion = Evaluation(tmp_path / "evaluation").read()["champion"]
    assert champion["version"] == 7
    other = champion["figures"]["bits_per_byte"]["value"]
    assert better.value == pytest.approx(figures["bits_per_byte"].value - other)
    assert "version now served" in Evaluation(tmp_path / "evaluation").html_path.read_text()


def test_a_champion_judged_by_the_same_texts_is_not_scored_again(
    evaluated: tuple[Evaluation, dict[str, Figure]], examples: Path, model: Path, tmp_path: Path
) -> None:
    version = tmp_path / "models" / "text" / "3"
    shutil.copytree(Model(model).saved_model, version)
    shutil.copytree(evaluated[0].path, version / "loomline")
    # A record that only reading it can tell: every score is halved.
    table = pq.read_table(version / "loomline" / "scores.parquet")
    place = table.schema.get_field_index("nll")
    halved = table.set_column(place, "nll", [np.asarray(table.column("nll")) / 2])
    pq.write_table(halved, version / "loomline" / "scores.parquet")
    figures = run(examples, model, OPTIONS, version, tmp_path / "evaluation")
    assert figures["bits_per_byte_minus_champion"].value == pytest.approx(
        figures["bits_per_byte"].value / 2
    )
    champion = Evaluation(tmp_path / "evaluation").read()["champion"]
    assert champion["figures"]["repetition"]["value"] == evaluated[1]["repetition"].value


def test_a_champion_whose_files_were_altered_is_scored_anew(
    evaluated: tuple[Evaluation, dict[str, Figure]], examples: Path, model: Path, weaker: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    version = tmp_path / "models" / "text" / "3"
    shutil.copytree(Model(weaker).saved_model, version)
    shutil.copytree(evaluated[0].path, version / "loomline")
    figures = run(examples, model, OPTIONS, version, tmp_path / "evaluation")
    assert figures["bits_per_byte_minus_champion"].value < -0.01


def test_a_missing_model_is_one_clear_line(examples: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a SavedModel at"):
        run(examples, tmp_path / "nothing", OPTIONS, None, tmp_path / "evaluation")
    assert not (tmp_path / "evaluation").exists()


def test_a_model_that_diverged_is_refused(examples: Path, diverged: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected finite scores"):
        run(examples, diverged, OPTIONS, None, tmp_path / "evaluation")


def test_no_held_out_rows_is_one_clear_line(model: Path, one_split: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected rows in the eval split"):
        run(one_split, model, OPTIONS, None, tmp_path / "evaluation")


def rows(examples: Path, split: str, column: str) -> list[str]:
    return [
        value
        for batch in Examples(examples).batches(split, [column])
        for value in batch.column(column).to_pylist()
    ]

"""Better models get better figures; what is wrong with a model shows in the figure meant for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.artifacts import EVAL, TRAIN, Evaluation, Examples, Figure, Model
from components.errors import DataError, ModelError
from components.evaluate.image.evaluate import run
from components.evaluate.image.options import EvaluateImageOptions
from components.gate.champion import read_champion
from components.gate.options import Rule
from components.gate.rules import judge

OPTIONS = EvaluateImageOptions(
    samples=240, classifier_rows=600, classifier_epochs=12, resamples=30, neighbours=3
)
SaveModel = Callable[..., Path]


@pytest.fixture(scope="module")
def written(
    examples: Path, good: Path, noisy: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Figure]]:
    """The evaluation of the good model, with the noisy one as the champion."""
    folder = tmp_path_factory.mktemp("evaluation")
    champion = folder / "served" / "4"
    shutil.copytree(Model(noisy).saved_model, champion)
    return folder, run(examples, good, OPTIONS, champion, folder)


def test_a_good_model_lies_near_the_floor_and_far_from_the_baseline(
    written: tuple[Path, dict[str, Figure]],
) -> None:
    figures = written[1]
    assert figures["classifier_accuracy"].value >= 0.95
    assert figures["conditional_accuracy"].value >= 0.9
    ratio = figures["conditional_accuracy"].value / figures["classifier_accuracy"].value
    assert figures["conditional_accuracy_ratio"].value == pytest.approx(ratio)
    for name in ("frechet_distance", "kernel_distance"):
        ours, floor, baseline = (figures[f"{p}{name}"] for p in ("", "floor.", "baseline."))
        assert abs(ours.value - floor.value) < 0.2 * (baseline.value - floor.value)
        assert ours.low is not None
        assert ours.high is not None
        assert ours.low < ours.value < ours.high < baseline.value
    for name in ("precision", "recall", "mode_coverage"):
        assert figures[name].value > 0.7, name
    assert figures["recall"].value > figures["baseline.recall"].value
    assert figures["images_per_second"].value > 0
    # Not far above that of held-out images: it recites no training image.
    nearest, usual = figures["nearest_train"], figures["floor.nearest_train"]
    assert nearest.low is not None
    assert nearest.low <= usual.value
    assert nearest.samples == usual.samples == 240


def test_each_class_has_its_accuracy(written: tuple[Path, dict[str, Figure]]) -> None:
    figures = written[1]
    names = ("cross", "ring", "disc_full")
    found = [figures[f"conditional_accuracy.{name}"] for name in names]
    assert [figure.samples for figure in found] == [80, 80, 80]
    mean = sum(figure.value for figure in found) / 3
    assert figures["conditional_accuracy"].value == pytest.approx(mean)


def test_a_worse_champion_is_beaten_by_paired_differences(
    written: tuple[Path, dict[str, Figure]],
) -> None:
    folder, figures = written
    champion = Evaluation(folder).read()["champion"]
    assert champion["version"] == 4
    for name in ("frechet_distance", "kernel_distance"):
        gap = figures[f"{name}_minus_champion"]
        assert gap.value == pytest.approx(
            figures[name].value - champion["figures"][name]["value"], abs=1e-9
        )
        assert gap.high is not None
        assert gap.high < 0
    # The gate reads them under these names.
    rule = Rule(metric="evaluation.frechet_distance", at_most="champion")
    measured = {f"evaluation.{name}": figure for name, figure in figures.items()}
    known = read_champion(folder / "served" / "4", Evaluation(folder))
    judgement = judge(rule, measured, known)
    assert judgement.verdict == "pass"
    assert f"{figures['frechet_distance_minus_champion'].value:+.4g}" in judgement.reason


def test_the_artifact_holds_samples_figures_and_a_page(
    written: tuple[Path, dict[str, Figure]], examples: Path, good: Path
) -> None:
    evaluation = Evaluation(written[0])
    assert evaluation.figures() == written[1]
    content = evaluation.read()
    assert content["model_digest"] == Model(good).digest()
    assert content["eval_digest"] == Examples(examples).digest(EVAL)
    assert "classifier" in content["features"]
    samples = pq.read_table(evaluation.samples_path)
    assert samples.column_names == ["label", "seed", "image"]
    assert samples.num_rows == 240
    assert all(image.startswith(b"\x89PNG") for image in samples.column("image").to_pylist())
    html = evaluation.html_path.read_text()
    assert html.count("data:image/png;base64,") >= 4
    assert "disc/full" in html
    assert "version 4" in html
    assert "http://" not in html
    assert "https://" not in html


def test_the_same_seed_gives_the_same_figures(
    written: tuple[Path, dict[str, Figure]], examples: Path, good: Path, tmp_path: Path
) -> None:
    again = run(examples, good, OPTIONS, None, tmp_path)
    for name in ("precision", "conditional_accuracy", "nearest_train", "classifier_accuracy"):
        assert again[name] == written[1][name]
    close = pytest.approx(written[1]["frechet_distance"].value, rel=1e-3)
    assert again["frechet_distance"].value == close
    assert Evaluation(tmp_path).read()["champion"] is None
    assert not [name for name in again if name.endswith("_minus_champion")]


def test_a_model_that_recites_is_seen(
    examples: Path, save_model: SaveModel, tmp_path: Path
) -> None:
    figures = run(examples, save_model(memory=True), OPTIONS, None, tmp_path)
    nearest, usual = figures["nearest_train"], figures["floor.nearest_train"]
    assert nearest.value > 0.9
    assert nearest.low is not None
    assert usual.high is not None
    assert nearest.low > usual.high
    assert "more than held-out images are" in Evaluation(tmp_path).html_path.read_text()


def test_drawing_the_wrong_class_leaves_the_distance_and_ruins_the_accuracy(
    written: tuple[Path, dict[str, Figure]],
    examples: Path,
    save_model: SaveModel,
    tmp_path: Path,
) -> None:
    figures = run(examples, save_model(confuse=True), OPTIONS, None, tmp_path)
    assert figures["conditional_accuracy"].value < 0.1
    assert figures["frechet_distance"].value < figures["baseline.frechet_distance"].value / 2


def test_images_without_classes_are_judged_and_the_report_says_by_what(
    write_examples: Callable[..., Path], save_model: SaveModel, tmp_path: Path
) -> None:
    examples = write_examples(tmp_path / "examples", labels=False)
    good, bad = (
        run(examples, save_model(noise=noise, labels=False), OPTIONS, None, tmp_path / str(noise))
        for noise in (0.0, 60.0)
    )
    assert good["frechet_distance"].value < bad["frechet_distance"].value / 2
    assert not [name for name in good if "accuracy" in name]
    assert "untaught" in Evaluation(tmp_path / "0.0").read()["features"]
    assert "untaught" in Evaluation(tmp_path / "0.0").html_path.read_text()


def test_a_split_without_images_is_refused_in_one_line(
    write_examples: Callable[..., Path], good: Path, tmp_path: Path
) -> None:
    examples = Examples(write_examples(tmp_path / "examples", train=6, held_out=3))
    manifest = json.loads(examples.manifest_path.read_text())
    manifest["splits"][TRAIN]["rows"] = 0
    examples.manifest_path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="images in the train split"):
        run(examples.path, good, OPTIONS, None, tmp_path / "evaluation")
    assert not (tmp_path / "evaluation").exists()


def test_a_model_that_draws_nothing_is_refused(examples: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    class Other(tf.Module):  # type: ignore[misc]
        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[tf.TensorSpec([None], tf.string, "text")]
        )
        def score(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"nll": tf.cast(tf.strings.length(text), tf.float32)}

    module = Other()
    tf.saved_model.save(module, str(tmp_path / "saved_model"), signatures={"score": module.score})
    with pytest.raises(ModelError, match=r"generate\(label, seed.*Received: score"):
        run(examples, tmp_path, OPTIONS, None, tmp_path / "evaluation")


def test_a_model_that_refuses_is_told_in_one_line(good: Path) -> None:
    import tensorflow as tf

    from components.evaluate.image.served_images import ServedImages

    served = ServedImages(Model(good).saved_model)
    served._others = {"temperature": tf.constant([1.0], tf.float32)}
    with pytest.raises(ModelError, match="own default is asked for") as raised:
        served.draw(["ring"])
    assert "\n" not in str(raised.value)

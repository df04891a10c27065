"""Planted shifts of images are found and named, and images that did not shift raise no alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts import Drift, Evaluation, Examples, Model, Published
from components.drift.detection import compare
from components.drift.domain import domain_test
from components.drift.drift import run
from components.drift.image.sides import sides
from components.drift.options import DriftOptions
from components.drift.reference import read_reference, write_reference
from components.errors import DataError

Draw = Callable[..., list[tuple[str, bytes]]]
Write = Callable[..., Path]
OPTIONS = DriftOptions(max_rows=400)


def _moved(drift: Path, comparison: str) -> dict[str, dict[str, Any]]:
    columns = Drift(drift).read()["comparisons"][comparison]["columns"]
    return {column["descriptor"]: column for column in columns if column["drifted"]}


@pytest.mark.parametrize("grey", [False, True])
def test_images_of_the_same_world_raise_no_alarm(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path, grey: bool
) -> None:
    pictures = {"train": draw(300, 0, grey=grey), "current": draw(300, 1, grey=grey)}
    samples = write_samples(draw(90, 2, grey=grey))
    figures = run(write_examples(pictures), samples, OPTIONS, tmp_path / "drift")
    assert figures["data.columns_drifted"].value == 0
    assert figures["output.columns_drifted"].value == 0
    assert figures["data.domain_auc"].value == pytest.approx(0.5, abs=0.06)
    content = Drift(tmp_path / "drift").read()
    assert not content["comparisons"]["data"]["domain"]["auc"] > 0.56
    assert content["suggestions"] == []
    assert "look like the training images" in content["headline"]
    assert content["comparisons"]["data"]["chance_over"] == "images"
    assert ("score.colourfulness" in " ".join(figures)) is not grey


SHIFTS = {
    "brightness": (lambda pixels, rng: 0.8 * pixels, "brightness", -1),
    "contrast": (lambda pixels, rng: 127 + 0.7 * (pixels - 127), "contrast", -1),
    "noise": (lambda pixels, rng: pixels + rng.normal(0, 12, pixels.shape), "noise", 1),
    "colour": (
        lambda pixels, rng: pixels.mean(axis=-1, keepdims=True) + 0 * pixels,
        "saturation",
        -1,
    ),
}


def test_planted_shifts_are_found_and_named(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    evaluation = Evaluation(write_samples(draw(60, 2)))
    training = draw(200, 0)
    pairs = {}
    for name, (change, _, _) in SHIFTS.items():
        pictures = {"train": training, "current": draw(200, 1, change=change)}
        examples = Examples(write_examples(pictures, name))
        pairs[name] = sides(examples, evaluation, OPTIONS, None)["data"]
    found = compare(pairs, DriftOptions(), tmp_path / "details.html", items="images")
    for name, (_, descriptor, sign) in SHIFTS.items():
        moved = {column.descriptor.name: column for column in found[name].drifted}
        assert moved[descriptor].effect * sign > 0.3, name
        assert not moved.keys() & {"class", "width", "height"}
        test = found[name].domain
        assert test is not None
        assert test.drifted
        assert test.auc > 0.75, name


def test_another_mix_of_classes_is_found_in_the_data_and_allowed_in_samples(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    """Samples are drawn class by class: the reference takes on their mix."""
    rare = ["disc"] * 8 + ["square", "stripe"]
    examples = write_examples({"train": draw(400, 0, rare), "current": draw(300, 1)})
    figures = run(examples, write_samples(draw(90, 2)), OPTIONS, tmp_path / "drift")
    column = _moved(tmp_path / "drift", "data")["class"]
    assert column["category"] == "disc"
    assert column["reference_mean"] == pytest.approx(0.8)
    assert column["current_mean"] == pytest.approx(1 / 3)
    content = Drift(tmp_path / "drift").read()
    assert "'disc' among classes went from 80.0% to 33.3%" in content["headline"]
    assert any("mix of classes" in line for line in content["suggestions"])
    assert figures["output.columns_drifted"].value == 0
    assert "output.score.class" not in figures


def test_images_of_another_size_are_measured_alike_and_their_size_is_told(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    def larger(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.kron(pixels, np.ones((2, 2, 1)))

    examples = write_examples({"train": draw(60, 0), "current": draw(60, 1, change=larger)})
    evaluation = Evaluation(write_samples(draw(60, 2)))
    before, after = sides(Examples(examples), evaluation, OPTIONS, None)["data"]
    names = [descriptor.name for descriptor in before.descriptors]
    means = {
        name: (before.columns[place].mean(), after.columns[place].mean())
        for place, name in enumerate(names)
        if name in ("width", "height", "brightness")
    }
    assert means["width"] == means["height"] == (24, 48)
    assert means["brightness"][0] == pytest.approx(means["brightness"][1], abs=0.03)


def test_a_blurred_model_is_told_to_train_longer(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    def blur(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for axis in (0, 1, 0, 1):
            pixels = (np.roll(pixels, 1, axis) + pixels + np.roll(pixels, -1, axis)) / 3
        return pixels

    examples = write_examples({"train": draw(300, 0)})
    figures = run(examples, write_samples(draw(90, 1, change=blur)), OPTIONS, tmp_path / "drift")
    assert {name.partition(".")[0] for name in figures} == {"output"}
    assert _moved(tmp_path / "drift", "output")["sharpness"]["effect"] < 0
    content = Drift(tmp_path / "drift").read()
    assert any("blurred" in line for line in content["suggestions"])
    html = Drift(tmp_path / "drift").html_path.read_text("utf-8")
    assert html.count('src="data:image/png;base64,') == 48
    assert "Generated images against training images" in html
    assert "text" not in content["headline"]


class _Encoder(tf.Module):
    """Embeds an image by its upper left pixel alone."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def embed(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.map_fn(
            lambda data: tf.cast(tf.io.decode_png(data, channels=3)[0, 0], tf.float32),
            image,
            fn_output_signature=tf.TensorSpec([3], tf.float32),
        )
        return {"embedding": pixels}


def test_the_sides_are_told_apart_by_the_embeddings_of_the_model(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    """The pixel is white everywhere, so what all else shows plainly, this encoder cannot see."""
    encoder = _Encoder()
    model = Model(tmp_path / "model")
    tf.saved_model.save(encoder, str(model.saved_model), signatures={"embed": encoder.embed})

    def dark_inside(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        pixels[4:] *= 0.5
        return pixels

    pictures = {"train": draw(90, 0), "current": draw(90, 1, change=dark_inside)}
    examples = Examples(write_examples(pictures))
    evaluation = Evaluation(write_samples(draw(60, 2)))
    plain = domain_test(*sides(examples, evaluation, OPTIONS, None)["data"])
    blind = domain_test(*sides(examples, evaluation, OPTIONS, model.path)["data"])
    assert plain is not None
    assert blind is not None
    assert plain.auc > 0.99
    assert blind.auc == pytest.approx(0.5)


@pytest.mark.parametrize("samples", [[], None])
def test_missing_samples_are_one_clear_line(
    draw: Draw,
    write_examples: Write,
    write_samples: Write,
    tmp_path: Path,
    samples: list[Any] | None,
) -> None:
    evaluation = tmp_path / "nowhere" if samples is None else write_samples(samples)
    with pytest.raises(DataError, match="expected generated samples"):
        run(write_examples({"train": draw(9, 0)}), evaluation, OPTIONS, tmp_path / "drift")


def test_an_empty_training_split_is_one_clear_line(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    examples = write_examples({"train": []})
    with pytest.raises(DataError, match="expected training images"):
        run(examples, write_samples(draw(9, 0)), OPTIONS, tmp_path / "drift")


def test_classes_that_users_ask_for_are_compared_with_training_images(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    examples = write_examples({"train": draw(300, 0)})
    asked = ["disc"] * 70 + ["hexagon"] * 30
    lines = [json.dumps({"inputs": {"label": [label], "seed": [1]}}) for label in asked]
    (tmp_path / "asked.jsonl").write_text("\n".join(lines) + "\n")
    options = DriftOptions(max_rows=400, prompts=str(tmp_path / "asked.jsonl"))
    figures = run(examples, write_samples(draw(90, 2)), options, tmp_path / "drift")
    assert figures["prompt.columns_drifted"].value == 1
    content = Drift(tmp_path / "drift").read()
    assert "30.0% of what users asked for is a class that the model never saw" in " ".join(
        content["comparisons"]["prompt"]["suggestions"]
    )


def test_training_images_of_another_version_are_compared_in_one_shape(
    draw: Draw, write_examples: Write, write_samples: Write, tmp_path: Path
) -> None:
    samples = write_samples(draw(90, 2))
    run(write_examples({"train": draw(300, 0)}), samples, OPTIONS, tmp_path / "first")
    version = Published(tmp_path / "models" / "1")
    version.provenance_folder.mkdir(parents=True)
    version.reference_path.write_bytes(Drift(tmp_path / "first").reference_path.read_bytes())
    darker = draw(300, 1, change=lambda pixels, _: pixels * 0.7)
    later = write_examples({"train": darker}, "later")
    figures = run(later, samples, OPTIONS, tmp_path / "drift", champion=version.path)
    assert "brightness" in _moved(tmp_path / "drift", "reference")
    assert figures["reference.domain_auc"].value > 0.8

    kept = read_reference(version.reference_path, "version 1")
    write_reference(version.reference_path, kept.side, {**kept.details, "shape": [8, 8, 3]})
    run(later, samples, OPTIONS, tmp_path / "other", champion=version.path)
    content = Drift(tmp_path / "other").read()
    assert "reference" not in content["comparisons"]
    assert "so they cannot be compared" in content["notes"]["reference"][0]

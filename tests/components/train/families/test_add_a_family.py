"""The how-to's family works as the text says: found by its file, trained, exported."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

import components.train.families as package
from components.artifacts import Model, TransformedExamples
from components.errors import ConfigError
from components.train.families import training
from components.train.families.image_export import ImageModel, save_model
from components.train.families.loop import FamilyTraining
from components.train.families.options import FamilyTrainOptions
from components.train.families.registry import families

HOW_TO = Path(__file__).parents[4] / "docs" / "how-to" / "add-a-family.md"
NAME = "components.train.families.image_pixels"


def _block(language: str) -> str:
    """The how-to's only code block in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    return str(found)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FamilyTrainOptions]:
    """The file of the how-to as a part of the package, and its configuration."""
    folder = tmp_path / "families"
    folder.mkdir()
    (folder / "image_pixels.py").write_text(_block("python"), "utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield FamilyTrainOptions.model_validate(yaml.safe_load(_block("yaml"))["train"])
    sys.modules.pop(NAME, None)


def test_the_file_alone_adds_the_family(added: FamilyTrainOptions) -> None:
    assert "pixels" in families("image")


def test_its_mean_and_deviation_are_those_of_the_data(
    added: FamilyTrainOptions, images: TransformedExamples, tmp_path: Path
) -> None:
    options = added.model_copy(update={"preview_every": 0})
    trained = FamilyTraining(images, options, tmp_path / "checkpoint", tmp_path / "logs")
    trained.run()

    batch = next(trained.examples.training(96, seed=0))
    of_class = batch["image"].numpy()[batch["label"].numpy() == 1]
    drawn = trained.family.sample(
        tf.ones([400], tf.int32), tf.range(400, dtype=tf.int64), temperature=tf.ones([400])
    ).numpy()
    np.testing.assert_allclose(drawn.mean(0), of_class.mean(0), atol=0.2)

    model = ImageModel(trained.family, images.statistics()["labels"], transform=None)
    save_model(model, tmp_path / "saved")
    generate = tf.saved_model.load(str(tmp_path / "saved")).signatures["generate"]
    answer = generate(
        label=tf.constant(["dot"]), seed=tf.constant([1], tf.int64), temperature=tf.constant([0.0])
    )
    pixels = tf.io.decode_png(answer["image"][0]).numpy() / 127.5 - 1
    np.testing.assert_allclose(pixels, of_class.mean(0), atol=0.15)


def test_without_a_transform_graph_what_reads_images_is_not_exported_in_silence(
    added: FamilyTrainOptions, images: TransformedExamples, tmp_path: Path
) -> None:
    options = added.model_copy(update={"steps": 2, "preview_every": 0})
    with pytest.raises(Exception, match="expected a transform graph"):
        training.run(
            images.path, tmp_path / "none", options, tmp_path / "checkpoints", tmp_path / "model",
            tmp_path / "logs",
        )  # fmt: skip
    assert list((tmp_path / "checkpoints").glob("*/checkpoint.npz"))  # nothing learned is lost
    assert not Model(tmp_path / "model").card_path.exists()


def test_an_option_it_does_not_have_is_refused(
    added: FamilyTrainOptions, images: TransformedExamples, tmp_path: Path
) -> None:
    wrong = added.model_copy(update={"family_options": {"deviation": 1}})
    with pytest.raises(ConfigError, match="pixels takes least_deviation"):
        FamilyTraining(images, wrong, tmp_path / "checkpoint", tmp_path / "logs")

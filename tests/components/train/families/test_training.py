"""Training any family: it learns, repeats itself by seed, survives a kill, and fails clearly."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util.event_pb2 import Event

from components.artifacts import Model, TransformedExamples
from components.errors import ConfigError, TrainingError
from components.train.families import training
from components.train.families.card import card
from components.train.families.loop import FamilyTraining
from components.train.families.options import FamilyTrainOptions

SMALL: dict[str, Any] = {
    # The family whose graphs are built fastest.
    "family": "vae",
    "family_options": {"width": 8, "latent": 4},
    "batch_size": 8,
    "steps": 40,
    "warmup_steps": 5,
    "eval_every": 10,
    "preview_every": 0,
    "learning_rate": 1e-3,
    "ema": 0.9,
}


def _train(images: TransformedExamples, folder: Path, **changed: Any) -> FamilyTraining:
    options = FamilyTrainOptions.model_validate({**SMALL, **changed})
    begun = FamilyTraining(images, options, folder / "checkpoint", folder / "logs")
    begun.run()
    return begun


def _dense_type(network: keras.Model) -> str:
    """What the first dense layer computes in."""
    found = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    return str(found[0].compute_dtype)


def _weights(trained: FamilyTraining) -> list[np.ndarray[Any, Any]]:
    return [weight.numpy() for weight in trained.learner.weights()]


def _events(folder: Path) -> list[Any]:
    """Every summary value of the event files of a folder, with its step."""
    found = []
    for path in folder.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = Event.FromString(record.numpy())
            found += [(event.step, value) for value in event.summary.value]
    return found


def test_the_held_out_loss_falls_and_the_best_averaged_weights_stay(
    images: TransformedExamples, tmp_path: Path
) -> None:
    trained = _train(images, tmp_path)

    described = card(trained)
    losses = [entry["eval_loss"] for entry in described["history"]]
    assert [entry["step"] for entry in described["history"]] == [10, 20, 30, 40]
    assert losses[-1] < 0.9 * losses[0]
    again = trained.learner.evaluate(trained.held_out)["loss"]
    assert again == pytest.approx(min(losses), abs=1e-5)
    assert 0 <= described["input_share"] < 1
    assert described["parameters"] == sum(described["parameters_of"].values()) > 0


def test_curves_gradients_and_previews_are_there_for_tensorboard(
    images: TransformedExamples, tmp_path: Path
) -> None:
    _train(images, tmp_path, preview_every=20)

    events = _events(tmp_path / "logs")
    names = {value.tag for _, value in events}
    assert {
        "loss", "gradient_norm", "gradient_not_finite", "learning_rate", "input_share",
        "held_out/loss", "samples",
    } <= names  # fmt: skip
    pictures = [(step, value) for step, value in events if value.tag == "samples"]
    assert [step for step, _ in pictures] == [20, 40]
    assert pictures[0][1].metadata.plugin_data.plugin_name == "images"
    width, height, png = pictures[0][1].tensor.string_val
    assert png == (tmp_path / "logs/previews/step-000020.png").read_bytes()
    # Three classes of six images each, 8 pixels across, at double size.
    assert tf.io.decode_png(png).shape == (int(height), int(width), 1) == (48, 96, 1)


@pytest.mark.parametrize("family", ["diffusion", "gan"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    images: TransformedExamples, tmp_path: Path, tiny: dict[str, Any], family: str
) -> None:
    runs = [
        _train(
            images,
            tmp_path / str(index),
            family=family,
            family_options=tiny[family],
            steps=4,
            dropout=0.2,
            seed=seed,
        )
        for index, seed in enumerate((1, 1, 2))
    ]

    first, second, third = map(_weights, runs)

    # Eigen's threads add a long sum's parts in the order in which they get ready: the last bit of a
    # weight may differ on a busy machine.
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert max(np.abs(one - other).max() for one, other in zip(first, third, strict=True)) > 0.01


def test_xla_learns_what_plain_tensorflow_learns(
    images: TransformedExamples, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    changed = {"steps": 10, "family": "vae", "family_options": tiny["vae"]}
    plain = card(_train(images, tmp_path / "plain", **changed))["eval_loss"]
    compiled = card(_train(images, tmp_path / "xla", xla=True, **changed))["eval_loss"]

    assert compiled == pytest.approx(plain, rel=0.05)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_and_leaves_a_model_in_float32(
    images: TransformedExamples, tmp_path: Path, precision: str
) -> None:
    trained = _train(images, tmp_path, precision=precision)

    losses = [entry["eval_loss"] for entry in trained.progress.history]
    assert losses[-1] < 0.95 * losses[0]
    assert _dense_type(trained.learner.networks["decoder"]) == precision.removeprefix("mixed_")
    portable = trained.portable_family().networks()
    assert _dense_type(portable["decoder"]) == "float32"
    weights = [weight for network in portable.values() for weight in network.get_weights()]
    for one, other in zip(weights, _weights(trained), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    images: TransformedExamples, tmp_path: Path
) -> None:
    changed = {"steps": 600, "eval_every": 100, "checkpoint_seconds": 1, "dropout": 0.1}
    program = (
        "import sys; from pathlib import Path; from components.artifacts import *; "
        "from components.train.families.options import FamilyTrainOptions; "
        "from components.train.families.loop import FamilyTraining; "
        "folder = Path(sys.argv[2]); "
        "options = FamilyTrainOptions.model_validate_json(sys.argv[3]); "
        "FamilyTraining(TransformedExamples(Path(sys.argv[1])), options, folder / 'checkpoint', "
        "folder / 'logs').run()"
    )
    chosen = FamilyTrainOptions.model_validate({**SMALL, **changed}).model_dump_json()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(images.path), str(tmp_path), chosen],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not (tmp_path / "checkpoint/checkpoint.npz").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    options = FamilyTrainOptions.model_validate({**SMALL, **changed})
    resumed = FamilyTraining(images, options, tmp_path / "checkpoint", tmp_path / "logs")
    assert 0 < resumed.progress.step < 600
    resumed.run()

    whole = _train(images, tmp_path / "whole", **changed)
    for one, other in zip(_weights(whole), _weights(resumed), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint_and_says_what_to_change(
    images: TransformedExamples, tmp_path: Path
) -> None:
    options = FamilyTrainOptions.model_validate({**SMALL, "eval_every": 5, "checkpoint_seconds": 1})
    begun = FamilyTraining(images, options, tmp_path / "checkpoint", tmp_path / "logs")
    plain = begun.family.loss

    def breaks_in_the_middle(player: str, batch: Any, seed: Any, training: bool) -> Any:
        loss, scalars = plain(player, batch, seed, training)
        late = begun.learner._optimizers["vae"].updates >= 20
        return tf.where(training & late, float("nan"), loss), scalars

    begun.family.loss = breaks_in_the_middle  # type: ignore[method-assign]
    begun._saved = -1e9  # so that the first evaluation also saves
    begun._printed = math.inf  # and not a step before it that took long enough to be told of
    with pytest.raises(TrainingError) as error:
        begun.run()

    message = str(error.value)
    kept = tmp_path / "checkpoint/checkpoint.npz"
    assert "at step 21" in message
    assert "Lower train.learning_rate (now 0.001)" in message
    assert f"train.start_from={kept}" in message
    gone_on = _train(images, tmp_path / "on", learning_rate=2e-4, start_from=str(kept))
    first = gone_on.progress.history[0]
    assert first["step"] == 5
    assert gone_on.progress.step == 40
    assert all(np.isfinite(weight).all() for weight in _weights(gone_on))


def test_gradients_that_stay_infinite_end_in_one_line(
    images: TransformedExamples, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"Lower train\.learning_rate"):
        _train(images, tmp_path, learning_rate=1e30, warmup_steps=0, clip_norm=1e30, steps=200)


def test_a_checkpoint_of_other_networks_is_refused(
    images: TransformedExamples, tmp_path: Path
) -> None:
    _train(images, tmp_path, steps=2)
    kept = tmp_path / "checkpoint/checkpoint.npz"

    with pytest.raises(ConfigError, match=r"train\.start_from: expected a checkpoint of the same"):
        _train(images, tmp_path / "other", start_from=str(kept), family_options={"width": 16})
    with pytest.raises(ConfigError, match="that can be read"):
        _train(images, tmp_path / "other", start_from=str(tmp_path / "nothing.npz"))


def test_training_stops_when_the_held_out_loss_no_longer_falls(
    images: TransformedExamples, tmp_path: Path
) -> None:
    # A rate this small moves no weight: the first evaluation stays the best.
    trained = _train(images, tmp_path, learning_rate=1e-30, eval_every=2, patience=3)

    assert trained.progress.step < 40


def test_a_budget_of_cpu_seconds_ends_training_with_the_lowest_rate(
    images: TransformedExamples, tmp_path: Path
) -> None:
    before = time.process_time()
    trained = _train(images, tmp_path, cpu_seconds=8, steps=1_000_000, eval_every=1_000_000)

    assert 8 <= time.process_time() - before < 16
    assert 0 < trained.progress.step < 1_000_000
    rates = [value for _, value in _events(tmp_path / "logs") if value.tag == "learning_rate"]
    last = tf.make_ndarray(rates[-1].tensor)
    assert last == pytest.approx(SMALL["learning_rate"] * 0.05, rel=0.3)
    assert [entry["step"] for entry in trained.progress.history] == [trained.progress.step]


def test_a_budget_used_up_before_the_first_step_still_gives_a_model_with_its_held_out_loss(
    images: TransformedExamples, tmp_path: Path
) -> None:
    trained = _train(images, tmp_path, cpu_seconds=0.001)

    assert trained.progress.step == 1
    assert card(trained)["best_step"] == 1


def test_a_learning_rate_of_0_is_found_by_a_range_test(
    images: TransformedExamples, tmp_path: Path
) -> None:
    trained = _train(images, tmp_path, learning_rate=0)

    assert 1e-5 < trained.learning_rate < 0.3
    losses = [entry["eval_loss"] for entry in trained.progress.history]
    assert losses[-1] < losses[0]


def test_a_run_writes_model_card_and_networks_and_forgets_its_checkpoint(
    images: TransformedExamples, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    options = FamilyTrainOptions.model_validate(
        {**SMALL, "family": "diffusion", "family_options": tiny["diffusion"]}
    )
    figures = training.run(
        images.path, tmp_path, options, tmp_path / "checkpoints", tmp_path / "model",
        tmp_path / "logs",
    )  # fmt: skip

    written = Model(tmp_path / "model").card()
    assert figures["eval_loss"] == written["eval_loss"]
    assert {"loss", "eval_loss", "steps", "seconds", "input_share"} <= set(figures)
    assert written["options"]["family_options"]["objective"] == "flow"
    assert written["labels"] == ["cross", "dot", "stripes"]
    assert set(written["versions"]) == {"tensorflow", "keras", "numpy"}
    loaded = keras.models.load_model(Model(tmp_path / "model").keras_path)
    assert sum(np.prod(v.shape) for v in loaded.trainable_variables) == written["parameters"]
    assert not list((tmp_path / "checkpoints").iterdir())


def test_what_changes_the_weights_changes_the_fingerprint(images: TransformedExamples) -> None:
    def named(**changed: Any) -> str:
        return training.fingerprint(images, FamilyTrainOptions.model_validate({**SMALL, **changed}))

    assert named() == named(checkpoint_seconds=5) == named(preview_every=7)
    assert len({named(), named(seed=1), named(family_options={}), named(steps=41)}) == 4

"""Training: it learns, repeats itself by seed, survives a kill, and refuses what it cannot use."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts import TransformedExamples
from components.errors import DataError, TrainingError
from components.train import windows
from components.train.decoder import Decoder
from components.train.events import Events
from components.train.learner import Learner
from components.train.options import TrainOptions
from components.train.text_previews import TextPreviews
from components.train.train import Training

SMALL = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "context": 8,
    "batch_size": 4,
    "steps": 40,
    "warmup_steps": 5,
    "eval_every": 10,
    "learning_rate": 1e-2,
    "xla": False,
}


def _write(path: Path, texts: int = 60) -> TransformedExamples:
    examples = TransformedExamples(path)
    random = np.random.default_rng(0)
    for split in ("train", "eval"):
        (path / split).mkdir(parents=True)
        with tf.io.TFRecordWriter(str(examples.shard_path(split, 0))) as writer:
            for _ in range(texts):
                tokens = (np.arange(random.integers(3, 12)) * 2 + random.integers(40)) % 40 + 1
                feature = tf.train.Feature(int64_list=tf.train.Int64List(value=tokens))
                content = tf.train.Features(feature={"tokens": feature})
                writer.write(tf.train.Example(features=content).SerializeToString())
    examples.write_statistics({"vocabulary_size": 41})
    return examples


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> TransformedExamples:
    return _write(tmp_path_factory.mktemp("examples"))


def _train(examples: TransformedExamples, folder: Path, **changed: Any) -> Training:
    options = TrainOptions.model_validate({**SMALL, **changed})
    training = Training(examples, options, folder / "checkpoints", folder / "logs")
    training.run()
    return training


def test_the_held_out_loss_falls_and_the_best_weights_stay(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    training = _train(examples, tmp_path)

    card = training.card()
    losses = [entry["eval_loss"] for entry in card["history"]]
    assert [entry["step"] for entry in card["history"]] == [10, 20, 30, 40]
    assert losses[-1] < losses[0] - 0.1
    again = training.learner.evaluate(training.evaluation)
    assert again == pytest.approx(min(losses), abs=1e-5)
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    runs = [
        _train(examples, tmp_path / str(index), steps=10, dropout=0.1, seed=seed)
        for index, seed in enumerate((1, 1, 2))
    ]

    first, second, third = (run.learner.model.numpy_weights() for run in runs)

    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    assert np.abs(first["blocks.0.qkv"] - third["blocks.0.qkv"]).max() > 1e-3


def test_xla_computes_what_plain_tensorflow_computes(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    plain = _train(examples, tmp_path / "plain", steps=10).card()["eval_loss"]
    compiled = _train(examples, tmp_path / "xla", steps=10, xla=True).card()["eval_loss"]

    assert compiled == pytest.approx(plain, abs=1e-3)


def test_muon_turns_a_matrix_alike_in_every_direction_and_adamw_does_not() -> None:
    options = TrainOptions.model_validate({**SMALL, "warmup_steps": 0, "weight_decay": 0})
    windows_of_tokens = np.random.default_rng(0).integers(0, 41, (4, 9)).astype("int32")
    spreads = {}
    for optimizer in ("muon", "adamw"):
        learner = Learner(Decoder(41, 8, 1, 16, 2), options, optimizer)
        before = learner.model.numpy_weights()["blocks.0.expand"]
        learner.train(windows_of_tokens)
        moved = learner.model.numpy_weights()["blocks.0.expand"] - before
        singular = np.linalg.svd(moved, compute_uv=False)
        spreads[optimizer] = singular[0] / np.median(singular)

    assert spreads["muon"] < 2 < spreads["adamw"]


def test_training_stops_when_the_held_out_loss_no_longer_falls(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    # A rate this small moves no weight: the first evaluation stays the best.
    card = _train(
        examples, tmp_path, learning_rate=1e-30, weight_decay=0, eval_every=2, patience=3
    ).card()

    assert card["steps"] < 40


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    changed = {"steps": 600, "eval_every": 200, "checkpoint_seconds": 1, "dropout": 0.1}
    changed |= {"ema": 0.9, "l1": 1e-6}
    program = (
        "import sys, json; from pathlib import Path; from components.artifacts import *; "
        "from components.train.options import TrainOptions; "
        "from components.train.train import Training; "
        "folder = Path(sys.argv[2]); options = TrainOptions(**json.loads(sys.argv[3])); "
        "Training(TransformedExamples(Path(sys.argv[1])), options, folder / 'checkpoints', "
        "folder / 'logs').run()"
    )
    chosen = TrainOptions.model_validate({**SMALL, **changed}).model_dump_json()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(examples.path), str(tmp_path), chosen],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not list(tmp_path.glob("checkpoints/*/checkpoint.npz")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    options = TrainOptions.model_validate({**SMALL, **changed})
    resumed = Training(examples, options, tmp_path / "checkpoints", tmp_path / "logs")
    assert 0 < resumed.progress.step < 600
    resumed.run()

    whole = _train(examples, tmp_path / "whole", **changed)
    for name, value in whole.learner.model.numpy_weights().items():
        np.testing.assert_allclose(resumed.learner.model.numpy_weights()[name], value, atol=1e-6)


def test_the_average_of_the_weights_is_judged_and_kept(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    plain = _train(examples, tmp_path / "plain", steps=10, eval_every=10)
    kept = _train(examples, tmp_path / "ema", steps=10, ema=0.5, eval_every=10).learner
    learner = Learner(Decoder(41, 8, 1, 16, 2), plain.options)
    batches = windows.training_batches(examples.shards("train"), 8, 4, 0, 0)
    average = learner.model.numpy_weights()
    for step in range(10):
        learner.train(next(batches))
        share = 1 - min(0.5, (1 + step) / (10 + step))
        for name, value in learner.model.numpy_weights().items():
            average[name] = average[name] + share * (value - average[name])
    for name, value in plain.learner.model.numpy_weights().items():
        np.testing.assert_allclose(learner.model.numpy_weights()[name], value, atol=1e-6)
        np.testing.assert_allclose(kept.model.numpy_weights()[name], average[name], atol=1e-5)
    last = learner.model.numpy_weights()["blocks.0.qkv"]
    assert np.abs(average["blocks.0.qkv"] - last).max() > 1e-3


def test_an_l1_penalty_leaves_smaller_matrices(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    sizes = {}
    for l1 in (0.0, 1.0):
        run = _train(examples, tmp_path / str(l1), l1=l1, weight_decay=0.0, clip_norm=1e9)
        weights = run.learner.model.numpy_weights()
        sizes[l1] = [
            float(np.abs(weights[n]).mean()) for n in ("blocks.0.qkv", "position_embedding")
        ]
    assert sizes[1.0][0] < 0.9 * sizes[0.0][0]
    assert sizes[1.0][1] > 0.9 * sizes[0.0][1]


def test_a_rate_of_0_is_found_once_and_kept_over_a_restart(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    training = _train(examples, tmp_path, learning_rate=0, checkpoint_seconds=1)
    found = training.options.learning_rate
    assert 1e-4 < found < 0.5
    losses = [entry["eval_loss"] for entry in training.card()["history"]]
    assert losses[-1] < losses[0]
    options = TrainOptions.model_validate({**SMALL, "learning_rate": 0, "checkpoint_seconds": 1})
    again = Training(examples, options, tmp_path / "checkpoints", tmp_path / "logs")
    assert again.progress.step == training.progress.step
    assert again.options.learning_rate == found


def test_previews_are_what_the_model_writes_by_now(tmp_path: Path) -> None:
    model = Decoder(300, 16, 1, 16, 2)

    def detokenize(tokens: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.reduce_join(tf.strings.as_string(tokens), axis=1, separator=" ")

    previews = TextPreviews(model, detokenize, tmp_path / "previews", Events(tmp_path))
    previews.write(1)
    # Logits are the embedding times the stream: this makes token 7 the likeliest, always.
    embedding = np.zeros((300, 16), "float32")
    embedding[7] = 100.0
    model.token_embedding.assign(embedding)
    model.position_embedding.assign(np.zeros((16, 16)))
    model.blocks[0].set_weights([np.zeros_like(weight) for weight in model.blocks[0].get_weights()])
    model.position_embedding.assign(np.tile(np.linspace(1, 2, 16, dtype="float32"), (16, 1)))
    model.final_norm.assign(np.linspace(1, 2, 16, dtype="float32"))
    previews.write(2)
    first, second = ((tmp_path / "previews" / f"step-{s:06d}.md").read_text() for s in (1, 2))
    assert first != second
    assert second == "\n\n".join(["> " + " ".join(["7"] * 15)] * 4) + "\n"


def test_a_loss_that_is_no_number_ends_in_one_line(
    examples: TransformedExamples, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"Lower train\.learning_rate"):
        _train(examples, tmp_path, learning_rate=1e38, warmup_steps=0, clip_norm=1e38)


def test_too_little_text_for_one_window_is_refused(tmp_path: Path) -> None:
    few = _write(tmp_path / "examples", texts=1)

    with pytest.raises(DataError, match="at least one window of 65 tokens"):
        _train(few, tmp_path, context=64)


def test_batches_after_a_resume_are_those_that_would_have_come(
    examples: TransformedExamples,
) -> None:
    shards = examples.shards("train")
    whole = windows.training_batches(shards, 8, 4, seed=5)
    seen = [next(whole) for _ in range(40)]

    resumed = windows.training_batches(shards, 8, 4, seed=5, start=25)

    np.testing.assert_array_equal(np.stack(seen[25:]), [next(resumed) for _ in range(15)])


def test_one_pass_predicts_every_token_once(examples: TransformedExamples) -> None:
    stream = np.concatenate(list(windows.token_stream(examples.shards("train"))))
    cut = list(windows.windows(examples.shards("train"), 9))

    targets = np.concatenate([window[1:] for window in cut])

    np.testing.assert_array_equal(targets, stream[1 : len(targets) + 1])
    assert len(stream) - len(targets) <= 8
    assert (stream == 0).sum() == 60

"""The train step on a mesh: TensorFlow starts it, JAX trains, TensorFlow exports what is served."""

from __future__ import annotations

import importlib.util
import json
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

from components import artifacts
from components.errors import ConfigError, TrainingError
from components.train.mesh_run import train_on_mesh
from components.train.options import TrainOptions
from components.train.train import run as train

OPTIONS = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "context": 8,
    "batch_size": 4,
    "steps": 12,
    "warmup_steps": 2,
    "eval_every": 6,
    "preview_every": 6,
    "ema": 0.5,
    "l1": 1e-5,
    "xla": False,
}
MESH = {"distribution": "model_parallel", "model_parallel": 2}
# The train step, as the pipeline's own process has it.
STEP = """
import sys
from pathlib import Path
from components.train.options import TrainOptions
from components.train.train import run
data, folder = Path(sys.argv[1]), Path(sys.argv[2])
options = TrainOptions.model_validate_json(sys.argv[3])
run(data / "transformed", data / "graph", options, folder / "checkpoints", folder / "model",
    folder / "logs")
"""


@pytest.fixture(autouse=True)
def _jax() -> None:
    pytest.importorskip("jax", reason="jax is missing: pip install 'loomline[jax]'")


def _devices(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("XLA_FLAGS", f"--xla_force_host_platform_device_count={count}")


def _train(data: Path, folder: Path, **changed: Any) -> artifacts.Model:
    options = TrainOptions.model_validate({**OPTIONS, **changed})
    places = (folder / "checkpoints", folder / "model", folder / "logs")
    train(data / "transformed", data / "graph", options, *places)
    return artifacts.Model(folder / "model")


def _assert_same_weights(
    model: artifacts.Model, expected: artifacts.Model, atol: float = 2e-6
) -> None:
    found, wanted = (
        keras.models.load_model(each.keras_path).numpy_weights() for each in (model, expected)
    )
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=atol, err_msg=name)


def _answers(model: artifacts.Model) -> tuple[bytes, np.ndarray[Any, Any]]:
    """What the SavedModel writes to a prompt, greedily, and how it reads a text."""
    signatures = tf.saved_model.load(str(model.saved_model)).signatures
    one = {"max_new_tokens": 6, "top_k": 0}
    asked = {name: tf.constant([value], tf.int32) for name, value in one.items()}
    asked |= {"temperature": tf.constant([0.0]), "top_p": tf.constant([1.0])}
    seed = tf.constant([0], tf.int64)
    written = signatures["generate"](prompt=tf.constant(["the"]), seed=seed, **asked)
    read = signatures["score"](text=tf.constant(["we meet again and the union stands"]))
    return written["text"].numpy()[0], read["nll"].numpy()


@pytest.mark.slow
def test_the_step_leaves_what_it_leaves_on_one_device(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _devices(monkeypatch, 2)

    model = _train(data, tmp_path / "mesh", **MESH)

    alone = _train(data, tmp_path / "alone")
    _assert_same_weights(model, alone)
    text, nll = _answers(model)
    assert text == _answers(alone)[0]
    np.testing.assert_allclose(nll, _answers(alone)[1], rtol=1e-5)
    card, expected = model.card(), alone.card()
    for found, wanted in zip(card["history"], expected["history"], strict=True):
        assert found["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
        assert found["eval_loss"] == pytest.approx(wanted["eval_loss"], abs=1e-5)
    assert card["mesh"]["replicas"] == 1
    assert card["mesh"]["bytes_on_a_device"] < 0.53 * card["mesh"]["bytes_of_variables"]
    assert card["options"]["distribution"] == "model_parallel"
    assert set(card) == {*expected, "mesh"}
    for name in ("previews/step-000006.md", "previews/step-000012.md"):
        texts = [(tmp_path / run / "logs" / name).read_bytes() for run in ("mesh", "alone")]
        assert texts[0] == texts[1]
    assert len(list((tmp_path / "mesh" / "logs").glob("events.out.tfevents.*"))) == 1
    assert not list((tmp_path / "mesh" / "checkpoints").iterdir())


def _progress(folder: Path) -> tuple[int, int]:
    """Step, and time of writing, of the one checkpoint; 0 where there is none."""
    for path in folder.glob("checkpoints/*/checkpoint.npz"):
        with np.load(path) as stored:
            return json.loads(str(stored["progress"]))["step"], path.stat().st_mtime_ns
    return 0, 0


@pytest.mark.slow
def test_a_killed_run_ends_whole_and_goes_on_with_other_devices(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # At a low rate rounding stays small, and what a resume would forget does not.
    changed = {"steps": 1000, "eval_every": 500, "checkpoint_seconds": 1, "preview_every": 0}
    changed |= {"learning_rate": 5e-4}
    chosen = TrainOptions.model_validate({**OPTIONS, **MESH, **changed}).model_dump_json()
    _devices(monkeypatch, 2)
    process = subprocess.Popen(
        [sys.executable, "-c", STEP, str(data), str(tmp_path / "mesh"), chosen],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not _progress(tmp_path / "mesh")[0]:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    time.sleep(0.5)
    left = _progress(tmp_path / "mesh")
    assert 0 < left[0] < 1000
    time.sleep(1.5)
    # The process that trained has not outlived the step's.
    assert _progress(tmp_path / "mesh") == left
    _devices(monkeypatch, 4)

    model = _train(data, tmp_path / "mesh", **MESH, **changed)

    assert f"progress: resuming at step {left[0]}/1000" in capfd.readouterr().out
    assert model.card()["mesh"]["replicas"] == 2
    alone = _train(data, tmp_path / "alone", **changed)
    assert model.card()["eval_loss"] == pytest.approx(alone.card()["eval_loss"], abs=1e-5)
    # As far as a run that was never broken comes from it by rounding, 3e-4 after so many steps.
    _assert_same_weights(model, alone, atol=1e-3)


@pytest.mark.slow
def test_more_devices_than_there_are_end_in_one_line_and_nothing_is_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _devices(monkeypatch, 1)

    with pytest.raises(TrainingError, match="a divisor of the number of devices, 1 here") as told:
        _train(data, tmp_path, **MESH)

    assert "\n" not in str(told.value)
    assert "Traceback" not in capfd.readouterr().err
    assert not (tmp_path / "model").exists()


def _refused(tmp_path: Path, message: str) -> None:
    options = TrainOptions.model_validate({**OPTIONS, **MESH})
    examples = artifacts.TransformedExamples(tmp_path)
    with pytest.raises(ConfigError, match=message):
        train_on_mesh(examples, options, tmp_path / "checkpoints", tmp_path / "logs", tmp_path)
    assert not list(tmp_path.iterdir())


def test_jax_that_is_not_installed_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    _refused(tmp_path, r"expected jax to be installed.*pip install 'loomline\[jax\]'")


def test_workers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))

    _refused(tmp_path, "expected one process.*a TF_CONFIG of 2 workers")

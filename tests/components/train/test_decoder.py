"""The decoder: saved and reloaded whole, causal, and the same under another backend."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from components.train.decoder import Decoder

TOKENS = np.random.default_rng(0).integers(0, 50, (2, 8)).astype("int32")


def _decoder(dropout: float = 0.0) -> Decoder:
    return Decoder(50, context=8, layers=2, width=16, heads=2, dropout=dropout, seed=3)


def test_saving_and_loading_keeps_every_logit(tmp_path: Path) -> None:
    model = _decoder()
    model.save(tmp_path / "model.keras")

    loaded = keras.models.load_model(tmp_path / "model.keras")

    np.testing.assert_array_equal(np.array(loaded(TOKENS)), np.array(model(TOKENS)))


def test_a_token_changes_no_logit_before_it() -> None:
    model = _decoder()
    changed = TOKENS.copy()
    changed[:, 5] = (changed[:, 5] + 1) % 50

    before, after = np.array(model(TOKENS)), np.array(model(changed))

    np.testing.assert_allclose(after[:, :5], before[:, :5], atol=1e-6)
    assert np.abs(after[:, 5:] - before[:, 5:]).max() > 1e-3


def test_numpy_weights_hold_every_parameter_once() -> None:
    model = _decoder()

    weights = model.numpy_weights()

    assert sum(value.size for value in weights.values()) == model.count_params()
    assert weights["blocks.1.qkv"].shape == (16, 48)
    assert {value.dtype for value in weights.values()} == {np.dtype("float32")}


def test_dropout_acts_in_training_only() -> None:
    model = _decoder(dropout=0.5)

    still = np.array(model(TOKENS))

    np.testing.assert_array_equal(still, np.array(model(TOKENS)))
    assert np.abs(still - np.array(model(TOKENS, training=True))).max() > 1e-3


def test_another_backend_computes_the_same(tmp_path: Path) -> None:
    model = _decoder()
    model.save(tmp_path / "model.keras")
    program = (
        "import sys, numpy, keras; import components.train.decoder; "
        "model = keras.models.load_model(sys.argv[1]); "
        "logits = model(numpy.load(sys.argv[2])); "
        "numpy.save(sys.argv[3], keras.ops.convert_to_numpy(logits))"
    )
    np.save(tmp_path / "tokens.npy", TOKENS)
    paths = [str(tmp_path / name) for name in ("model.keras", "tokens.npy", "logits.npy")]
    subprocess.run(
        [sys.executable, "-c", program, *paths],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )

    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), np.array(model(TOKENS)), atol=2e-5)

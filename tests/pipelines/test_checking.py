"""`loomline check` tells by exit code, table and file whether a model is fit to be served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from components.artifacts import PROVENANCE_FOLDER, WARMUP_FILE, saved_model_digest
from components.errors import ConfigError, LoomlineError, ModelError, SetupError
from components.serving_check.environments import ensure
from pipelines.checking import check


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a run, with a signature that adds noise to what it is given."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    module = tf.Module()
    one = tf.TensorSpec([None], tf.float32, "x")
    module.same = tf.function(lambda x: {"y": x + 1.0}, input_signature=[one])
    # Not `tf.random.normal`: that one follows the process's own seed, once one is set.
    module.noisy = tf.function(
        lambda x: {"y": x + tf.raw_ops.RandomStandardNormal(shape=tf.shape(x), dtype=x.dtype)},
        input_signature=[one],
    )
    path = tmp_path_factory.mktemp("run") / "model"
    signatures = {"same": module.same, "noisy": module.noisy}
    tf.saved_model.save(module, str(path / "saved_model"), signatures=signatures)
    warmup = path / "saved_model" / WARMUP_FILE
    warmup.parent.mkdir()
    with tf.io.TFRecordWriter(str(warmup)) as writer:
        for name in signatures:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = name
            request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros(3, np.float32)))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
    return path


@pytest.mark.slow
def test_a_difference_is_exit_code_3_and_named(model: Path) -> None:
    try:
        ensure("2.20")
    except SetupError as error:
        pytest.skip(f"no environment for TensorFlow 2.20: {error}")
    before = saved_model_digest(model / "saved_model")
    done = CliRunner().invoke(check, [str(model), "--tensorflow", "2.20"])
    assert done.exit_code == 3, done.output
    rows = {line.split()[1]: line.split() for line in done.output.splitlines() if "2.20." in line}
    assert rows["same"][2:5] == ["1", "0.0e+00", "equal"]
    assert rows["noisy"][4] == "differs"
    assert "2.20 noisy: y is " in done.output
    content = json.loads((model / "serving_check.json").read_text())
    assert content["model_digest"] == before == saved_model_digest(model / "saved_model")
    assert content["versions"]["2.20"]["signatures"]["same"]["verdict"] == "equal"


def fails(arguments: list[str]) -> LoomlineError:
    """The mistake that the command line turns into one line and exit code 2."""
    done = CliRunner().invoke(check, arguments)
    assert isinstance(done.exception, LoomlineError), done.output
    assert "\n" not in str(done.exception)
    return done.exception


def test_a_folder_without_a_model_is_a_users_mistake(tmp_path: Path) -> None:
    for path, received in ((tmp_path, "no saved_model.pb there"), (tmp_path / "x", "no such fol")):
        error = fails([str(path)])
        assert isinstance(error, ModelError)
        assert received in str(error)
    assert not list(tmp_path.iterdir())


def test_an_unknown_version_is_a_users_mistake(model: Path) -> None:
    error = fails([str(model), "--tensorflow", "1.15"])
    assert isinstance(error, SetupError)
    assert "versions of: 2.19, 2.20. Received: 1.15" in str(error)


def test_an_output_that_is_a_file_is_a_users_mistake(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = fails([str(model), "--output", str(tmp_path / "file")])
    assert isinstance(error, ConfigError)
    assert "--output" in str(error)


def test_a_pushed_version_is_checked_where_its_provenance_lies(model: Path, tmp_path: Path) -> None:
    from pipelines.checking import _places

    version = (tmp_path / "3").resolve()
    version.mkdir()
    (version / "saved_model.pb").write_bytes((model / "saved_model/saved_model.pb").read_bytes())
    before = saved_model_digest(version)
    assert _places(version, None) == (version, version / PROVENANCE_FOLDER)
    (version / PROVENANCE_FOLDER / "serving_check.json").write_text("{}")
    assert saved_model_digest(version) == before

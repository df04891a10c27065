"""Sharing a step: what it takes to begin, and that two replicas of a machine learn as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from components.errors import ConfigError, WorkerLostError
from components.train.decoder import Decoder
from components.train.distributed_learner import DistributedLearner
from components.train.distribution import (
    Distribution,
    Watch,
    check_tf_config,
    make_distribution,
    told_of_lost_workers,
)
from components.train.options import TrainOptions

CLUSTER = {"worker": ["a:1", "b:1"]}
TWO_REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from components.errors import ConfigError
from components.train.options import TrainOptions
from components.train.learners import distribution_of, make_learner

shape = {"layers": 1, "width": 16, "heads": 2, "context": 8, "batch_size": 4, "ema": 0.5}
shape |= {"warmup_steps": 0, "l1": 1e-5, "clip_norm": 0.1, "steps": 4, "xla": False}
random = np.random.default_rng(0)
batches = random.integers(0, 41, (4, 4, 9)).astype("int32")
held_out = random.integers(0, 41, (3, 2, 9)).astype("int32")
weights, told = [], []
for name in ("single", "mirrored"):
    options = TrainOptions(**shape, distribution=name)
    learner = make_learner(41, options, distribution_of(options))
    told.append([float(value) for batch in batches for value in learner.train(batch)])
    with learner.averaged():
        told[-1].append(learner.evaluate(held_out))
        weights.append(learner.model.numpy_weights())
np.testing.assert_allclose(told[1], told[0], rtol=1e-5)
for key, value in weights[0].items():
    np.testing.assert_allclose(weights[1][key], value, atol=2e-6, err_msg=key)

options = TrainOptions(**(shape | {"dropout": 0.5}), distribution="mirrored")
distribution = distribution_of(options)
learner = make_learner(41, options, distribution)
states = learner.model.non_trainable_variables[0].value.values
assert np.abs(states[0].numpy().astype(int) - states[1].numpy().astype(int)).max() > 0
try:
    distribution_of(options.model_copy(update={"batch_size": 3}))
except ConfigError as error:
    assert "a multiple of the 2 replicas" in str(error), error
else:
    raise AssertionError("3 windows were shared between 2 replicas")
"""


@pytest.mark.slow
def test_two_replicas_of_one_machine_learn_as_one() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", TWO_REPLICAS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        json.dumps({"cluster": CLUSTER}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}),
        json.dumps({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}),
    ],
)
def test_a_tf_config_without_a_place_for_this_worker_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected TF_CONFIG such as .* Received: "):
        check_tf_config(text)


def test_a_tf_config_with_a_place_for_this_worker_is_taken() -> None:
    check_tf_config(json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}))


def test_many_workers_without_tf_config_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="Received: none"):
        make_distribution("multi_worker", 8, 10)


def test_float16_is_refused_where_a_step_is_shared() -> None:
    distribution = make_distribution("mirrored", 8, 10)
    options = TrainOptions(distribution="mirrored", precision="mixed_float16", width=16)
    with distribution.strategy.scope(), pytest.raises(ConfigError, match="mixed_bfloat16"):
        DistributedLearner(Decoder(41, 8, 1, 16, 2, dtype="mixed_float16"), options, distribution)


def test_a_defect_is_not_taken_for_a_lost_worker() -> None:
    # Not initialized: it would set this process up for workers.
    strategy = tf.distribute.MultiWorkerMirroredStrategy.__new__(
        tf.distribute.MultiWorkerMirroredStrategy
    )
    watch = Watch(60)
    # It ends the process in which nothing happens, the one that runs the tests, too.
    watch.stop()
    distribution = Distribution(strategy, watch, chief=True)
    with pytest.raises(tf.errors.InternalError), told_of_lost_workers(distribution):
        raise tf.errors.InternalError(None, None, "a kernel broke")
    gone = "Graph execution error:\n\nCollective ops is aborted by: gone\nmore"
    with (
        pytest.raises(WorkerLostError, match=r"Received: gone\. Start all workers again"),
        told_of_lost_workers(distribution),
    ):
        raise tf.errors.InternalError(None, None, gone)


def test_a_process_in_which_nothing_happens_ends_in_one_line_and_one_that_works_goes_on() -> None:
    program = (
        "import time; from components.train.distribution import Watch; watch = Watch(1.0)\n"
        "for _ in range(20): watch.beat(); time.sleep(0.1)\n"
        "print('still there', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 75
    assert done.stdout == "still there\n"
    assert "Received: nothing of one for 1 s" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("rule", "rate"), [("none", 0.01), ("linear", 0.04), ("sqrt", 0.02)])
def test_the_rate_grows_with_the_batch_as_asked(rule: str, rate: float) -> None:
    options = TrainOptions.model_validate(
        {"learning_rate": 0.01, "batch_size": 32, "scale_learning_rate": rule}
    )
    assert options.peak_rate == pytest.approx(rate)


def test_a_found_rate_is_not_scaled() -> None:
    with pytest.raises(ValueError, match="scale_learning_rate must be none"):
        TrainOptions(learning_rate=0, scale_learning_rate="linear")


def test_a_rate_is_found_on_a_single_device_only() -> None:
    with pytest.raises(ValueError, match="Find the rate with distribution=single first"):
        TrainOptions(learning_rate=0, distribution="mirrored")

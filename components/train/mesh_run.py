"""Trains a model in parts on many devices: one process starts it, another trains it under JAX.

Keras has one backend in a process. So this one, which is TensorFlow's, makes the initial weights
and writes them as the checkpoint of step 0; `mesh_worker` resumes from it under JAX, as it would
from any other; and from the checkpoint that it leaves, this one makes the model that is exported.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import tensorflow as tf

from components import artifacts
from components.errors import ERROR_PREFIX, USER_ERROR_EXIT_CODE, ConfigError, TrainingError
from components.train.checkpoint import Checkpoint, Progress
from components.train.decoder import Decoder
from components.train.learners import make_decoder, make_learner
from components.train.options import TrainOptions
from components.train.train import fingerprint


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training left: the best model, under TensorFlow, its card, and the last checkpoint."""

    model: Decoder
    card: dict[str, Any]
    checkpoint: Checkpoint


def train_on_mesh(
    examples: artifacts.TransformedExamples,
    options: TrainOptions,
    checkpoints: Path,
    logs: Path,
    graph: Path,
) -> Trained:
    """Trains on all devices that JAX sees.

    Args:
        examples: tokenized training data.
        options: with `distribution` model_parallel.
        checkpoints, logs, graph: as for `train.run`.

    Raises:
        ConfigError: jax is not installed, TF_CONFIG lists other workers, or the devices cannot
            share this model.
        TrainingError: training cannot go on.
    """
    _refuse_what_is_known(options)
    # The devices are for the other process, which finds no memory left on those in use here.
    tf.config.set_visible_devices([], "GPU")
    vocabulary_size = examples.statistics()["vocabulary_size"]
    alone = options.model_copy(update={"distribution": "single", "precision": "float32"})
    checkpoint = Checkpoint(checkpoints / fingerprint(examples, options))
    if checkpoint.load() is None:
        learner = make_learner(vocabulary_size, alone, None)
        initial = {name: variable.numpy() for name, variable in learner.variables()}
        checkpoint.save(Progress(), initial)
        del learner, initial
    card_path = checkpoint.folder / "card.json"
    _run_worker(
        {
            "--transformed": examples.path,
            "--graph": graph,
            "--options": options.model_dump_json(),
            "--checkpoints": checkpoints,
            "--logs": logs,
            "--card": card_path,
        }
    )
    left = checkpoint.load()
    if left is None:
        raise TrainingError(f"expected a checkpoint in {checkpoint.folder}. Received: none")
    _, arrays = left
    model = make_decoder(vocabulary_size, alone)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign(arrays[f"best.{index}"])
    return Trained(model, artifacts.read_json(card_path), checkpoint)


def _refuse_what_is_known(options: TrainOptions) -> None:
    if importlib.util.find_spec("jax") is None:
        raise ConfigError(
            "train.distribution=model_parallel: expected jax to be installed. Received: none. "
            "pip install 'loomline[jax]', with jax[cuda12] for GPUs or jax[tpu] for TPUs"
        )
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
        workers = sum(len(hosts) for hosts in cluster.values())
    except (ValueError, AttributeError, TypeError):
        workers = 0
    if workers > 1:
        raise ConfigError(
            "train.distribution=model_parallel: expected one process, with all devices in its "
            f"machine. Received: a TF_CONFIG of {workers} workers. Take "
            "train.distribution=multi_worker, or one worker"
        )


def _run_worker(arguments: dict[str, Any]) -> None:
    """Runs `mesh_worker` until it ends; its standard output is this process's own.

    Raises:
        TrainingError: it ended by a user's mistake, whose line becomes the message.
    """
    command = [sys.executable, "-m", "components.train.mesh_worker"]
    command += [str(part) for pair in arguments.items() for part in pair]
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    # While the pipe of its standard input is open, this process lives.
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None
        mistake = _pass_on(process.stderr)
    if process.returncode == USER_ERROR_EXIT_CODE and mistake:
        raise TrainingError(mistake)
    if process.returncode:
        raise RuntimeError(f"the process that trains ended with code {process.returncode}")


def _pass_on(errors: IO[str]) -> str:
    """Copies what is written to standard error, but for the line of a user's mistake."""
    mistake = ""
    for line in errors:
        if line.startswith(ERROR_PREFIX):
            mistake = line.removeprefix(ERROR_PREFIX).strip()
        else:
            sys.stderr.write(line)
    return mistake

"""Program of the process that trains under JAX; `mesh_run` starts it with KERAS_BACKEND=jax."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from components import artifacts
from components.errors import TRY_AGAIN_EXIT_CODE, one_line_errors
from components.train.options import TrainOptions
from components.versions import installed_version


def main() -> None:
    """Trains from the checkpoint that is there, and leaves the last one and the model's card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transformed", type=Path, required=True, help="transformed examples")
    parser.add_argument("--graph", type=Path, required=True, help="the transform graph")
    parser.add_argument("--options", required=True, help="options of the train step, as JSON")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--logs", type=Path, required=True, help="folder of events")
    parser.add_argument("--card", type=Path, required=True, help="the model's card is written here")
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with one_line_errors():
        options = TrainOptions(**json.loads(arguments.options))
        artifacts.write_json(arguments.card, _train(arguments, options))


def _end_with_parent() -> None:
    """Ends this process when its parent does: nobody else may write the checkpoints then."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(TRY_AGAIN_EXIT_CODE)


def _train(arguments: argparse.Namespace, options: TrainOptions) -> dict[str, Any]:
    import tensorflow as tf

    from components.train.mesh_learner import MeshLearner
    from components.train.train import Training

    # TensorFlow reads the data and writes the events here, and leaves the devices to JAX.
    tf.config.set_visible_devices([], "GPU")
    examples = artifacts.TransformedExamples(arguments.transformed)
    training = Training(examples, options, arguments.checkpoints, arguments.logs, arguments.graph)
    learner = training.learner
    assert isinstance(learner, MeshLearner)
    mesh, (part, whole) = learner.mesh, learner.bytes_of_variables()
    print(
        f"progress: a mesh of {mesh.replicas} x {mesh.parts} devices ({mesh.kind}), "
        f"{part / 1e6:,.1f} of {whole / 1e6:,.1f} MB of variables on each",
        flush=True,
    )
    training.run()
    card = training.card()
    card["versions"] |= {"jax": installed_version("jax")}
    card["mesh"] = {
        "devices": mesh.kind,
        "replicas": mesh.replicas,
        "model_parallel": mesh.parts,
        "bytes_of_variables": whole,
        "bytes_on_a_device": part,
    }
    return card


if __name__ == "__main__":
    main()

"""The train step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE
from components.options import describe
from components.train.options import TrainOptions


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    TrainOptions,
    checkpoints="Folder of the checkpoints that a killed run resumes from.",
    code_digest="Digest of the code; changed code is run anew.",
    workers="The workers that train in this step's place, and where they run; empty for none.",
)
def train(
    transformed: Input[Dataset],
    graph: Input[Artifact],
    layers: int,
    width: int,
    heads: int,
    context: int,
    dropout: float,
    batch_size: int,
    steps: int,
    learning_rate: float,
    scale_learning_rate: str,
    rate_batch_size: int,
    warmup_steps: int,
    weight_decay: float,
    l1: float,
    ema: float,
    clip_norm: float,
    eval_every: int,
    patience: int,
    preview_every: int,
    checkpoint_seconds: int,
    precision: str,
    distribution: str,
    model_parallel: int,
    worker_timeout: int,
    xla: bool,
    export_xla: bool,
    seed: int,
    checkpoints: str,
    code_digest: str,
    model: Output[Model],
    logs: Output[Artifact],
    metrics: Output[Metrics],
    workers: dict = {},  # noqa: B006 - Kubeflow wants the default itself
) -> None:
    """Trains a decoder-only Transformer and exports it for TensorFlow Serving."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components import artifacts
    from components.errors import one_line_errors
    from components.options import chosen
    from components.train.options import TrainOptions
    from components.train.train import run
    from components.workers.launch import train_on_workers
    from components.workers.options import Workers

    folders = [Path(artifact.path) for artifact in (transformed, graph, model, logs)]
    with one_line_errors():
        source, learned, written, events = folders
        options = chosen(TrainOptions, chosen_values)
        places = (source, learned, options, Path(checkpoints), written, events)
        figures = train_on_workers(*places, chosen(Workers, workers)) if workers else run(*places)
        model.metadata["digest"] = artifacts.Model(written).digest()
    for name, value in figures.items():
        metrics.log_metric(name, value)
    # kfp.local takes an artifact without a file for one that was deleted, and runs the step anew.
    artifacts.write_json(Path(metrics.path), figures)

"""The train step of images and tables as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE
from components.options import describe
from components.train.families.options import FamilyTrainOptions


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    FamilyTrainOptions,
    checkpoints="Folder of the checkpoints that a killed run resumes from.",
    code_digest="Digest of the code; changed code is run anew.",
)
def train(
    transformed: Input[Dataset],
    graph: Input[Artifact],
    family: str,
    family_options: dict,
    steps: int,
    batch_size: int,
    learning_rate: float,
    warmup_steps: int,
    weight_decay: float,
    l1: float,
    l2: float,
    dropout: float,
    clip_norm: float,
    ema: float,
    eval_every: int,
    patience: int,
    preview_every: int,
    checkpoint_seconds: int,
    cpu_seconds: float,
    start_from: str,
    precision: str,
    xla: bool,
    seed: int,
    checkpoints: str,
    code_digest: str,
    model: Output[Model],
    logs: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Trains a generative family and exports it for TensorFlow Serving."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components import artifacts
    from components.errors import one_line_errors
    from components.options import chosen
    from components.train.families.options import FamilyTrainOptions
    from components.train.families.training import run

    folders = [Path(artifact.path) for artifact in (transformed, graph, model, logs)]
    with one_line_errors():
        source, learned, written, events = folders
        options = chosen(FamilyTrainOptions, chosen_values)
        figures = run(source, learned, options, Path(checkpoints), written, events)
        model.metadata["digest"] = artifacts.Model(written).digest()
    for name, value in figures.items():
        metrics.log_metric(name, value)
    # kfp.local takes an artifact without a file for one that was deleted, and runs the step anew.
    artifacts.write_json(Path(metrics.path), figures)

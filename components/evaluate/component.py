"""The evaluate step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.evaluate.options import EvaluateOptions
from components.image import IMAGE
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    EvaluateOptions,
    champion="Folder or URI of the published version to compare with; empty for none.",
    champion_digest="Digest of that version's model; another in its place is refused.",
    code_digest="Digest of the code; changed code is run anew.",
)
def evaluate(
    examples: Input[Dataset],
    model: Input[Model],
    samples: int,
    sample_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    copy_characters: int,
    bootstrap: int,
    guards: list,
    serving_versions: list,
    seed: int,
    champion: str,
    champion_digest: str,
    code_digest: str,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    page: Output[HTML],
) -> None:
    """Judges the exported model on held-out examples beside honest yardsticks."""
    chosen_values = dict(locals())
    import shutil
    from pathlib import Path

    from components.artifacts import Evaluation, write_json
    from components.errors import one_line_errors
    from components.evaluate.evaluate import run
    from components.evaluate.options import EvaluateOptions
    from components.options import chosen
    from components.push.champion import served_version

    folders = [Path(artifact.path) for artifact in (examples, model, evaluation)]
    with one_line_errors():
        source, judged, written = folders
        options = chosen(EvaluateOptions, chosen_values)
        served = served_version(champion, champion_digest)
        figures = run(source, judged, options, served, written)
    for name, figure in figures.items():
        metrics.log_metric(name, figure.value)
    # kfp.local takes an artifact without a file for one that was deleted, and runs the step anew.
    write_json(Path(metrics.path), metrics.metadata)
    shutil.copyfile(Evaluation(written).html_path, page.path)

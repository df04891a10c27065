"""The drift step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.drift.options import DriftOptions
from components.image import IMAGE
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    DriftOptions,
    prompts_digest="Digest of the file of requests; a changed one is compared anew.",
    champion="Folder or URI of the published version whose training data is compared with; or "
    "empty.",
    champion_digest="Digest of that version's model; another in its place is refused.",
    code_digest="Digest of the code; changed code is run anew.",
)
def drift(
    examples: Input[Dataset],
    evaluation: Input[Artifact],
    model: Input[Model],
    method: str,
    threshold: float,
    prompts: str,
    keep_reference: bool,
    max_rows: int,
    columns: list,
    prompts_digest: str,
    champion: str,
    champion_digest: str,
    code_digest: str,
    report: Output[Artifact],
    metrics: Output[Metrics],
    page: Output[HTML],
) -> None:
    """Compares the training era with the current one, and what is generated with real data."""
    chosen_values = dict(locals())
    import shutil
    from pathlib import Path

    from components.artifacts import Drift, write_json
    from components.drift.drift import run
    from components.drift.options import DriftOptions
    from components.errors import one_line_errors
    from components.options import chosen
    from components.push.champion import served_version

    folders = [Path(artifact.path) for artifact in (examples, evaluation, report, model)]
    with one_line_errors():
        source, judged, written, trained = folders
        options = chosen(DriftOptions, chosen_values)
        served = served_version(champion, champion_digest)
        figures = run(source, judged, options, written, trained, served)
    for name, figure in figures.items():
        metrics.log_metric(name, figure.value)
    # kfp.local takes an artifact without a file for one that was deleted, and runs the step anew.
    write_json(Path(metrics.path), metrics.metadata)
    shutil.copyfile(Drift(written).html_path, page.path)

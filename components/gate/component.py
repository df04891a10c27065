"""The gate step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model, Output

from components.gate.options import GateOptions
from components.image import IMAGE
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    GateOptions,
    champion="Folder or URI of the published version to compare with; empty for none.",
    champion_digest="Digest of that version's model; another in its place is refused.",
    records="Folder of this run's records, where the reports are gathered; empty for none.",
)
def gate(
    model: Input[Model],
    validation: Input[Artifact],
    evaluation: Input[Artifact],
    drift: Input[Artifact],
    approval: str,
    rules: list,
    champion: str,
    champion_digest: str,
    records: str,
    decision: Output[Artifact],
    page: Output[HTML],
) -> bool:
    """Decides by the policy's rules whether the model may be pushed."""
    chosen_values = dict(locals())
    import shutil
    from pathlib import Path

    from components.artifacts import Decision
    from components.errors import one_line_errors
    from components.gate.gate import run
    from components.gate.options import GateOptions
    from components.options import chosen
    from components.push.champion import served_version
    from components.summarize.records import gather

    folders = [Path(artifact.path) for artifact in (model, evaluation, drift, decision)]
    with one_line_errors():
        judged, figures, changes, written = folders
        options = chosen(GateOptions, chosen_values)
        served = served_version(champion, champion_digest)
        checked = Path(validation.path)
        approved: bool = run(judged, figures, changes, options, served, written, checked)
        if records:
            gather(Path(records), [checked, figures, changes, written])
    shutil.copyfile(Decision(written).html_path, page.path)
    return approved

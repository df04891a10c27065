"""The push step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components.image import IMAGE
from components.options import describe
from components.push.options import PushOptions


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    PushOptions,
    provenance="What made the model: digests of data, code and config, and the run's name.",
    records="Folder of this run's records; empty for none.",
)
def push(
    model: Input[Model],
    decision: Input[Artifact],
    evaluation: Input[Artifact],
    drift: Input[Artifact],
    model_name: str,
    base_path: str,
    approvers: str,
    waiting: str,
    provenance: dict,
    records: str,
    pushed: Output[Artifact],
) -> None:
    """Publishes the approved model, or has it wait where a person has the last word."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components.errors import one_line_errors
    from components.options import chosen
    from components.push.options import PushOptions
    from components.push.push import run
    from components.summarize.records import record_push

    folders = [Path(artifact.path) for artifact in (model, decision, evaluation, drift)]
    with one_line_errors():
        judged, approval, figures, changes = folders
        options = chosen(PushOptions, chosen_values)
        kept = Path(records) if records else None
        published = run(judged, approval, figures, changes, options, provenance, kept)
        if kept:
            record_push(kept, published)
    pushed.metadata["version"] = published.path.name
    pushed.metadata["path"] = published.location
    Path(pushed.path).write_text(f"{published.location}\n", "utf-8")

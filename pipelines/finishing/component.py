"""The exit handler of a pipeline as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Markdown, Output

from components.image import IMAGE
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    status="How the run ended; Kubeflow fills it in.",
    records="Folder of this run's records; empty for none.",
    provenance="What made the model: digests of data, code and config, and the run's name.",
    notify="Tell people of a run that waits for approval, was rejected or failed.",
)
def summarize(
    status: dsl.PipelineTaskFinalStatus,
    records: str,
    provenance: dict,
    notify: bool,
    summary: Output[Markdown],
) -> None:
    """Writes the summary of the run, whether it succeeded or not, and tells people."""
    from pathlib import Path

    from components.errors import one_line_errors
    from pipelines.finishing.finish import run

    with one_line_errors():
        kept = Path(records) if records else None
        job = status.pipeline_job_resource_name
        text = run(status.state, status.error_message or "", kept, provenance, notify, job)
    Path(summary.path).write_text(text, "utf-8")

"""The validate step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from components.image import IMAGE
from components.options import describe
from components.validate.options import ValidateOptions


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(ValidateOptions, code_digest="Digest of the code; changed code is run anew.")
def validate(
    examples: Input[Dataset],
    suite: str,
    max_generated_share: float,
    generated_surplus: str,
    count_edited: bool,
    known_outputs: list,
    known_overlap: float,
    guards: list,
    code_digest: str,
    validated: Output[Dataset],
    rejected: Output[Dataset],
    report: Output[Artifact],
    page: Output[HTML],
) -> None:
    """Checks every example against an expectation suite and sets aside those that fail."""
    chosen_values = dict(locals())
    import shutil
    from pathlib import Path

    from components.artifacts import ValidationReport
    from components.errors import one_line_errors
    from components.options import chosen
    from components.validate.options import ValidateOptions
    from components.validate.validate import run

    folders = [Path(artifact.path) for artifact in (examples, validated, rejected, report)]
    with one_line_errors():
        source, passed, failed, written = folders
        options = chosen(ValidateOptions, chosen_values)
        try:
            validated.metadata.update(run(source, options, passed, failed, written))
        finally:
            written_page = ValidationReport(written).html_path
            if written_page.is_file():
                shutil.copyfile(written_page, page.path)

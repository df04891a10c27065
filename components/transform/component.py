"""The transform step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE
from components.options import describe
from components.transform.options import TransformOptions


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(TransformOptions, code_digest="Digest of the code; changed code is run anew.")
def transform(
    examples: Input[Dataset],
    vocabulary_size: int,
    beam_runner: str,
    beam_options: list,
    code_digest: str,
    graph: Output[Artifact],
    transformed: Output[Dataset],
) -> None:
    """Learns a subword vocabulary with TensorFlow Transform and turns the text into tokens."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components.errors import one_line_errors
    from components.options import chosen
    from components.transform.options import TransformOptions
    from components.transform.transform import run

    folders = [Path(artifact.path) for artifact in (examples, graph, transformed)]
    with one_line_errors():
        source, learned, written = folders
        options = chosen(TransformOptions, chosen_values)
        transformed.metadata.update(run(source, options, learned, written))

"""The transform step of images as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE
from components.options import describe
from components.transform.image.options import TransformImageOptions


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(TransformImageOptions, code_digest="Digest of the code; changed code is run anew.")
def transform(
    examples: Input[Dataset],
    height: int,
    width: int,
    channels: int,
    beam_runner: str,
    beam_options: list,
    code_digest: str,
    graph: Output[Artifact],
    transformed: Output[Dataset],
) -> None:
    """Decodes images, brings them to one shape and scales them, inside TensorFlow Transform."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components.errors import one_line_errors
    from components.options import chosen
    from components.transform.image.options import TransformImageOptions
    from components.transform.image.transform import run

    folders = [Path(artifact.path) for artifact in (examples, graph, transformed)]
    with one_line_errors():
        source, learned, written = folders
        options = chosen(TransformImageOptions, chosen_values)
        transformed.metadata.update(run(source, options, learned, written))

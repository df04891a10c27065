"""The transform step for tables as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE
from components.options import describe
from components.transform.table.options import TransformTableOptions


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(TransformTableOptions, code_digest="Digest of the code; changed code is run anew.")
def transform(
    examples: Input[Dataset],
    modes: int,
    max_distinct: int,
    max_categories: int,
    beam_runner: str,
    beam_options: list,
    code_digest: str,
    graph: Output[Artifact],
    transformed: Output[Dataset],
) -> None:
    """Learns modes and categories with TensorFlow Transform and turns rows into codes."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components.errors import one_line_errors
    from components.options import chosen
    from components.transform.table.options import TransformTableOptions
    from components.transform.table.transform import run

    folders = [Path(artifact.path) for artifact in (examples, graph, transformed)]
    with one_line_errors():
        source, learned, written = folders
        options = chosen(TransformTableOptions, chosen_values)
        statistics = run(source, options, learned, written)
    transformed.metadata["columns"] = [column["name"] for column in statistics["columns"]]
    transformed.metadata.update({split: statistics[split] for split in ("train", "eval")})

"""The ingest step of images as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components.image import IMAGE
from components.ingest.image.options import IngestImageOptions
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    IngestImageOptions,
    source_digest="Digest of the source's content; a changed source is read anew.",
    code_digest="Digest of the code; changed code is run anew.",
    examples="Parquet shards of examples, with a manifest.",
)
def ingest(
    beam_runner: str,
    beam_options: list,
    source: str,
    image_column: str,
    label_column: str,
    time_column: str,
    made_by: str,
    provenance_column: str,
    reference_from: str,
    reference_to: str,
    current_from: str,
    current_to: str,
    eval_percent: int,
    split: str,
    max_pixels: int,
    max_rows: int,
    source_digest: str,
    code_digest: str,
    examples: Output[Dataset],
) -> None:
    """Reads images from a source and writes them as examples, split by digest."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components.errors import one_line_errors
    from components.ingest.image.ingest import run
    from components.ingest.image.options import IngestImageOptions
    from components.options import chosen

    with one_line_errors():
        manifest = run(chosen(IngestImageOptions, chosen_values), Path(examples.path))
    examples.metadata["snapshot_digest"] = manifest.snapshot_digest
    examples.metadata["rows"] = {name: info.rows for name, info in manifest.splits.items()}

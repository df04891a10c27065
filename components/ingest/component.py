"""The ingest step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components.image import IMAGE
from components.ingest.options import IngestOptions
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    IngestOptions,
    source_digest="Digest of the source's content; a changed source is read anew.",
    code_digest="Digest of the code; changed code is run anew.",
    examples="Parquet shards of examples, with a manifest.",
)
def ingest(
    beam_runner: str,
    beam_options: list,
    source: str,
    text_column: str,
    time_column: str,
    made_by: str,
    provenance_column: str,
    reference_from: str,
    reference_to: str,
    current_from: str,
    current_to: str,
    eval_percent: int,
    min_characters: int,
    source_digest: str,
    code_digest: str,
    examples: Output[Dataset],
) -> None:
    """Reads documents from a source and writes them as examples, split by digest."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components.errors import one_line_errors
    from components.ingest.ingest import run
    from components.ingest.options import IngestOptions
    from components.options import chosen

    with one_line_errors():
        manifest = run(chosen(IngestOptions, chosen_values), Path(examples.path))
    examples.metadata["snapshot_digest"] = manifest.snapshot_digest
    examples.metadata["rows"] = {name: split.rows for name, split in manifest.splits.items()}

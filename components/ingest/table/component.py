"""The ingest step for tables as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components.image import IMAGE
from components.ingest.table.options import IngestTableOptions
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    IngestTableOptions,
    source_digest="Digest of the source's content; a changed source is read anew.",
    code_digest="Digest of the code; changed code is run anew.",
    examples="Parquet shards of examples, with a manifest.",
)
def ingest(
    beam_runner: str,
    beam_options: list,
    source: str,
    columns: list,
    time_column: str,
    made_by: str,
    provenance_column: str,
    categorical: list,
    constraints: list,
    missing_values: list,
    reference_from: str,
    reference_to: str,
    current_from: str,
    current_to: str,
    eval_percent: int,
    max_rows: int,
    source_digest: str,
    code_digest: str,
    examples: Output[Dataset],
) -> None:
    """Reads a table and writes its rows as examples, split by digest and by time."""
    chosen_values = dict(locals())
    from pathlib import Path

    from components.errors import one_line_errors
    from components.ingest.table.ingest import run
    from components.ingest.table.options import IngestTableOptions
    from components.options import chosen

    with one_line_errors():
        manifest = run(chosen(IngestTableOptions, chosen_values), Path(examples.path))
    examples.metadata["snapshot_digest"] = manifest.snapshot_digest
    examples.metadata["rows"] = {name: split.rows for name, split in manifest.splits.items()}

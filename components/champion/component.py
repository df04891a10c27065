"""The step that finds the champion, as a Kubeflow component."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE
from components.options import describe


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    champion="Folder or URI of the published version to compare with; 'auto' for the one that is "
    "published now; empty for none.",
    base_path="Folder that holds the models; a path, gs:// or s3://.",
    model_name="Name of the model.",
    provenance="What makes the new model; of it, the digest of all inputs.",
    keep="Folder on the volume for a copy of what lies in an object store; empty to have each step "
    "fetch it.",
)
def champion(
    champion: str, base_path: str, model_name: str, provenance: dict, keep: str
) -> NamedTuple("Found", [("folder", str), ("digest", str)]):  # type: ignore[valid-type] # fmt: skip
    """Finds the version that the new model has to beat."""
    from components.errors import one_line_errors
    from components.push.champion import find_champion

    with one_line_errors():
        fingerprint = str(provenance.get("inputs_fingerprint") or "")
        folder, digest = find_champion(champion, base_path, model_name, fingerprint, keep)
    print(f"progress: compared with {folder or 'no version'}", flush=True)
    return folder, digest

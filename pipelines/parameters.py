"""The pipeline parameters that belong to a run, beside those that the configuration sets."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, Literal

from pipelines.modalities import Modality

RUN_PARAMETERS = {
    "source_digest": "Digest of the source's content; a changed source is read anew.",
    "code_digest": "Digest of the code; changed code is run anew.",
    "prompts_digest": "Digest of the file of users' requests; a changed one is compared anew.",
    "champion": "Folder or URI of the published version to compare with; on a cluster 'auto' for "
    "the one that is published when it is time; empty for none.",
    "champion_digest": "Digest of that version's model; another in its place is refused.",
    "checkpoints": "Folder of the checkpoints that a killed run resumes from.",
    "records": "Folder of this run's records, where the reports are gathered; empty for none.",
    "provenance": "What made the model: digests of data, code and config, and the run's name.",
}
RUN_DEFAULTS: dict[str, Any] = {
    "source_digest": "",
    "code_digest": "",
    "prompts_digest": "",
    "champion": "",
    "champion_digest": "",
    "checkpoints": "checkpoints",
    "records": "",
    "provenance": {},
}


def descriptions(modality: Modality) -> dict[str, str]:
    """What every parameter of the pipeline means, for the Kubeflow UI."""
    described = {
        f"{section_name}_{field_name}": field.description or ""
        for section_name, options in modality.sections.items()
        for field_name, field in options.model_fields.items()
    }
    return {**described, **RUN_PARAMETERS}


def types(modality: Modality) -> dict[str, type]:
    """The type of every parameter of the pipeline, as Kubeflow knows types."""
    chosen = {
        f"{section_name}_{field_name}": kubeflow_type(field.annotation)
        for section_name, options in modality.sections.items()
        for field_name, field in options.model_fields.items()
    }
    return {**chosen, **{name: type(default) for name, default in RUN_DEFAULTS.items()}}


def kubeflow_type(annotation: Any) -> type:
    """Such as str for a Literal of texts, and list for a list of models."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return type(typing.get_args(annotation)[0])
    found: type = origin or annotation
    return found


def section(modality: Modality, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of one step, without the section's name before theirs."""
    fields = modality.sections[name].model_fields
    return {field: parameters[f"{name}_{field}"] for field in fields}

"""What a model lets its callers choose: classes, parameters, columns; it may tell by `describe`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from serving.client import Metadata, Prediction

SIGNATURE = "describe"
_FLOATS = ("DT_FLOAT", "DT_DOUBLE")
# Inputs of `generate` that are no parameters of a family.
_FIXED = ("label", "seed", "num_rows", "conditions")


class _Part(BaseModel):
    """What is not known here is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Range(_Part):
    """A number to choose; None where the model does not tell."""

    default: float | None = None
    minimum: float | None = None
    maximum: float | None = None


class Column(_Part):
    """A column of a table, with what its conditions may name."""

    name: str
    kind: str = ""
    categories: list[str] = []
    minimum: float | None = None
    maximum: float | None = None


class Choices(_Part):
    """What `describe` tells; without it the signature alone says which parameters there are."""

    labels: list[str] = []
    parameters: dict[str, Range] = {}
    columns: list[Column] = []


def from_signature(metadata: Metadata) -> Choices:
    """What the signature `generate` itself shows."""
    generate = metadata.signatures.get("generate")
    if generate is None:
        return Choices()
    names = [
        name
        for name, spec in sorted(generate.inputs.items())
        if spec.dtype in _FLOATS and name not in _FIXED
    ]
    found: dict[str, Range] = {name: Range() for name in names}
    if "num_rows" in generate.inputs and "temperature" in found:
        found["temperature"] = Range(default=1.0, minimum=0.0, maximum=2.0)
    return Choices(parameters=found)


def told(prediction: Prediction, metadata: Metadata) -> Choices:
    """What the model tells about itself; a text that is not understood tells nothing."""
    plain = from_signature(metadata)
    try:
        text: Any = prediction.outputs["json"].values[0]
        found = Choices.model_validate_json(text)
    except (KeyError, IndexError, ValidationError):
        return plain
    # Only what the signature takes can be chosen.
    parameters = {name: found.parameters.get(name, own) for name, own in plain.parameters.items()}
    return found.model_copy(update={"parameters": parameters})

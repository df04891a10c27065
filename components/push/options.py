"""What a person may choose about publishing, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PushOptions(BaseModel):
    """Where approved models are published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_name: str = Field(
        default="text",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name under which TensorFlow Serving serves the model.",
    )
    base_path: str = Field(
        default="",
        description="Folder that holds the models; empty for 'models' inside the output folder.",
    )
    approvers: str = Field(
        default="",
        description="File of the reviewers' public keys, which `loomline reviewers` keeps. Where "
        "it is set, the model waits until one of them approves it.",
    )

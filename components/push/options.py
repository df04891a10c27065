"""What a person may choose about publishing, with defaults and meanings."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serving.storage import is_remote


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
        description="Folder that holds the models: a path, gs://BUCKET/FOLDER or "
        "s3://BUCKET/FOLDER; empty for 'models' inside the output folder.",
    )
    approvers: str = Field(
        default="",
        description="File of the reviewers' public keys, which `loomline reviewers` keeps. Where "
        "it is set, the model waits until one of them approves it.",
    )

    waiting: str = Field(
        default="",
        description="Local or mounted folder in which a model waits for approval where base_path "
        "is an object store; empty for 'models' inside the output folder.",
    )

    @model_validator(mode="after")
    def _place_fits(self) -> Self:
        if "://" in self.base_path and not is_remote(self.base_path):
            raise ValueError(
                "expected base_path to be a local or mounted folder, gs:// or s3://. "
                f"Received: {self.base_path}"
            )
        if "://" in self.waiting:
            raise ValueError(
                "expected waiting to be a local or mounted folder, where people look at the model. "
                f"Received: {self.waiting}"
            )
        return self

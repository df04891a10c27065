"""What the train step is told of the workers that it has train on a cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WorkersJob(BaseModel):
    """How many workers, as what kind of job, and how patiently."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(ge=2, description="How many share each training step.")
    job: Literal["TrainJob", "TFJob"] = Field(
        default="TrainJob",
        description="TrainJob of Kubeflow Trainer 2, or TFJob of the older Training Operator.",
    )
    restarts: int = Field(
        default=3,
        ge=0,
        description="How often all are started again because one was lost; they resume.",
    )
    pending_minutes: float = Field(
        default=30, gt=0, description="How long to wait for nodes and images for all of them."
    )


class Workers(WorkersJob):
    """The workers with the nodes that they run on, as the step gets them."""

    deadline_minutes: int = Field(
        default=24 * 60, ge=1, description="After which the cluster ends them, whoever waits."
    )
    image: str = Field(min_length=1, description="Image that they run in.")
    cpu: str = Field(description="CPU cores of each.")
    memory: str = Field(description="Memory of each, such as 8Gi.")
    accelerator_type: str = Field(default="", description="Resource, such as nvidia.com/gpu.")
    accelerator_count: int = Field(default=0, ge=0, description="How many each gets.")
    node_selector: dict[str, str] = Field(default={}, description="Labels of their nodes.")
    tolerations: list[dict[str, str]] = Field(
        default=[], description="Taints of their nodes, as Kubernetes writes tolerations."
    )
    shared_memory: str = Field(default="", description="Size of /dev/shm.")
    scratch: str = Field(default="", description="Size of /tmp.")
    claim: str = Field(min_length=1, description="Claim of the volume that all of them see.")
    mount: str = Field(pattern="^/.+[^/]$", description="Where they see it, as this step does.")

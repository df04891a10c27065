"""What is to run on the cluster: a job's objects, and how its pods are told apart."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from components.workers.options import Workers

Object = dict[str, Any]
PORT = 2222
# Whose job it is, and by what it was made: one that was made by something else is made anew.
OURS = {"app.kubernetes.io/part-of": "loomline", "app.kubernetes.io/component": "train-workers"}
MADE_BY = "loomline/made-by"
# Of pods and volumes whose owner was never told that they ended.
SPARE_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class Resource:
    """A kind of object, by the names that the API's paths have."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """As objects have it."""
        return f"{self.group}/{self.version}"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A job that is to run.

    Attributes:
        name: of the job, the same for every attempt of a step.
        namespace: where it runs.
        workers: how many, in what image, on which nodes.
        arguments: of the worker's program, without who its peers are.
        owner: what the job is deleted with; None for nothing.
    """

    name: str
    namespace: str
    workers: Workers
    arguments: tuple[str, ...]
    owner: Object | None = None

    @property
    def digest(self) -> str:
        """Identifies what the job computes and where, whoever owns it."""
        content = [self.workers.model_dump(mode="json"), self.arguments]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def metadata(self) -> Object:
        """Of the job, and of what is made beside it."""
        found: Object = {
            "name": self.name,
            "namespace": self.namespace,
            "labels": dict(OURS),
            "annotations": {MADE_BY: self.digest},
        }
        if self.owner:
            found["ownerReferences"] = [dict(self.owner)]
        return found


@dataclasses.dataclass(frozen=True)
class Job:
    """A job's objects, ready to be made.

    Attributes:
        resource, body: the job itself.
        beside: what has to be there before it, and goes after it.
        selector: labels of its pods.
        container: in which of a pod's containers the worker runs.
        index: annotation or label of a pod that says which worker it is.
        install: how its kind gets onto a cluster.
    """

    resource: Resource
    body: Object
    beside: tuple[tuple[Resource, Object], ...]
    selector: str
    container: str
    index: str
    install: str

    @property
    def name(self) -> str:
        """Its name, and that of what is beside it."""
        return str(self.body["metadata"]["name"])


def make_job(plan: Plan) -> Job:
    """The job of the kind that the plan asks for."""
    from components.workers import tfjob, trainjob

    return trainjob.make(plan) if plan.workers.job == "TrainJob" else tfjob.make(plan)

"""The workers as a TFJob of the Training Operator 1, for clusters without Kubeflow Trainer 2."""

from __future__ import annotations

from components.workers.plan import SPARE_SECONDS, Job, Plan, Resource
from components.workers.pod import container, template

TF_JOB = Resource("kubeflow.org", "v1", "tfjobs", "TFJob")
# Names that the operator looks for; from the port's it makes TF_CONFIG.
TENSORFLOW, PORT_NAME = "tensorflow", "tfjob-port"
_INSTALL = (
    "install the Training Operator 1.9 (https://github.com/kubeflow/trainer/tree/release-1.9), or "
    "set workers.job: TrainJob in the profile of hardware for Kubeflow Trainer 2"
)


def make(plan: Plan) -> Job:
    """The TFJob; its operator tells the workers of each other by TF_CONFIG."""
    worker = container(plan.workers, TENSORFLOW, list(plan.arguments), PORT_NAME)
    body = {
        "apiVersion": TF_JOB.api_version,
        "kind": TF_JOB.kind,
        "metadata": plan.metadata(),
        "spec": {
            "runPolicy": {
                # Until this program has read what they said; then it deletes the job.
                "cleanPodPolicy": "None",
                "backoffLimit": 0,
                "activeDeadlineSeconds": 60 * plan.workers.deadline_minutes,
                "ttlSecondsAfterFinished": SPARE_SECONDS,
            },
            "successPolicy": "AllWorkers",
            "tfReplicaSpecs": {
                "Worker": {
                    "replicas": plan.workers.count,
                    "restartPolicy": "Never",
                    "template": template(plan.workers, worker),
                }
            },
        },
    }
    return Job(
        resource=TF_JOB,
        body=body,
        beside=(),
        selector=f"training.kubeflow.org/job-name={plan.name}",
        container=TENSORFLOW,
        index="training.kubeflow.org/replica-index",
        install=_INSTALL,
    )

"""The workers as a TrainJob of Kubeflow Trainer 2, beside a TrainingRuntime of its own.

A TrainJob cannot say by itself on which nodes and volumes its pods run: the field for that was
called podSpecOverrides in Trainer 2.0, and is another one since. What a runtime holds has not
changed, so a runtime is made for each job, and the profile of hardware stays the only place that
says where steps run.
"""

from __future__ import annotations

from components.train.cluster_config import node_hosts
from components.workers.plan import PORT, SPARE_SECONDS, Job, Object, Plan, Resource
from components.workers.pod import COMMAND, container, resources, template

TRAIN_JOB = Resource("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
RUNTIME = Resource("trainer.kubeflow.org", "v1alpha1", "trainingruntimes", "TrainingRuntime")
# Names that the controller knows: of the job and of its container that train.
NODE = "node"
ANCESTOR = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
_INSTALL = (
    "install Kubeflow Trainer 2 (https://www.kubeflow.org/docs/components/trainer), or set "
    "workers.job: TFJob in the profile of hardware for the older Training Operator"
)


def make(plan: Plan) -> Job:
    """The TrainJob, and the runtime that it refers to."""
    # No TF_CONFIG is set here: from these and JOB_COMPLETION_INDEX a worker makes its own.
    hosts = node_hosts(plan.name, NODE, plan.workers.count, PORT)
    arguments = [*plan.arguments, f"--workers={','.join(hosts)}"]
    body = {
        "apiVersion": TRAIN_JOB.api_version,
        "kind": TRAIN_JOB.kind,
        "metadata": plan.metadata(),
        "spec": {
            "runtimeRef": {"apiGroup": RUNTIME.group, "kind": RUNTIME.kind, "name": plan.name},
            "trainer": {
                "image": plan.workers.image,
                "command": list(COMMAND),
                "args": arguments,
                "numNodes": plan.workers.count,
                "resourcesPerNode": resources(plan.workers),
            },
        },
    }
    return Job(
        resource=TRAIN_JOB,
        body=body,
        beside=((RUNTIME, _runtime(plan, arguments)),),
        selector=f"jobset.sigs.k8s.io/jobset-name={plan.name}",
        container=NODE,
        index="batch.kubernetes.io/job-completion-index",
        install=_INSTALL,
    )


def _runtime(plan: Plan, arguments: list[str]) -> Object:
    count = plan.workers.count
    pod = template(plan.workers, container(plan.workers, NODE, arguments, "tensorflow"))
    job = {
        "metadata": {"labels": dict(ANCESTOR)},
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            # One worker lost is all lost: this program starts them again together.
            "backoffLimit": 0,
            "activeDeadlineSeconds": 60 * plan.workers.deadline_minutes,
            "template": pod,
        },
    }
    return {
        "apiVersion": RUNTIME.api_version,
        "kind": RUNTIME.kind,
        "metadata": plan.metadata(),
        "spec": {
            "mlPolicy": {"numNodes": count},
            "template": {
                "spec": {
                    # Workers look for each other by name before any of them is ready.
                    "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
                    "failurePolicy": {"maxRestarts": 0},
                    "ttlSecondsAfterFinished": SPARE_SECONDS,
                    "replicatedJobs": [{"name": NODE, "replicas": 1, "template": job}],
                }
            },
        },
    }

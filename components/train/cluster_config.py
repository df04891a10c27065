"""TF_CONFIG of a worker whose cluster does not set it: made from addresses and an index."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from components.errors import ConfigError

INDEX = "JOB_COMPLETION_INDEX"
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def node_hosts(job: str, node: str, count: int, port: int) -> list[str]:
    """Addresses of the pods of a TrainJob, in the order of their indices.

    A JobSet of the TrainJob's name has one replicated job, whose pods' hosts are
    `JOBSET-REPLICATED_JOB-REPLICA-INDEX`, within the headless service that is named for the JobSet.
    """
    return [f"{job}-{node}-0-{index}.{job}:{port}" for index in range(count)]


def tf_config(hosts: Sequence[str], index: str) -> str:
    """What TensorFlow wants to know: all workers, and which of them this one is.

    Args:
        hosts: `host:port` of every worker; worker 0 is the chief.
        index: this worker's place among them, as Kubernetes sets JOB_COMPLETION_INDEX in every pod
            of an indexed job.

    Raises:
        ConfigError: an address is of another form or given twice, or the index is not one of them.
    """
    wrong = [host for host in hosts if not _ADDRESS.fullmatch(host)]
    if wrong or len(set(hosts)) != len(hosts):
        raise ConfigError(
            "--workers expects host:port of each worker, separated by commas and each once. "
            f"Received: {','.join(hosts)}"
        )
    if not index.isdecimal() or int(index) >= len(hosts):
        raise ConfigError(
            f"expected {INDEX} from 0 to {len(hosts) - 1}, which Kubernetes sets in each pod of an "
            f"indexed job, beside --workers. Received: {index or 'none'}"
        )
    task = {"type": "worker", "index": int(index)}
    return json.dumps({"cluster": {"worker": list(hosts)}, "task": task})

"""Who shares a training step: the replicas of one machine, or of the workers in TF_CONFIG."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from components.errors import ERROR_PREFIX, ConfigError, WorkerLostError

_MULTI_WORKER = "multi_worker"


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The replicas that share each step, and this process's place among them.

    Attributes:
        strategy: TensorFlow's own; its scope makes variables that every replica holds.
        watch: ends this process where a worker of many is lost without a word.
        chief: whether this process writes checkpoints, events and the model.
    """

    strategy: tf.distribute.Strategy
    watch: Watch
    chief: bool

    @property
    def replicas(self) -> int:
        """Replicas of all workers together."""
        return int(self.strategy.num_replicas_in_sync)


class Watch:
    """Ends the process when nothing has happened for too long.

    A collective operation waits in TensorFlow for a worker that hangs, or whose machine lost its
    network, and no exception gets into it: only the end of the process does.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._last = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def beat(self) -> None:
        """Something has happened."""
        self._last = time.monotonic()

    def stop(self) -> None:
        """From here on nobody else is waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(min(1.0, self._timeout / 10)):
            if time.monotonic() - self._last > self._timeout:
                leave(_lost(f"nothing of one for {self._timeout:g} s"))


def leave(error: WorkerLostError) -> None:
    """Ends this process at once, with the error's line and exit code.

    At an ordinary exit TensorFlow would wait for the very worker that is lost.
    """
    print(f"{ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(error.exit_code)


@contextlib.contextmanager
def told_of_lost_workers(distribution: Distribution) -> Iterator[None]:
    """Turns TensorFlow's many errors about a lost worker into one, and takes note of progress.

    Raises:
        WorkerLostError: another worker is gone.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not isinstance(distribution.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise
        # Whatever befell the other worker, here an all-reduce was aborted, or a call had no answer.
        if "Collective" not in error.message and not isinstance(error, tf.errors.UnavailableError):
            raise
        raise _lost(_first_line(error)) from error
    distribution.watch.beat()


def _lost(received: str) -> WorkerLostError:
    return WorkerLostError(
        f"expected every worker to go on. Received: {received}. Start all workers again: they "
        "resume from the chief's checkpoint"
    )


def make_distribution(name: str, batch_size: int, timeout: float) -> Distribution:
    """Finds the devices and, for workers, waits until all of them are there.

    Args:
        name: 'mirrored', 'multi_worker' or 'tpu'.
        batch_size: windows of a step, of all replicas together.
        timeout: seconds without progress after which a worker counts as lost.

    Raises:
        ConfigError: TF_CONFIG or the devices do not allow it, or the batch cannot be shared.
    """
    if name == _MULTI_WORKER:
        check_tf_config(os.environ.get("TF_CONFIG", ""))
        config = json.loads(os.environ["TF_CONFIG"])
        cluster, task = config["cluster"], config["task"]
        leader = "chief" if "chief" in cluster else "worker"
        chief = task["type"] == leader and int(task["index"]) == 0
        if chief:
            hosts = [host for job in cluster.values() for host in job]
            _await_hosts(set(hosts) - {cluster[leader][0]}, timeout)
        strategy = _multi_worker(cluster, leader, timeout)
        watch = Watch(timeout)
    else:
        strategy = _tpu() if name == "tpu" else _mirrored()
        watch, chief = Watch(timeout), True
        watch.stop()
    found = Distribution(strategy, watch, chief)
    if batch_size % found.replicas:
        raise ConfigError(
            f"train.batch_size: expected a multiple of the {found.replicas} replicas, each of "
            f"which gets an equal share. Received: {batch_size}"
        )
    return found


def check_tf_config(text: str) -> None:
    """Refuses a TF_CONFIG in which this process has no place among workers.

    Raises:
        ConfigError: it is missing, no JSON, lists no workers, or names a task that is not listed.
    """
    form = (
        'expected TF_CONFIG such as {"cluster": {"worker": ["host:port", ...]}, '
        '"task": {"type": "worker", "index": 0}} for train.distribution=multi_worker'
    )
    try:
        config = json.loads(text)
        cluster, kind = config["cluster"], config["task"]["type"]
        index = int(config["task"]["index"])
        size = len(cluster[kind])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{form}. Received: {text or 'none'}") from None
    if not set(cluster) <= {"chief", "worker"} or not 0 <= index < size:
        raise ConfigError(f"{form}, with the task among chief and workers. Received: {text}")


def _await_hosts(hosts: set[str], timeout: float) -> None:
    """Waits until each `host:port` is listened on; once TensorFlow waits, nothing can stop it."""
    end = time.monotonic() + timeout
    while hosts:
        for host in sorted(hosts):
            name, _, port = host.rpartition(":")
            with (
                contextlib.suppress(OSError),
                socket.create_connection((name.strip("[]"), int(port)), 1),
            ):
                hosts.discard(host)
        if hosts and time.monotonic() > end:
            raise _lost(f"none at {', '.join(sorted(hosts))} for {timeout:g} s")
        time.sleep(0.1)


def _multi_worker(
    cluster: dict[str, list[str]], leader: str, timeout: float
) -> tf.distribute.Strategy:
    from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
    from tensorflow.python.eager import context

    # As the strategy itself does it, which however waits an hour for a chief that never comes.
    # No public function sets the time.
    context.context().configure_coordination_service(
        "standalone",
        service_leader=f"/job:{leader}/replica:0/task:0",
        cluster_register_timeout_in_ms=int(timeout * 1000),
        coordinated_jobs=[
            CoordinatedJob(name=job, num_tasks=len(hosts)) for job, hosts in cluster.items()
        ],
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise _lost(f"not all within {timeout:g} s: {_first_line(error)}") from error


def _first_line(error: tf.errors.OpError) -> str:
    return str(error.message).split("aborted by: ")[-1].split("\n")[0][:200]


def _mirrored() -> tf.distribute.Strategy:
    # Without a GPU the CPU's logical devices are the replicas: one, unless it was split.
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(devices)


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver: Any = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).split("\n")[0][:200]
        raise ConfigError(
            f"train.distribution: expected a TPU that TPU_NAME names. Received: {reason}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)

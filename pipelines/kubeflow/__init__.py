"""Runs compiled pipelines on Kubeflow: upload, run, recurring run, and the wait for an outcome."""

from pipelines.kubeflow.connection import Connection
from pipelines.kubeflow.errors import KubeflowError
from pipelines.kubeflow.submission import submit_run

__all__ = ["Connection", "KubeflowError", "submit_run"]

"""Copies a run into MLflow: options as parameters, figures as metrics, the rest as tags."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from serving.export.content import Content, content_of
from serving.export.errors import ExportError
from serving.store.lineage import Origin

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_TAG = "loomline.run"
# Of MLflow's servers: https://mlflow.org/docs/latest/rest-api.html#request-limits
_PARAMETERS, _PARAMETER_LETTERS, _TAG_LETTERS = 100, 6000, 8000
# MLflow knows no other ends of a run.
_STATUS = {"failed": "FAILED"}


class Mlflow:
    """A tracking server, or a database of one."""

    def __init__(self, uri: str) -> None:
        """Nothing is sent yet.

        Raises:
            ExportError: MLflow is not installed, or takes no such address.
        """
        # Both are heard when the package is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        # Its own retries take minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise ExportError(
                "expected MLflow in this environment. Received: none; "
                "install it with: pip install 'loomline[mlflow]'"
            ) from None
        self._uri = uri
        self._client: MlflowClient = self._asked(lambda: MlflowClient(tracking_uri=uri))

    def export(self, origin: Origin) -> str:
        """Writes a run, or brings it up to date; its id in MLflow.

        Raises:
            ExportError: MLflow failed; a second call goes on.
        """
        found: str = self._asked(lambda: self._export(origin, content_of(origin)))
        return found

    def _export(self, origin: Origin, content: Content) -> str:
        from mlflow.entities import Metric, Param, RunTag

        client, run = self._client, origin.run
        experiment = client.get_experiment_by_name(run.model)
        place = experiment.experiment_id if experiment else client.create_experiment(run.model)
        finished = _milliseconds(run.finished.timestamp())
        started = run.finished - timedelta(seconds=run.seconds or 0)
        quoted = content.name.replace("'", "\\'")
        before = client.search_runs([place], f"tags.`{_TAG}` = '{quoted}'", max_results=1)
        if before:
            run_id = before[0].info.run_id
        else:
            made = client.create_run(
                place,
                start_time=_milliseconds(started.timestamp()),
                tags={_TAG: content.name},
                run_name=run.run,
            )
            run_id = made.info.run_id
        known = client.get_run(run_id).data
        # A parameter that is there cannot be changed, and of a finished run none does.
        parameters = [
            Param(name, value[:_PARAMETER_LETTERS])
            for name, value in content.parameters.items()
            if name not in known.params
        ]
        for start in range(0, len(parameters), _PARAMETERS):
            client.log_batch(run_id, params=parameters[start : start + _PARAMETERS])
        metrics = [
            Metric(name, value, finished, 0)
            for name, value in content.figures.items()
            if known.metrics.get(name) != value
        ]
        tags = [
            RunTag(f"loomline.{name}", value[:_TAG_LETTERS])
            for name, value in content.facts.items()
        ]
        client.log_batch(run_id, metrics=metrics, tags=tags)
        for path in content.reports:
            client.log_artifact(run_id, str(path), "reports")
        client.set_terminated(run_id, _STATUS.get(run.outcome, "FINISHED"), finished)
        return str(run_id)

    def _asked(self, ask: Any) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except (MlflowException, OSError) as error:
            text = " ".join(str(error).split())
            raise ExportError(
                f"expected MLflow at {_without_password(self._uri)} to take the run. "
                f"Received: {text[:300]}"
            ) from None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _without_password(uri: str) -> str:
    head, at, tail = uri.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else uri

"""Starts a training run on a cluster through Kubeflow's own client, and asks how it went."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from components.errors import LoomlineError, ServingError
from components.validate.suite import suite_path
from pipelines.config import Config, load_config
from pipelines.digests import code_digest, inputs_fingerprint

TRIES = 4
_PAUSE = 1.0
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_SUCCEEDED, _OVER = "SUCCEEDED", ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where Kubeflow Pipelines' API is.

    Attributes:
        host: such as http://ml-pipeline.kubeflow:8888.
        token_file: file that holds a bearer token, read anew for every call; '' for none.
        experiment: that the run belongs to.
        records: folder on the cluster that holds the records of all runs; '' for none.
    """

    host: str
    token_file: str = ""
    experiment: str = "Default"
    records: str = ""


def start(
    cluster: Cluster, name: str, config: str, profile: str, overrides: Sequence[str], image: str
) -> str:
    """Starts the training pipeline of a configuration.

    The same name starts one run however often the connection breaks: before it tries again, it
    asks whether the run is there.

    Args:
        cluster: where.
        name: of the run.
        config, profile, overrides: see `load_config`.
        image: of every step; '' for the usual one.

    Returns:
        The run's id.

    Raises:
        ConfigError: the configuration is wrong.
        ServingError: the API refused, or cannot be reached.
    """
    from components.image import IMAGE
    from pipelines.compilation import compile_training

    loaded = load_config(config, profile, overrides)
    with tempfile.TemporaryDirectory(prefix="loomline-") as scratch:
        package = Path(scratch) / "training.yaml"
        compile_training(loaded, package, image or IMAGE)
        given = _of_this_run(loaded, cluster, name)

        def create() -> str:
            client = _client(cluster)
            found = _named(client, cluster, name)
            if found:
                return found
            run = client.create_run_from_pipeline_package(
                str(package), given, run_name=name, experiment_name=cluster.experiment
            )
            return str(run.run_id)

        return _persist(create, cluster)


def _of_this_run(config: Config, cluster: Cluster, name: str) -> dict[str, Any]:
    """What tells the run apart: digests, so that no cache hides changed data, and its name."""
    try:
        source = config.kind.snapshot_digest(config.source)
    except (LoomlineError, OSError):
        # This step cannot read the data: they are read anew, whatever the cache has.
        source = f"unknown, for {name}"
    code = code_digest(suite_path(config.validation.suite))
    return {
        "source_digest": source,
        "code_digest": code,
        "records": f"{cluster.records.rstrip('/')}/{name}" if cluster.records else "",
        "provenance": {
            "run": name,
            "inputs_fingerprint": inputs_fingerprint(config, source, code),
            "source_digest": source,
            "code_digest": code,
            "config_digest": config.digest(),
            "config": config.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
    }


def state(cluster: Cluster, run: str) -> str:
    """`running`, `succeeded` or `failed`.

    Raises:
        ServingError: the API refused, or cannot be reached.
    """
    found = str(_persist(lambda: _client(cluster).get_run(run).state, cluster))
    if found not in _OVER:
        return "running"
    return "succeeded" if found == _SUCCEEDED else "failed"


def _named(client: Any, cluster: Cluster, name: str) -> str:
    """The id of the run of that name; '' where there is none."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    listed = client.list_runs(page_size=1, filter=json.dumps({"predicates": [predicate]}))
    return str(listed.runs[0].run_id) if listed.runs else ""


def _client(cluster: Cluster) -> Any:
    import kfp

    token = None
    if cluster.token_file:
        try:
            token = Path(cluster.token_file).read_text("utf-8").strip()
        except OSError as error:
            raise ServingError(
                f"expected a token in {cluster.token_file}. Received: {error.strerror}"
            ) from None
    return kfp.Client(host=cluster.host, existing_token=token)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the client's own account, and its warning of servers older than version 2."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _persist(call: Callable[[], Result], cluster: Cluster) -> Result:
    """Tries a few times, with pauses that double, as long as trying again may help.

    Raises:
        ServingError: in vain, or the API refused for good.
    """
    import kfp_server_api  # type: ignore[import-untyped]
    import urllib3

    cause = ""
    for number in range(TRIES):
        if number:
            time.sleep(_PAUSE * 2 ** (number - 1))
        try:
            with _quiet():
                return call()
        except kfp_server_api.ApiException as error:
            cause = f"status {error.status}{_told(error.body)}"
            if error.status not in _TRY_AGAIN:
                break
        except (urllib3.exceptions.HTTPError, OSError) as error:
            cause = type(error).__name__
    raise ServingError(
        f"expected Kubeflow Pipelines at {cluster.host} to take the run. Received: {cause}"
    )


def _told(body: object) -> str:
    """What the API says of an error, if it says it as JSON."""
    with contextlib.suppress(ValueError, TypeError):
        content: Mapping[str, Any] = json.loads(str(body))
        message = content.get("error_message") or content.get("message") or content.get("error")
        return f": {str(message)[:200]}" if message else ""
    return ""

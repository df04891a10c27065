"""The cluster's API through the `kubernetes` client: asked again where it stumbles, in one line."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.errors import ClusterAwayError, ClusterError
from components.workers.answers import (
    ANSWER,
    CONNECT,
    Away,
    Refused,
    content_of,
    flat,
    lines_of,
    refusal,
)
from components.workers.plan import Job, Object, Resource

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
_SILENCE = 300.0
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Cluster:
    """A namespace of a cluster.

    Args:
        patience: seconds for which an API that does not answer is asked again.
        connections: that are open at once, such as the logs that are followed.
        first_wait: before it is asked the second time; then twice that, and so on.
    """

    def __init__(
        self, patience: float = 600, connections: int = 16, first_wait: float = _FIRST_WAIT
    ) -> None:
        from kubernetes import client

        settings = client.Configuration()
        self.namespace = _way_in(settings)
        settings.connection_pool_maxsize = connections
        settings.retries = False
        self._client = client.ApiClient(settings)
        self._core = client.CoreV1Api(self._client)
        self._custom = client.CustomObjectsApi(self._client)
        self._patience, self._first_wait = patience, first_wait

    def close(self) -> None:
        """Ends the connections that rest."""
        self._client.rest_client.pool_manager.clear()

    def hurry(self, patience: float) -> None:
        """From here on waits no longer than that for an answer."""
        self._patience = min(self._patience, patience)

    def patiently(self, ask: Callable[[], Any]) -> Any:
        """Asks until there is an answer.

        Raises:
            ClusterAwayError: there was none for as long as this waits.
            Refused: the answer is no.
        """
        end = time.monotonic() + self._patience
        attempt = 0
        while True:
            try:
                return ask()
            except Away as away:
                wait = min(self._first_wait * 2**attempt, _LONGEST_WAIT)
                # Other steps of other runs ask the same API: not all at the same instant.
                wait = max(wait * random.uniform(0.75, 1.25), away.wait)
                if time.monotonic() + wait > end:
                    raise ClusterAwayError(
                        f"expected an answer from the cluster's API within {self._patience:g} s. "
                        f"Received: {away}. The workers were left as they are; this step, run "
                        "again, finds them"
                    ) from None
            time.sleep(wait)
            attempt += 1

    def get(self, resource: Resource, name: str) -> Object | None:
        """One object; None where there is none of the name."""
        return self._found(self._of(self._custom.get_namespaced_custom_object, resource, name))

    def create(self, resource: Resource, body: Object) -> bool:
        """Makes an object; False where there is one of its name."""
        try:
            self.patiently(self._of(self._custom.create_namespaced_custom_object, resource, body))
        except Refused as refused:
            if refused.status == 409:
                return False
            raise
        return True

    def delete(self, resource: Resource, name: str, uid: str = "") -> None:
        """Deletes an object with all that it owns, at once for whoever asks; or lets it be gone.

        Args:
            resource: its kind.
            name: its name.
            uid: spare another one of that name that somebody made meanwhile.
        """
        options: Object = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._found(
                self._of(self._custom.delete_namespaced_custom_object, resource, name, body=options)
            )
        except Refused as refused:
            if refused.status != 409:
                raise

    def pod(self, name: str) -> Object | None:
        """A pod; None where there is none of the name."""
        return self._found(
            lambda: self._answer(self._core.read_namespaced_pod, name, self.namespace)
        )

    def events(self, prefix: str) -> list[Object]:
        """What the cluster noted about objects whose names start so, the newest last."""
        listed = self.patiently(
            lambda: self._answer(
                self._core.list_namespaced_event, self.namespace, field_selector="type=Warning"
            )
        )
        found = [
            event
            for event in listed["items"]
            if str(event["involvedObject"].get("name", "")).startswith(prefix)
        ]
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or ""))

    def pods(self, job: Job) -> Callable[..., Any]:
        """Lists or watches a job's pods; see `listed` and `changes`."""
        return lambda **how: self._ask(
            self._core.list_namespaced_pod, self.namespace, label_selector=job.selector, **how
        )

    def jobs(self, job: Job) -> Callable[..., Any]:
        """Lists or watches the one job."""
        return lambda **how: self._ask(
            self._custom.list_namespaced_custom_object,
            *_path(job.resource, self.namespace),
            field_selector=f"metadata.name={job.name}",
            **how,
        )

    def log(self, pod: str, container: str, since_seconds: int | None) -> Iterator[str]:
        """Lines of a container, each after its time, until it ends or the connection does.

        Raises:
            Away: the connection broke.
            Refused: there is no such pod any more.
        """
        how = {} if since_seconds is None else {"since_seconds": since_seconds}
        response = self._ask(
            self._core.read_namespaced_pod_log,
            pod,
            self.namespace,
            container=container,
            follow=True,
            timestamps=True,
            # A worker may compile for minutes without a word, and a connection may die without one.
            _request_timeout=(CONNECT, _SILENCE),
            **how,
        )
        return lines_of(response)

    def _of(self, function: Any, resource: Resource, *others: Any, **how: Any) -> Callable[[], Any]:
        return lambda: self._answer(function, *_path(resource, self.namespace), *others, **how)

    def _found(self, ask: Callable[[], Any]) -> Object | None:
        try:
            found: Object = self.patiently(ask)
        except Refused as refused:
            if refused.status == 404 and refused.known:
                return None
            raise
        return found

    def _answer(self, function: Any, *arguments: Any, **how: Any) -> Object:
        response = self._ask(function, *arguments, **how)
        try:
            content: Any = json.loads(content_of(response))
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Refused(
                "expected the cluster's API to answer in JSON. Received: something else, such as a "
                "proxy's page",
                response.status,
                False,
            )
        return content

    def _ask(self, function: Any, *arguments: Any, **how: Any) -> Any:
        """The response as it comes, its content not yet read."""
        import urllib3
        from kubernetes.client import ApiException

        how.setdefault("_request_timeout", (CONNECT, ANSWER))
        try:
            return function(*arguments, _preload_content=False, **how)
        except ApiException as error:
            raise refusal(error) from None
        except urllib3.exceptions.SSLError as error:
            raise ClusterError(
                f"expected a certificate of the cluster that is trusted. Received: {flat(error)}"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Away(flat(error)) from None


def _path(resource: Resource, namespace: str) -> tuple[str, str, str, str]:
    return resource.group, resource.version, namespace, resource.plural


def _way_in(settings: Any) -> str:
    """Fills in how the API is reached, as a person's file or a pod's account says.

    Returns:
        The namespace.

    Raises:
        ClusterError: there is neither.
    """
    from kubernetes import config

    file = os.environ.get("KUBECONFIG")
    try:
        if file or "KUBERNETES_SERVICE_HOST" not in os.environ:
            config.load_kube_config(config_file=file, client_configuration=settings)
            context = config.list_kube_config_contexts(config_file=file)[1]["context"]
            return str(context.get("namespace", "default"))
        config.load_incluster_config(client_configuration=settings)
        return _ACCOUNT.joinpath("namespace").read_text("utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise ClusterError(
            "expected a pod's service account, or a file that KUBECONFIG names, to reach the "
            f"cluster with. Received: {flat(error)}"
        ) from None

"""The client asks with patience, and says in one line what is wrong with a host."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fake_kubeflow import FakeKubeflow, Fault

from components.errors import ConfigError
from pipelines.kubeflow import Connection, KubeflowError
from pipelines.kubeflow.api import Api

HEALTH = "/apis/v2beta1/healthz"


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(kubeflow: FakeKubeflow, api: Api, status: int) -> None:
    kubeflow.faults = [Fault("GET", "healthz", status, times=3)]
    api.check()
    assert kubeflow.requested("GET", "healthz") == 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_wait_that_the_cluster_asks_for_is_kept(
    kubeflow: FakeKubeflow, api: Api, form: str
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    header = {"Retry-After": "1" if form == "seconds" else date}
    kubeflow.faults = [Fault("GET", "healthz", 429, headers=header)]
    start = time.monotonic()
    api.check()
    assert time.monotonic() - start > 0.8


def test_what_does_not_pass_is_told(kubeflow: FakeKubeflow, host: str) -> None:
    kubeflow.faults = [Fault("GET", "healthz", 500, times=9)]
    with (
        Api(Connection(host), attempts=3, first_wait=0.01) as api,
        pytest.raises(KubeflowError, match="Received: 500 injected"),
    ):
        api.check()
    assert kubeflow.requested("GET", "healthz") == 3


def test_a_server_that_hangs_is_given_up(kubeflow: FakeKubeflow, host: str) -> None:
    kubeflow.faults = [Fault("GET", "healthz", 200, times=9, seconds=1.0)]
    start = time.monotonic()
    with (
        Api(Connection(host, timeout=0.2), attempts=2, first_wait=0.01) as api,
        pytest.raises(KubeflowError, match=rf"expected an answer from {host}. Received: ReadTime"),
    ):
        api.check()
    assert time.monotonic() - start < 2


def test_a_slow_server_is_waited_for(kubeflow: FakeKubeflow, api: Api) -> None:
    kubeflow.faults = [Fault("GET", "healthz", 500, seconds=0.3)]
    api.check()


def test_nobody_listens(tmp_path: Path) -> None:
    with (
        Api(Connection("http://127.0.0.1:9"), attempts=2, first_wait=0.01) as api,
        pytest.raises(KubeflowError, match=r"expected an answer from http://127.0.0.1:9. Received"),
    ):
        api.check()


@pytest.mark.parametrize(
    ("status", "headers", "body", "received"),
    [
        (200, {"Content-Type": "text/html"}, b"<html>hello</html>", "text/html"),
        (200, {}, b'{"status": "ok"}', "JSON of another kind"),
        (200, {}, b"[]", "application/json"),
        (404, {"Content-Type": "text/html"}, b"not here", "404"),
        (302, {"Location": "https://dex.example/auth?state=abc"}, b"", "https://dex.example/auth;"),
    ],
)
def test_a_host_that_is_not_kubeflow(
    kubeflow: FakeKubeflow,
    api: Api,
    status: int,
    headers: dict[str, str],
    body: bytes,
    received: str,
) -> None:
    kubeflow.faults = [Fault("GET", "healthz", status, headers=headers, body=body)]
    with pytest.raises(KubeflowError) as refused:
        api.check()
    message = str(refused.value)
    assert message.startswith(f"expected Kubeflow Pipelines at {api.connection.host}. Received: ")
    assert received in message
    assert "ends in /pipeline" in message
    assert "state=abc" not in message


@pytest.mark.parametrize("host", ["kubeflow.example", "ftp://kubeflow.example", "https://", ""])
def test_a_host_is_a_url(host: str) -> None:
    with pytest.raises(ConfigError, match="--host expects a URL such as https://"):
        Api(Connection(host))


def test_a_shared_cluster_wants_a_namespace(kubeflow: FakeKubeflow, host: str) -> None:
    kubeflow.multi_user = True
    with Api(Connection(host)) as api, pytest.raises(ConfigError, match="expected --namespace"):
        api.check()
    with Api(Connection(host, namespace="ada")) as api:
        api.check()

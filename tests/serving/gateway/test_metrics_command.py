"""`loomline metrics` prints or pushes what the gateway would tell of runs and models."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from serving.gateway.metrics_command import metrics
from serving.store import Run, open_store


@pytest.fixture
def url(tmp_path: Path, a_run: Callable[..., Run]) -> str:
    """Of a store with one failed run."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = open_store(url)
    store.registry.record(a_run("a", outcome="failed", seconds=3.5))
    store.close()
    return url


@pytest.fixture
def pushgateway(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("prometheus-pushgateway")
    if program is None:
        pytest.skip("prometheus-pushgateway is missing: make test-tools")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([program, f"--web.listen-address={address}"], stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://{address}/-/ready").status_code == 200:
                    break
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(metrics, list(arguments))


def test_they_are_printed_as_prometheus_reads_them(url: str) -> None:
    done = call(f"--store={url}")
    assert done.exit_code == 0
    assert 'loomline_run_outcome{model="text",outcome="failed"} 1.0\n' in done.output
    assert "loomline_store_up 1.0\n" in done.output
    assert "loomline_audit_intact 1.0\n" in done.output


def test_a_real_pushgateway_takes_them(url: str, pushgateway: str) -> None:
    done = call(f"--store={url}", f"--push-to={pushgateway}")
    assert done.exit_code == 0, done.output
    page = httpx.get(f"{pushgateway}/metrics").text
    assert 'loomline_run_duration_seconds{instance="",job="loomline",model="text"} 3.5' in page


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "ftp://127.0.0.1:1", "http://"])
def test_a_pushgateway_that_is_not_there_is_one_line(url: str, address: str) -> None:
    done = call(f"--store={url}", f"--push-to={address}")
    assert done.exit_code == 2
    assert done.output.startswith(f"error: expected a Pushgateway at {address} that takes metrics")
    assert done.output.count("\n") == 1

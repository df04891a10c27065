"""Runs start on a cluster through Kubeflow's own client, once, over a connection that breaks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.errors import ConfigError, ServingError
from pipelines.monitoring import launching
from pipelines.monitoring.launching import Cluster, start, state


class Api:
    """Enough of Kubeflow Pipelines' v2beta1 API, which can be told to fail."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, str] = {}
        self.tokens: set[str | None] = set()
        self.creations = 0
        # Statuses of the next creations; -1 creates the run and breaks the connection.
        self.faults: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.tokens.add(self.headers.get("Authorization"))
                parts = urlsplit(self.path)
                name = None
                if "filter" in parse_qs(parts.query):
                    asked = json.loads(parse_qs(parts.query)["filter"][0])
                    name = asked["predicates"][0]["stringValue"]
                if parts.path.endswith("/healthz"):
                    self.answer({"multi_user": False})
                elif parts.path.endswith("/experiments"):
                    found = [
                        {"experiment_id": key, "display_name": value}
                        for key, value in outer.experiments.items()
                        if value == name
                    ]
                    self.answer({"experiments": found})
                elif parts.path.endswith("/runs"):
                    all_of_them = outer.runs.values()
                    self.answer({"runs": [r for r in all_of_them if r["display_name"] == name]})
                else:
                    self.answer(outer.runs[parts.path.rsplit("/", 1)[-1]])

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/experiments"):
                    outer.experiments["e1"] = body["display_name"]
                    self.answer({"experiment_id": "e1", **body})
                    return
                outer.creations += 1
                fault = outer.faults.pop(0) if outer.faults else 0
                if fault > 0:
                    self.answer({"error": f"fault {fault}"}, fault)
                    return
                run = {"run_id": f"r{len(outer.runs) + 1}", "state": "RUNNING", **body}
                outer.runs[run["run_id"]] = run
                if fault < 0:
                    self.close_connection = True
                    return
                self.answer(run)

            def answer(self, content: Any, status: int = 200) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.cluster = Cluster(
            f"http://127.0.0.1:{self.server.server_port}", "", "retrainings", "/volume/records/"
        )


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    monkeypatch.setattr(launching, "_PAUSE", 0.01)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Api()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def launch(api: Api) -> Callable[[], str]:
    def launch() -> str:
        return start(api.cluster, "retraining-text-1", "text", "quick", ["train.steps=9"], "me/i:1")

    return launch


def test_the_training_pipeline_of_the_configuration_is_started(
    api: Api, launch: Callable[[], str]
) -> None:
    assert launch() == "r1"
    run = api.runs["r1"]
    assert (run["display_name"], run["experiment_id"]) == ("retraining-text-1", "e1")
    assert api.experiments == {"e1": "retrainings"}
    spec = run["pipeline_spec"]
    spec = spec.get("pipeline_spec", spec)
    assert spec["pipelineInfo"]["name"] == "loomline-training-text"
    assert "me/i:1" in json.dumps(spec)
    steps = spec["root"]["inputDefinitions"]["parameters"]["train_steps"]
    assert steps["defaultValue"] == 9
    given = run["runtime_config"]["parameters"]
    assert given["records"] == "/volume/records/retraining-text-1"
    assert len(given["source_digest"]) == len(given["code_digest"]) == 64
    assert given["provenance"]["run"] == "retraining-text-1"
    assert given["provenance"]["config"]["train"]["steps"] == 9


@pytest.mark.parametrize("faults", [[503, 429], [-1], [502, -1]])
def test_a_fault_is_tried_again_and_starts_one_run(
    api: Api, launch: Callable[[], str], faults: list[int]
) -> None:
    api.faults = list(faults)
    assert launch() == "r1"
    assert len(api.runs) == 1


def test_what_is_refused_for_good_is_one_line_and_not_tried_again(
    api: Api, launch: Callable[[], str]
) -> None:
    api.faults = [400, 400]
    with pytest.raises(ServingError, match="status 400: fault 400"):
        launch()
    assert api.creations == 1


def test_an_api_that_stays_away_is_one_line() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "_PAUSE", 0.0)
        with pytest.raises(ServingError, match="expected Kubeflow Pipelines at http://127"):
            state(Cluster("http://127.0.0.1:1"), "r1")


def test_the_token_is_read_from_its_file(api: Api, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n", "utf-8")
    cluster = Cluster(api.cluster.host, str(token))
    api.runs["r1"] = {"run_id": "r1", "display_name": "x", "state": "SUCCEEDED"}
    assert state(cluster, "r1") == "succeeded"
    assert api.tokens == {"Bearer secret"}
    with pytest.raises(ServingError, match="expected a token in"):
        state(Cluster(api.cluster.host, str(tmp_path / "none")), "r1")


def test_how_a_run_goes_is_told_in_one_of_three_words(api: Api) -> None:
    words = {"PENDING": "running", "FAILED": "failed", "CANCELED": "failed", "RUNNING": "running"}
    for name, word in words.items():
        api.runs["r"] = {"run_id": "r", "display_name": "x", "state": name}
        assert state(api.cluster, "r") == word


def test_a_wrong_configuration_is_told_before_anything_is_started(api: Api) -> None:
    with pytest.raises(ConfigError, match="no configuration"):
        start(api.cluster, "x", "none", "quick", [], "")
    assert api.creations == 0

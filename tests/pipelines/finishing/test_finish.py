"""The end of a run is summed up in its log, and told to people where one is needed."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from kfp import dsl

from components.summarize.records import Records
from pipelines.finishing.component import summarize
from pipelines.finishing.finish import SUMMARY_PREFIX, run
from pipelines.steps import StepRecord, run_pipeline


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a webhook is told."""
    messages: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("LOOMLINE_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/")
        yield messages
        server.shutdown()


def summed_up(printed: str) -> dict[str, object]:
    [line] = [line for line in printed.splitlines() if line.startswith(SUMMARY_PREFIX)]
    found: dict[str, object] = json.loads(line.removeprefix(SUMMARY_PREFIX))
    return found


def test_a_failure_is_told_with_its_cause(
    told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("FAILED", "train failed", None, {"run": "run-7"}, True, "job-1")
    assert told == ["Run run-7 failed\ntrain failed"]
    assert summed_up(capsys.readouterr().out) == {"outcome": "failed"}


def test_a_rejection_is_told_and_summed_up_from_the_records(
    told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = Records(tmp_path / "records" / "run-7")
    decision = records.decision()
    decision.json_path.parent.mkdir(parents=True)
    decision.json_path.write_text('{"approved": false, "reason": "rejected: worse"}')
    run("SUCCEEDED", "", records.path, {"run": "run-7"}, True, "job-1")
    assert told[0].startswith("Run run-7 rejected\nrejected: worse\nReports: ")
    summary = summed_up(capsys.readouterr().out)
    assert summary["outcome"] == "rejected"
    assert summary["decision"] == {"approved": False, "reason": "rejected: worse"}


def test_nobody_is_told_of_what_needs_nobody(told: list[str]) -> None:
    run("SUCCEEDED", "", None, {}, True, "job-1")
    run("FAILED", "train failed", None, {}, False, "job-1")
    assert told == []


class Deaf:
    def started(self, step: StepRecord) -> None: ...
    def progressed(self, step: StepRecord) -> None: ...
    def finished(self, step: StepRecord) -> None: ...


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def work() -> None:
    """Works."""


@dsl.pipeline(name="work")
def pipeline(records: str, provenance: dict) -> None:  # type: ignore[type-arg]
    """Works, and ends."""
    with dsl.ExitHandler(summarize(records=records, provenance=provenance, notify=True)):
        work()


def test_it_ends_a_real_pipeline(tmp_path: Path) -> None:
    steps = run_pipeline(
        pipeline,
        {"records": str(tmp_path / "records" / "run-7"), "provenance": {"run": "run-7"}},
        pipeline_root=tmp_path / "artifacts",
        cache_root=tmp_path / "cache",
        logs=tmp_path / "logs",
        listener=Deaf(),
    )
    assert [step.state for step in steps] == ["succeeded", "succeeded"]
    assert summed_up(Path(steps[-1].log).read_text("utf-8"))["outcome"] == "finished"

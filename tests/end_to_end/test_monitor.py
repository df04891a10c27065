"""A served model is watched: prompts that drift are found, and it is trained anew, once."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.store import RequestRecord
from serving.store.log_file import line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RULES = (
    "[{metric: drift.prompt.drift_share, at_most: 0.3, min_samples: 30, severity: retrain},"
    " {metric: errors.share, at_most: 0.2, min_samples: 30},"
    " {metric: quality.nll_per_byte, at_most: 20, min_samples: 3}]"
)
AT_FIRST = "The Secretary of the Treasury will lay before {} the estimates of the year {}."
LATER = "omg pls write me 1 tweet #{} !!! about {}???"
ENOUGH = 40


class Served:
    """`loomline serve` while it runs."""

    def __init__(self, output: Path) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "serve", f"--output={output}"]
        self.process = subprocess.Popen(
            [*command, "--port=0", "--rest-port=0", "--http-port=0"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.said = ""
        for said in self.process.stdout:
            self.said += said
            if "playground:" in said:
                break
        self.gateway = self.find(r"playground: (http\S+)")
        self.grpc = self.find(r"gRPC +(\S+)")

    def find(self, pattern: str) -> str:
        found = re.search(pattern, self.said)
        assert found, self.said
        return found[1]

    def ask(self, form: str) -> list[str]:
        """Asks some times; the ids of the requests."""
        names = []
        with httpx.Client(base_url=self.gateway, timeout=60) as client:
            for place in range(ENOUGH):
                asked = {"prompt": form.format(place, place * 7), "max_new_tokens": 8}
                reply = client.post("/v1/generate", json=asked).json()
                names.append(reply["request_id"])
        return names

    def say(self, **feedback: Any) -> None:
        answer = httpx.post(f"{self.gateway}/v1/feedback", json=feedback, timeout=60)
        assert answer.status_code == 201, answer.text

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=60)


@pytest.fixture
def served(pushed: Path) -> Iterator[Served]:
    started = Served(pushed)
    yield started
    started.stop()


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[str]]]:
    """A webhook's address, and what it was told."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append(json.loads(body)["text"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", told
    server.shutdown()
    server.server_close()


def monitor(
    corpus: Path, output: Path, small: Callable[..., list[str]], hook: str, *more: str
) -> subprocess.CompletedProcess[str]:
    fresh = output / "fresh"
    fresh.mkdir(exist_ok=True)
    for name in ("a", "b", "c"):
        lines = [
            f"We will build {n} walls of {name} bricks, folks, and pay {n}." for n in range(200)
        ]
        (fresh / f"{name}.txt").write_text("\n\n".join(lines), "utf-8")
    settings = {
        "ingest.source": str(corpus / "*.txt"),
        "train.steps": "40",
        "train.eval_every": "40",
        "monitoring.rules": RULES,
        "monitoring.settle_seconds": "0",
        # Together with what is new.
        "monitoring.retrain_set": "['ingest.source={data}']",
    }
    return subprocess.run(
        small("monitor", "text", f"--output={output}", f"--data={fresh}/*.txt", *more, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ | {"LOOMLINE_WEBHOOK_URL": hook},
    )


def test_drift_of_prompts_is_found_told_and_answered_by_one_retraining(
    served: Served,
    pushed: Path,
    corpus: Path,
    small: Callable[..., list[str]],
    webhook: tuple[str, list[str]],
) -> None:
    from serving.store import open_store

    hook, told = webhook
    served.ask(AT_FIRST)
    between = datetime.now(UTC).isoformat()
    names = served.ask(LATER)
    served.say(request_id=names[0], kind="thumbs", value=-1)
    for name in names[:4]:
        served.say(request_id=name, kind="edit", text="No. The state of the Union is strong.")
    address = f"--address={served.grpc}"

    store = open_store(f"sqlite:///{pushed / 'store.sqlite'}")
    done = monitor(corpus, pushed, small, hook, address, f"--since={between}")
    assert done.returncode == 3, done.stdout + done.stderr
    (found,) = store.monitoring.recent("text")
    assert (found.verdict, found.requests) == ("retrain", ENOUGH)
    assert found.figures["drift.prompt.drift_share"] > 0.5  # type: ignore[operator]
    assert found.figures["quality.nll_per_byte"] is not None
    assert found.figures["quality.nll_per_byte_minus_baseline"] is not None
    assert found.figures["drift.data.drift_share"] > 0  # type: ignore[operator]
    assert "What people ask differs" in Path(found.report).read_text("utf-8")
    (started,) = store.monitoring.retrainings("text")
    assert (started.state, started.monitoring_id) == ("succeeded", found.id)
    assert started.reason.startswith("drift.prompt.drift_share")
    assert started.details["cpu_seconds"] > 1
    assert store.registry.runs(model="text")[0].run == started.run
    assert (pushed / "models" / "text" / "2" / "saved_model.pb").is_file()
    assert told[0].startswith("text should be trained anew")
    assert told[1].startswith("Retraining of text: succeeded")

    # This time the edited texts are scored by the model's own files.
    again = monitor(corpus, pushed, small, hook, f"--since={between}")
    assert again.returncode == 3, again.stdout + again.stderr
    refused, _ = store.monitoring.retrainings("text")
    assert refused.state == "refused"
    assert "cool-down" in refused.details["refusal"]
    assert "cool-down" in again.stdout
    assert not (pushed / "models" / "text" / "3").exists()
    scored = [one.figures["quality.nll_per_byte"] for one in store.monitoring.recent("text")]
    assert scored[0] == pytest.approx(scored[1], rel=1e-4)
    # The verdict has not changed: nobody is told twice.
    assert len([one for one in told if one.startswith("text should")]) == 1
    store.close()


def test_a_table_is_watched_by_a_log_whose_last_line_is_torn(tmp_path: Path) -> None:
    """Without a model, a server or a gateway: the rows are no longer what they were."""
    draws = random.Random(0)
    lines = [f"{draws.choice('ab')},{draws.gauss(0, 1):.3f}" for _ in range(300)]
    (tmp_path / "rows.csv").write_text("kind,size\n" + "\n".join(lines) + "\n", "utf-8")
    log = tmp_path / "log.jsonl"
    start = datetime(2026, 11, 28, 12, tzinfo=UTC)
    with log.open("w") as stream:
        for place in range(300):
            size = draws.gauss(0 if place < 150 else 3, 1)
            outputs = {"kind": [draws.choice("ab")], "size": [size]}
            created = start + timedelta(minutes=place)
            content = line(
                RequestRecord(
                    *(f"r{place}", created, None, "table", 1, None, "", "generate"),
                    *({"num_rows": 1, "seed": place}, outputs, "ok", "", "", 0, 5.0),
                    *(None, None, False),
                )
            )
            stream.write(f"{content}\n" if place < 299 else content[:-9])
    middle = (start + timedelta(minutes=150)).isoformat()
    end = (start + timedelta(days=1)).isoformat()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pipelines.cli", "monitor", "table", f"--output={tmp_path}"),
            "--dry-run",
            *(f"--log={log}", f"--since={middle}", f"--until={end}"),
            *(f"--set=ingest.source={tmp_path}/rows.csv", "--set=ingest.time_column="),
            *("--set=ingest.columns=[]", "--set=ingest.constraints=[]"),
            *(f"--set=ingest.{era}=" for era in ("reference_from", "reference_to", "current_from")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "drift.output.drift_share: " in done.stdout
    assert "a dry run: nothing is entered, nobody is told" in done.stdout
    assert "note: the last line of the log was cut off; it was set aside." in done.stdout
    report = json.loads((tmp_path / "monitoring" / "latest" / "monitoring.json").read_text("utf-8"))
    assert (report["requests"], report["verdict"], report["version"]) == (149, "alert", 1)
    assert "size rose from" in " ".join(report["headline"])

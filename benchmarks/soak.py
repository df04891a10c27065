"""Whether the embedded server keeps its memory: ten minutes of every kind of call at full load.

Eight client threads call one server without a pause: Predict over gRPC and REST with batches and
texts of changing sizes, metadata, status, the Prometheus page, and everything that is refused
(unknown models under ever new names, wrong inputs, broken JSON). Meanwhile a new version appears
every ten seconds, the oldest vanishes, and the configuration is reloaded with a moved label.

`growth`: resident memory of the server at the end over that after the first minute, less one;
medians over twenty seconds each. `failed`: calls that were not answered as they should be.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import common, soak_calls, soak_server

CLIENTS = 8
GOAL = {"growth": 0.05, "failed": 0}
_WINDOW = 20.0  # seconds over which a median of the memory is taken
_FIRST = 60.0  # seconds until the memory that the end is compared with
_SWAP = 10.0  # seconds between versions


@dataclasses.dataclass(frozen=True)
class Sample:
    """The server's resident memory at one moment."""

    seconds: float
    megabytes: float


def main() -> None:
    """Measures, prints the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load (default 10)")
    options = parser.parse_args()
    if options.minutes * 60 < _FIRST + 2 * _WINDOW:
        parser.error(f"--minutes must be at least {(_FIRST + 2 * _WINDOW) / 60:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), options.minutes * 60)


def _measure(folder: Path, seconds: float) -> None:
    export = folder / "export"
    soak_server.export_model(export)
    base_path = folder / soak_server.MODEL
    base_path.mkdir()
    shutil.copytree(export, base_path / "1")
    tally = soak_calls.Tally()
    samples: list[Sample] = []
    with soak_server.running(folder, base_path) as server:
        done = threading.Event()
        clients = [soak_calls.Client(server, seed, tally, done) for seed in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        swaps = threading.Thread(target=_swap, args=(server, export, base_path, tally, done))
        for thread in (*threads, swaps):
            thread.start()
        try:
            started = time.monotonic()
            while (now := time.monotonic() - started) < seconds:
                samples.append(Sample(now, server.resident_megabytes()))
                if len(samples) % 60 == 0:
                    print(f"progress: {now:.0f} s, {samples[-1].megabytes:.0f} MB", flush=True)
                time.sleep(1)
        finally:
            done.set()
            for thread in (*threads, swaps):
                thread.join()
    _report(samples, tally, seconds)


def _swap(
    server: soak_server.Server,
    export: Path,
    base_path: Path,
    tally: soak_calls.Tally,
    done: threading.Event,
) -> None:
    """Publishes versions, removes old ones, and moves the label, until `done`."""
    version = 1
    while not done.wait(_SWAP):
        version += 1
        partial = base_path / f".{version}"
        shutil.copytree(export, partial)
        partial.rename(base_path / str(version))
        shutil.rmtree(base_path / str(version - 2), ignore_errors=True)
        try:
            server.wait_for(version)
            server.reload(base_path, label=version)
            tally.add("version swaps")
        except Exception as error:
            tally.failed(f"swap to {version}", error)


def _report(samples: list[Sample], tally: soak_calls.Tally, seconds: float) -> None:
    def memory(start: float) -> float:
        inside = [s.megabytes for s in samples if start <= s.seconds < start + _WINDOW]
        return statistics.median(inside)

    first, end = memory(_FIRST), memory(seconds - _WINDOW)
    starts = [_FIRST * minute for minute in range(int((seconds - _WINDOW) // _FIRST) + 1)]
    rows = [(f"{start / 60:.0f}", memory(start)) for start in starts]
    common.print_table("resident memory", ["minute", "MB"], [*rows, ("end", end)])
    title = f"{seconds / 60:g} minutes, {CLIENTS} clients"
    common.print_table(title, ["calls", "count"], tally.items())
    figures = {"growth": end / first - 1, "failed": float(tally.failures)}
    common.conclude("soak", figures, GOAL, lower_is_better=True)


if __name__ == "__main__":
    main()

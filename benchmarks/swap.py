"""A new version under load: what the callers of the old one notice.

Eight clients call a text model of d=128 without a pause while three versions, one after the other,
are published, loaded, warmed, announced, and the one before them unloaded. `failed`: requests that
did not get an answer, of all. `p99_ratio`: the 99th percentile of the round trips that overlap a
swap (from the publication until the old version is unloaded), over that of the quiet seconds before
it. `generate` asks for 8 tokens; `score` is over in a fraction of that, so that a pause shows.
Server and clients have processes of their own.
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
from typing import Any

from benchmarks import common, serving_load

CLIENTS = 8
SWAPS = 3
GOAL = {"failed": 0.0, "generate_p99_ratio": 3.0, "score_p99_ratio": 3.0}
_CHUNK_SECONDS = 2.0
_UNLOADED_SECONDS = 120.0


@dataclasses.dataclass
class Swap:
    """Monotonic times of one swap: quiet from `quiet`, published, unloaded."""

    quiet: float
    published: float
    unloaded: float


def main() -> None:
    """Measures, prints the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quiet", type=float, default=8.0, help="seconds before each (default 8)")
    options = parser.parse_args()
    figures: dict[str, float] = {"failed": 0.0}
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved"
        _export(saved)
        for name, request in (("generate", generate_request(tokens=8)), ("score", _score())):
            base_path = Path(folder) / name
            shutil.copytree(saved, base_path / "1")
            swaps, seen = _measure(saved, base_path, request, options.quiet)
            figures["failed"] += sum(one["failed"] for one in seen)
            figures[f"{name}_p99_ratio"] = _report(name, swaps, seen, rows)
    columns = ["", "calls", "swap, s", "p50 before, ms", "p99 before", "p50 during", "p99 during"]
    common.print_table(f"{SWAPS} swaps under {CLIENTS} clients", columns, rows)
    common.conclude("swap", figures, GOAL, lower_is_better=True)


def _measure(
    saved: Path, base_path: Path, request: bytes, quiet: float
) -> tuple[list[Swap], list[dict[str, Any]]]:
    """Swaps under load; when each swap was, and what the clients saw."""
    seen: list[dict[str, Any]] = []
    swaps = []
    done = threading.Event()
    with (
        serving_load.server(base_path) as address,
        serving_load.Clients(CLIENTS, address, request) as clients,
    ):

        def load() -> None:
            while not done.is_set():
                seen.extend(clients.load(_CHUNK_SECONDS))

        clients.load(_CHUNK_SECONDS)
        loading = threading.Thread(target=load)
        loading.start()
        for version in range(2, SWAPS + 2):
            swap = Swap(time.monotonic(), 0.0, 0.0)
            time.sleep(quiet)
            partial = base_path / f".{version}"
            shutil.copytree(saved, partial)
            swap.published = time.monotonic()
            partial.rename(base_path / str(version))
            serving_load.wait_for_version(address, version)
            _wait_until_unloaded(address, version - 1)
            swap.unloaded = time.monotonic()
            swaps.append(swap)
        done.set()
        loading.join()
    return swaps, seen


def _wait_until_unloaded(address: str, version: int) -> None:
    from serving.client import Client

    end = time.monotonic() + _UNLOADED_SECONDS
    with Client(address, model=serving_load.MODEL) as client:
        while time.monotonic() < end:
            states = {entry.version: entry.state for entry in client.status()}
            if states.get(version, "END") == "END":
                return
            time.sleep(0.1)
    raise SystemExit(f"error: version {version} was not unloaded in {_UNLOADED_SECONDS:g} s")


def _report(
    name: str, swaps: list[Swap], seen: list[dict[str, Any]], rows: list[list[object]]
) -> float:
    """Adds a row to the table; the 99th percentile during the swaps over the one before."""
    calls = [(start, start + took, took * 1e3) for one in seen for start, took in one["took"]]
    before = [
        took
        for start, end, took in calls
        for swap in swaps
        if swap.quiet <= start and end <= swap.published
    ]
    during = [
        took
        for start, end, took in calls
        for swap in swaps
        if start < swap.unloaded and end > swap.published
    ]
    lengths = statistics.median(swap.unloaded - swap.published for swap in swaps)
    shown = [_percentile(took, share) for took in (before, during) for share in (50, 99)]
    rows.append([name, len(calls), lengths, *shown])
    return _percentile(during, 99) / _percentile(before, 99)


def _percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100)[share - 1]


def _export(path: Path) -> None:
    from benchmarks import decode_text

    decode_text.export(path, xla=False)


def generate_request(tokens: int) -> bytes:
    """A PredictRequest for so many tokens, serialized."""
    return _request(
        "generate",
        prompt={"dtype": 7, "string_val": [b"the state of the union"]},
        max_new_tokens={"dtype": 3, "int_val": [tokens]},
        temperature={"dtype": 1, "float_val": [0.8]},
        top_k={"dtype": 3, "int_val": [50]},
        top_p={"dtype": 1, "float_val": [0.95]},
        seed={"dtype": 9, "int64_val": [1]},
    )


def _score() -> bytes:
    return _request("score", text={"dtype": 7, "string_val": [b"the state"]})


def _request(signature: str, **inputs: dict[str, Any]) -> bytes:
    from serving.client import messages

    shape = {"dim": [{"size": 1}]}
    spec = messages.ModelSpec(name=serving_load.MODEL, signature_name=signature)
    tensors = {
        name: messages.TensorProto(tensor_shape=shape, **tensor) for name, tensor in inputs.items()
    }
    request = messages.PredictRequest(model_spec=spec, inputs=tensors)
    return bytes(request.SerializeToString())


if __name__ == "__main__":
    main()

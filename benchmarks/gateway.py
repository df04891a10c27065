"""What the gateway costs: generation through it against direct gRPC, and its first streamed token.

`throughput_8`: requests a second of eight clients over HTTP, over those of eight that call the
model server itself; 64 tokens each, from a portable text model (d=128, 4 layers, vocabulary 2048)
behind the embedded server. `first_token`: the time until the first piece of a stream arrives over
HTTP, over the time that one decode chunk of the same size takes over gRPC; with one client.
Keys, records in SQLite, the look at rollouts, metrics and logs of the gateway are on. `cpu_share`:
the gateway's part of the processor time that a request costs gateway and server, which other load
on the machine hardly changes.
Server, gateway and the eight clients of either side have processes of their own. Medians over
alternating rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import common

CLIENTS = 8
GOAL = {"throughput_8": 0.9, "first_token": 1.5}
PROMPT = "the state of"
TOKENS = 64
FIRST_CHUNK = 2  # of the gateway's settings
_LATENCIES = 20
_READY_SECONDS = 120.0
_TIMEOUT = 60.0


def main() -> None:
    """Measures, prints the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (default 7)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load a round (default 4)")
    parser.add_argument("--load", choices=("grpc", "http"), help="a client; for the benchmark")
    parser.add_argument("--address", default="", help="that the client calls; for the benchmark")
    parser.add_argument("--key", default="", help="of the client; for the benchmark")
    options = parser.parse_args()
    if options.load == "grpc":
        _serve_requests(lambda: _Direct(options.address))
    elif options.load == "http":
        _serve_requests(lambda: _Through(options.address, options.key))
    else:
        _measure(options.rounds, options.seconds)


def _measure(rounds: int, seconds: float) -> None:
    from benchmarks.decode_text import export

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "text"
        export(Path(folder) / "model", xla=False)
        base.mkdir()
        (Path(folder) / "model").rename(base / "1")
        with (
            _server(base) as (address, server),
            _gateway(address, Path(folder)) as (url, gateway, key),
        ):
            load = ("gateway.py", "--load")
            with (
                common.ours(*load, "http", "--address", url, "--key", key) as through,
                common.ours(*load, "grpc", "--address", address) as direct,
            ):
                costs: list[tuple[float, float]] = []

                def loaded() -> float:
                    before = _cpu_ms(gateway), _cpu_ms(server)
                    seen = through.ask({"seconds": seconds})
                    spent = _cpu_ms(gateway) - before[0], _cpu_ms(server) - before[1]
                    costs.append((spent[0] / seen["calls"], spent[1] / seen["calls"]))
                    return float(seen["rate"])

                rates = common.alternate(
                    rounds,
                    loaded,
                    lambda: float(direct.ask({"seconds": seconds})["rate"]),
                )
                firsts = common.alternate(
                    rounds,
                    lambda: float(through.ask({"first": _LATENCIES})["ms"]),
                    lambda: float(direct.ask({"first": _LATENCIES})["ms"]),
                )
    rows = [
        [name, *(statistics.median(column[side] for column in seen) for seen in (rates, firsts))]
        for side, name in enumerate(("through the gateway", "direct gRPC"))
    ]
    title = f"Text of {TOKENS} tokens, first chunk of {FIRST_CHUNK} (medians of {rounds} rounds)"
    columns = ["", f"{CLIENTS} clients, requests/s", "1 client, first piece, ms"]
    common.print_table(title, columns, rows)
    cost = [statistics.median(column) for column in zip(*costs, strict=True)]
    print(f"CPU of a request: {cost[0]:.2f} ms in the gateway, {cost[1]:.2f} ms in the server")
    figures = {
        "throughput_8": common.median_ratio(rates),
        "first_token": common.median_ratio(firsts),
        "cpu_share": cost[0] / sum(cost),
    }
    common.conclude("gateway", figures, GOAL, lower_is_better={"first_token"})


class _Direct:
    """One client of the model server."""

    def __init__(self, address: str) -> None:
        from serving.client import Client

        self._client = Client(address, model="text", timeout=_TIMEOUT)

    def generate(self) -> None:
        """One request."""
        options = {"max_new_tokens": TOKENS, "temperature": 0.8, "top_k": 50, "top_p": 0.95}
        found = self._client.generate(PROMPT, seed=1, **options)[0]  # type: ignore[arg-type]
        assert found.num_tokens == TOKENS

    def first(self) -> float:
        """Seconds for one decode chunk."""
        options = {"max_new_tokens": TOKENS, "temperature": 0.8, "top_k": 50, "top_p": 0.95}
        chunks: Any = self._client.stream(
            PROMPT,
            seed=1,
            first_chunk_tokens=FIRST_CHUNK,
            **options,  # type: ignore[arg-type]
        )
        started = time.perf_counter()
        assert next(chunks).num_tokens == FIRST_CHUNK
        took = time.perf_counter() - started
        # The rest is written for both sides, so that they find the server in the same state.
        assert sum(chunk.num_tokens for chunk in chunks) == TOKENS - FIRST_CHUNK
        return took


class _Through:
    """One client of the gateway, with a connection that stays open."""

    def __init__(self, url: str, key: str) -> None:
        self._host = url.removeprefix("http://")
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        fields = {"prompt": PROMPT, "max_new_tokens": TOKENS, "seed": 1}
        self._body = json.dumps(fields).encode()
        self._stream = json.dumps({**fields, "stream": True}).encode()
        self._connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT)

    def generate(self) -> None:
        """One request."""
        self._connection.request("POST", "/v1/generate", self._body, self._headers)
        reply = self._connection.getresponse()
        answer = json.loads(reply.read())
        assert answer["num_tokens"] == TOKENS, answer

    def first(self) -> float:
        """Seconds until the first piece of a stream is here."""
        started = time.perf_counter()
        self._connection.request("POST", "/v1/generate", self._stream, self._headers)
        reply = self._connection.getresponse()
        seen = b""
        while b"event: chunk\n" not in seen:
            piece = reply.read1()
            assert piece, seen
            seen += piece
        took = time.perf_counter() - started
        assert b"event: done\n" in reply.read()
        return took


def _serve_requests(make: Callable[[], Any]) -> None:
    """Reads {"seconds"} or {"first"} a line from standard input; answers with what it measured."""
    clients = [make() for _ in range(CLIENTS)]
    for client in clients:
        client.generate()
    for line in sys.stdin:
        asked = json.loads(line)
        if "seconds" in asked:
            rate, calls = _rate(clients, asked["seconds"])
            answer = {"rate": rate, "calls": calls}
        else:
            answer = {"ms": _first(clients[0], asked["first"])}
        print(json.dumps(answer), flush=True)


def _rate(clients: list[Any], seconds: float) -> tuple[float, int]:
    """Requests a second of all clients together, and how many they were."""
    rates, counts = [0.0] * len(clients), [0] * len(clients)

    def load(index: int) -> None:
        started = now = time.perf_counter()
        calls = 0
        while now - started < seconds:
            clients[index].generate()
            calls += 1
            now = time.perf_counter()
        rates[index], counts[index] = calls / (now - started), calls

    threads = [threading.Thread(target=load, args=(index,)) for index in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates), sum(counts)


def _first(client: Any, calls: int) -> float:
    """Median time in milliseconds until the first piece."""
    return float(statistics.median(client.first() for _ in range(calls))) * 1e3


@contextlib.contextmanager
def _process(arguments: list[str], prefix: str) -> Iterator[tuple[str, int]]:
    """Runs a module of ours; what it prints after the prefix, once it does, and its process id."""
    environment = {**os.environ, **common.thread_limits(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=common.ROOT,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith(prefix):
                raise SystemExit(f"error: {arguments[0]} did not start. Received: {line!r}")
            yield line.removeprefix(prefix).strip(), process.pid
        finally:
            process.terminate()
            process.wait(timeout=60)


@contextlib.contextmanager
def _server(base: Path) -> Iterator[tuple[str, int]]:
    """Its address and process id, once the model is available."""
    from serving.client import Client

    arguments = ["serving.server", "--port=0", "--model_name=text", f"--model_base_path={base}"]
    with _process(arguments, "Serving on ") as (address, pid):
        with Client(address, model="text") as client:
            client.wait_until_available(_READY_SECONDS)
        yield address, pid


@contextlib.contextmanager
def _gateway(upstream: str, folder: Path) -> Iterator[tuple[str, int, str]]:
    """Its URL, its process id, and a key for it."""
    from serving.store import open_store

    database = f"sqlite:///{folder / 'gateway.db'}"
    store = open_store(database)
    _, secret = store.keys.create("benchmark", requests_per_minute=10**9, tokens_per_day=10**12)
    store.close()
    arguments = ["serving.gateway", "--port=0", "--auth=keys", f"--upstream={upstream}"]
    arguments += [f"--store={database}", f"--first-chunk-tokens={FIRST_CHUNK}"]
    with _process(arguments, "Gateway on ") as (url, pid):
        yield url, pid, secret


def _cpu_ms(pid: int) -> float:
    """Processor time of a process so far, in milliseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

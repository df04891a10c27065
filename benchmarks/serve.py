"""What serving costs: a gRPC round trip against the in-process call, and against bare gRPC.

`added_ms`: the median round trip of one client, less the median of the same signature called in
process, in milliseconds. `throughput_8`: calls a second of eight clients, over those of a bare
Python gRPC server of the same size that parses and builds no messages: its handler calls the same
loaded signature with inputs made beforehand and returns bytes made beforehand. Servers and clients
have processes of their own; the clients serialize every request and parse every response, for both
alike. Medians over alternating rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent import futures
from pathlib import Path
from typing import Any

from benchmarks import common, serving_load

CLIENTS = 8
GOAL = {"added_ms": 1.2, "throughput_8": 0.9}
_CALLS = 400


def main() -> None:
    """Measures, prints the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (default 7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load a round (default 2)")
    parser.add_argument("--bare", type=Path, help="a SavedModel to serve bare; for the benchmark")
    parser.add_argument("--inside", type=Path, help="one to call in process; for the benchmark")
    options = parser.parse_args()
    if options.bare:
        _serve_bare(options.bare)
    elif options.inside:
        _call_inside(options.inside)
    else:
        _measure(options.rounds, options.seconds)


def _measure(rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1"
        serving_load.export_small_model(path)
        request = serving_load.small_request()
        with (
            serving_load.server(path.parent) as address,
            common.ours("serve.py", "--bare", path) as bare,
            common.ours("serve.py", "--inside", path) as inside,
        ):
            peer = bare.ask({})["address"]
            with (
                serving_load.Clients(CLIENTS, address, request) as clients,
                serving_load.Clients(CLIENTS, peer, request) as peer_clients,
                serving_load.Clients(1, address, request) as client,
                serving_load.Clients(1, peer, request) as peer_client,
            ):
                single = [
                    (
                        serving_load.latency(client.load(seconds)),
                        serving_load.latency(peer_client.load(seconds)),
                        inside.ask({"calls": _CALLS})["median_ms"],
                    )
                    for _ in range(rounds)
                ]
                loaded = common.alternate(
                    rounds,
                    lambda: serving_load.rate(clients.load(seconds)),
                    lambda: serving_load.rate(peer_clients.load(seconds)),
                )
    _report(single, loaded)


def _report(single: list[tuple[float, float, float]], loaded: list[tuple[float, float]]) -> None:
    ours, peer, inside = (statistics.median(column) for column in zip(*single, strict=True))
    rates = [statistics.median(column) for column in zip(*loaded, strict=True)]
    rows = [
        ["in process", inside, ""],
        ["bare gRPC", peer, rates[1]],
        ["Loomline", ours, rates[0]],
    ]
    title = f"A small model (medians of {len(single)} rounds)"
    common.print_table(title, ["", "1 client, ms", f"{CLIENTS} clients, calls/s"], rows)
    figures = {
        "added_ms": statistics.median(mine - alone for mine, _, alone in single),
        "throughput_8": common.median_ratio(loaded),
        "bare_added_ms": statistics.median(bare - alone for _, bare, alone in single),
    }
    common.conclude("serve", figures, GOAL, lower_is_better={"added_ms"})


def _signature(path: Path) -> tuple[Any, Any]:
    """The loaded signature and a tensor for it; the model stays alive with the signature."""
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    function = model.signatures["serving_default"]
    function.owner = model
    return function, tf.range(serving_load.WIDTH, dtype=tf.float32)[tf.newaxis]


def _call_inside(path: Path) -> None:
    function, x = _signature(path)
    function(x=x)
    for line in sys.stdin:
        took = []
        for _ in range(json.loads(line)["calls"]):
            started = time.perf_counter()
            function(x=x)["y"].numpy()
            took.append(time.perf_counter() - started)
        print(json.dumps({"median_ms": statistics.median(took) * 1e3}), flush=True)


def _serve_bare(path: Path) -> None:
    import grpc
    import tensorflow as tf

    from serving.client import messages

    function, x = _signature(path)
    output = tf.make_tensor_proto(function(x=x)["y"]).SerializeToString()
    response = messages.PredictResponse(outputs={"y": messages.TensorProto.FromString(output)})
    answer = bytes(response.SerializeToString())

    def handle(_: bytes, __: grpc.ServicerContext) -> bytes:
        function(x=x)["y"].numpy()
        return answer

    service, method = serving_load.PREDICT.strip("/").split("/")
    # As many threads as Loomline's server has by default.
    server = grpc.server(futures.ThreadPoolExecutor(4 * (os.cpu_count() or 1)))
    handlers = {method: grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    for _ in sys.stdin:
        print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    server.stop(None)


if __name__ == "__main__":
    main()

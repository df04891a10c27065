"""When dynamic batching pays for `generate`: calls a second with it, over those without it.

A text model of d=128 generates 16 tokens a call, on one server with `--enable_batching` (batches of
at most 16 rows, 5 ms of waiting, one batch at a time) and on one without; 1, 4 and 16 clients with
one prompt a call. Alternating rounds. There is no goal: it shows what to expect.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks import common, decode_text, serving_load, swap

CLIENTS = (1, 4, 16)
PARAMETERS = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 5000 }
num_batch_threads { value: 1 }
"""


def main() -> None:
    """Measures, prints the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load a round (default 4)")
    options = parser.parse_args()
    figures, rows = {}, []
    request = swap.generate_request(tokens=16)
    with tempfile.TemporaryDirectory() as folder:
        decode_text.export(Path(folder) / "1", xla=False)
        file = Path(folder) / "batching.txt"
        file.write_text(PARAMETERS)
        # Every waiting request holds a thread.
        threads = f"--grpc_max_threads={2 * max(CLIENTS)}"
        flags = ("--enable_batching", f"--batching_parameters_file={file}", threads)
        with (
            serving_load.server(Path(folder), *flags) as batched,
            serving_load.server(Path(folder), threads) as plain,
        ):
            for count in CLIENTS:
                with (
                    serving_load.Clients(count, batched, request) as ours,
                    serving_load.Clients(count, plain, request) as theirs,
                ):
                    pairs = common.alternate(
                        options.rounds,
                        lambda ours=ours: ours.load(options.seconds),  # type: ignore[misc]
                        lambda theirs=theirs: theirs.load(options.seconds),  # type: ignore[misc]
                    )
                rates = [(serving_load.rate(a), serving_load.rate(b)) for a, b in pairs]
                latencies = [(serving_load.latency(a), serving_load.latency(b)) for a, b in pairs]
                figures[f"clients_{count}"] = common.median_ratio(rates)
                medians = [
                    statistics.median(column)
                    for pair in (rates, latencies)
                    for column in zip(*pair, strict=True)
                ]
                rows.append([count, *medians, figures[f"clients_{count}"]])
    columns = ["clients", "calls/s batched", "plain", "p50 ms batched", "plain", "ratio"]
    common.print_table("generate, 16 tokens", columns, rows)
    common.conclude("batching", figures, {})


if __name__ == "__main__":
    main()

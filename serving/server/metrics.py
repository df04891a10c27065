"""Prometheus metrics under TensorFlow Serving's own names, labels, buckets and units."""

from __future__ import annotations

import bisect
import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Metadata and status are not among the requests that TensorFlow Serving counts.
_COUNTED = frozenset({"Predict", "Classify", "Regress", "MultiInference"})


def exponential_limits(scale: float, factor: float, count: int) -> list[float]:
    """The upper limits of TensorFlow's exponential buckets; one without a limit follows them."""
    limits = [scale]
    while len(limits) < count:
        limits.append(limits[-1] * factor)
    return limits


class _Counter:
    """A number for every combination of label values."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.cells: dict[tuple[str, ...], int] = {}

    def add(self, values: tuple[str, ...], amount: int = 1) -> None:
        self.cells[values] = self.cells.get(values, 0) + amount

    def lines(self) -> Iterator[str]:
        yield from _heading(self.name, self.text, "counter")
        for values, number in self.cells.items():
            yield f"{self.name}{{{_pairs(self.labels, values)}}} {number}"


class _Histogram:
    """Counts by size, and their sum, for every combination of label values."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], limits: Sequence[float]
    ) -> None:
        self.name, self.text, self.labels, self.limits = name, text, labels, limits
        self.cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def add(self, values: tuple[str, ...], size: float) -> None:
        cell = self.cells.get(values)
        if cell is None:
            cell = self.cells[values] = ([0] * (len(self.limits) + 1), [0.0])
        cell[0][bisect.bisect_left(self.limits, size)] += 1
        cell[1][0] += size

    def lines(self) -> Iterator[str]:
        yield from _heading(self.name, self.text, "histogram")
        limits = [*(f"{limit:g}" for limit in self.limits), "+Inf"]
        for values, (counts, total) in self.cells.items():
            pairs = _pairs(self.labels, values)
            below = 0
            for limit, count in zip(limits, counts, strict=True):
                below += count
                bucket = _pairs((*self.labels, "le"), (*values, limit))
                yield f"{self.name}_bucket{{{bucket}}} {below}"
            yield f"{self.name}_sum{{{pairs}}} {total[0]:.17g}"
            yield f"{self.name}_count{{{pairs}}} {below}"


class ServerMetrics:
    """What the server did, for Prometheus. Any thread may call it; a call costs microseconds.

    Names that callers make up must not become label values, each of which takes memory for good:
    a model counts under its name from its first load on, and before that under "".
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # TensorFlow Serving tells nothing of its memory: on a cluster the kubelet does.
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._known: set[str] = set()
        self._thread = threading.local()
        # Scale 10, factor 1.8, 33 limits: 10 microseconds to about 20 minutes.
        latencies = exponential_limits(10, 1.8, 33)
        powers = exponential_limits(1, 2, 15)
        serving = ":tensorflow:serving:"
        self._requests = _Counter(
            f"{serving}request_count", "The total number of requests.", ("model_name", "status")
        )
        self._latency = _Histogram(
            f"{serving}request_latency",
            "Distribution of wall time (in microseconds) of requests that succeeded.",
            ("model_name", "API", "entrypoint"),
            latencies,
        )
        self._example_counts = _Histogram(
            f"{serving}request_example_counts",
            "The number of tensorflow.Examples per request.",
            ("model",),
            powers,
        )
        self._example_total = _Counter(
            f"{serving}request_example_count_total",
            "The total number of tensorflow.Examples.",
            ("model",),
        )
        self._batches = _Counter(
            f"{serving}batching_session:wrapped_run_count", "Total count of batches that ran.", ()
        )
        # TensorFlow Serving keeps percentiles of this, which its own page cannot show.
        self._batch_sizes = _Histogram(
            f"{serving}batching_session:processed_batch_size",
            "Distribution of the number of rows in a batch.",
            ("model_name",),
            powers,
        )
        loading = ":tensorflow:cc:saved_model:"
        self._loads = _Counter(
            f"{loading}load_attempt_count",
            "The number of times that a load of a SavedModel ended.",
            ("model_path", "status"),
        )
        self._load_latency = _Counter(
            f"{loading}load_latency",
            "Time (in microseconds) that successful loads of a SavedModel took.",
            ("model_path",),
        )

    @contextlib.contextmanager
    def counted_by_caller(self) -> Iterator[None]:
        """Meanwhile requests of this thread do not count: whoever received them counts them."""
        self._thread.silent = True
        try:
            yield
        finally:
            self._thread.silent = False

    def request(
        self,
        method: str,
        model: str,
        signature: str,
        code: str,
        seconds: float,
        entrypoint: str = "GRPC",
    ) -> None:
        """A call has ended.

        Args:
            method: `Predict` and so on; calls that TensorFlow Serving does not count are not.
            model: its name.
            signature: not a label of TensorFlow Serving's, and left out.
            code: the gRPC code's name.
            seconds: how long it took.
            entrypoint: `GRPC` or `REST`.
        """
        if method not in _COUNTED or getattr(self._thread, "silent", False):
            return
        # TensorFlow Serving takes the API's name from the URL there.
        api = method.lower() if entrypoint == "REST" else method
        with self._lock:
            name = model if model in self._known else ""
            self._requests.add((name, code))
            if code == "OK":
                self._latency.add((name, api, entrypoint), seconds * 1e6)

    def examples(self, model: str, count: int) -> None:
        """A Classify or Regress request brought this many tf.Examples."""
        with self._lock:
            name = model if model in self._known else ""
            self._example_counts.add((name,), count)
            self._example_total.add((name,), count)

    def load(
        self, model: str, version: int, seconds: float, ok: bool, path: str | None = None
    ) -> None:
        """A load has ended, its warmup included.

        Args:
            model: its name; from now on requests count under it.
            version: its number.
            seconds: how long it took.
            ok: whether it succeeded.
            path: the version's folder; `model/version` if not given.
        """
        label = f"{model}/{version}" if path is None else path
        with self._lock:
            self._known.add(model)
            self._loads.add((label, "success" if ok else "fail"))
            if ok:
                self._load_latency.add((label,), round(seconds * 1e6))

    def batch(self, model: str, size: int) -> None:
        """A batch of this many rows ran, padding not counted."""
        with self._lock:
            self._batches.add(())
            self._batch_sizes.add((model,), size)

    def text(self) -> str:
        """The page that Prometheus reads, in its text format."""
        families: Iterable[_Counter | _Histogram] = (
            self._loads,
            self._load_latency,
            self._batches,
            self._batch_sizes,
            self._example_total,
            self._example_counts,
            self._requests,
            self._latency,
        )
        with self._lock:
            lines = [line for family in families if family.cells for line in family.lines()]
        return "\n".join([*lines, generate_latest(self._process).decode()])


def _heading(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(
        f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""The page that Prometheus reads: TensorFlow Serving's names, labels, buckets and units."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.server.metrics import ServerMetrics, exponential_limits

LATENCY = ":tensorflow:serving:request_latency"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"


def samples(metrics: ServerMetrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by sample name and labels, as Prometheus's own parser reads them."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    text = metrics.text()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # The parser gives every counter the suffix that OpenMetrics wants.
            given = f"\n{sample.name}{{" in text
            name = sample.name if given else sample.name.removesuffix("_total")
            found.setdefault(name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


@pytest.fixture
def metrics() -> ServerMetrics:
    result = ServerMetrics()
    result.load("text", 3, 1.5, True)
    return result


def test_requests_count_by_model_and_status(metrics):
    metrics.request("Predict", "text", "generate", "OK", 0.001)
    metrics.request("Predict", "text", "generate", "OK", 0.001)
    metrics.request("Classify", "text", "", "INVALID_ARGUMENT", 0.001)
    counts = samples(metrics)[":tensorflow:serving:request_count"]
    assert counts == {
        labels(model_name="text", status="OK"): 2,
        labels(model_name="text", status="INVALID_ARGUMENT"): 1,
    }


def test_latency_is_a_histogram_in_microseconds_of_what_succeeded(metrics):
    metrics.request("Predict", "text", "", "OK", 0.000_015)
    metrics.request("Predict", "text", "", "OK", 0.002)
    metrics.request("Predict", "text", "", "INTERNAL", 5)
    found = samples(metrics)
    cell = {"model_name": "text", "API": "Predict", "entrypoint": "GRPC"}
    assert found[f"{LATENCY}_count"][labels(**cell)] == 2
    assert found[f"{LATENCY}_sum"][labels(**cell)] == pytest.approx(2015)
    buckets = found[f"{LATENCY}_bucket"]
    assert buckets[labels(**cell, le="10")] == 0
    assert buckets[labels(**cell, le="18")] == 1
    assert buckets[labels(**cell, le="1983.59")] == 1
    assert buckets[labels(**cell, le="3570.47")] == 2
    assert buckets[labels(**cell, le="+Inf")] == 2
    assert len(buckets) == 34


def test_the_buckets_of_latency_end_at_about_twenty_minutes():
    limits = exponential_limits(10, 1.8, 33)
    assert (limits[0], limits[1], len(limits)) == (10, 18, 33)
    assert 20 * 60e6 < limits[-1] < 30 * 60e6


def test_rest_is_an_entrypoint_of_its_own_with_the_names_of_its_urls(metrics):
    metrics.request("Predict", "text", "", "OK", 0.001, "REST")
    (cell,) = samples(metrics)[f"{LATENCY}_count"]
    assert cell == labels(model_name="text", API="predict", entrypoint="REST")


def test_metadata_and_status_are_not_counted_as_in_tensorflow_serving(metrics):
    metrics.request("GetModelMetadata", "text", "", "OK", 0.001)
    assert ":tensorflow:serving:request_count" not in samples(metrics)


def test_names_that_callers_make_up_share_one_cell(metrics):
    for number in range(1000):
        metrics.request("Predict", f"made-up-{number}", f"s{number}", "NOT_FOUND", 0.001)
    counts = samples(metrics)[":tensorflow:serving:request_count"]
    assert counts == {labels(model_name="", status="NOT_FOUND"): 1000}


def test_loads_are_counted_with_their_time(metrics):
    metrics.load("text", 3, 0.5, True)
    metrics.load("text", 4, 9.0, False, "/models/text/4")
    found = samples(metrics)
    assert found[LOADS] == {
        labels(model_path="text/3", status="success"): 2,
        labels(model_path="/models/text/4", status="fail"): 1,
    }
    assert found[":tensorflow:cc:saved_model:load_latency"] == {
        labels(model_path="text/3"): 2_000_000
    }


def test_batches_and_examples_are_counted(metrics):
    metrics.batch("text", 3)
    metrics.batch("text", 8)
    metrics.examples("text", 5)
    found = samples(metrics)
    batching = ":tensorflow:serving:batching_session:"
    assert found[f"{batching}wrapped_run_count"] == {(): 2}
    assert found[f"{batching}processed_batch_size_sum"] == {labels(model_name="text"): 11}
    sizes = found[f"{batching}processed_batch_size_bucket"]
    assert sizes[labels(model_name="text", le="4")] == 1
    counts = ":tensorflow:serving:request_example_count"
    assert found[f"{counts}_total"] == {labels(model="text"): 5}
    assert found[f"{counts}s_count"] == {labels(model="text"): 1}


def test_label_values_are_escaped(metrics):
    name = 'quote " backslash \\ newline \n end'
    metrics.load(name, 1, 1.0, True)
    paths = {dict(cell)["model_path"] for cell in samples(metrics)[LOADS]}
    assert f"{name}/1" in paths


def test_no_count_is_lost_between_threads(metrics):
    def work() -> None:
        for _ in range(2000):
            metrics.request("Predict", "text", "", "OK", 0.001)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    pages: list[Any] = [samples(metrics) for _ in range(3)]
    for thread in threads:
        thread.join()
    cell = labels(model_name="text", status="OK")
    assert samples(metrics)[":tensorflow:serving:request_count"][cell] == 16_000
    for page in pages:
        # A page is of one moment: what was counted was also timed.
        counted = page.get(":tensorflow:serving:request_count", {}).get(cell, 0)
        assert sum(page.get(f"{LATENCY}_count", {0: 0}).values()) == counted


def test_a_request_costs_microseconds(metrics):
    started = time.thread_time()
    for _ in range(10_000):
        metrics.request("Predict", "text", "generate", "OK", 0.001)
    assert (time.thread_time() - started) / 10_000 < 50e-6


def test_the_memory_of_the_process_is_told_though_tensorflow_serving_tells_none():
    found = samples(ServerMetrics())
    assert found["process_resident_memory_bytes"][()] > 1e6
    assert 0 < found["process_start_time_seconds"][()] < time.time()

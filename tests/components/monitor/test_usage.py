"""Errors, latency, tokens, cost and feedback are counted, with honest intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.artifacts import ServingLog
from components.monitor.options import MonitorOptions
from components.monitor.quality import of_edits
from components.monitor.usage import of_feedback, of_requests

WriteLog = Callable[..., ServingLog]
Row = Callable[..., dict[str, Any]]


def test_errors_latency_tokens_and_cost(write_log: WriteLog, request_row: Row) -> None:
    rows = [request_row(f"r{n}", latency_ms=float(n), first_token_ms=1.0) for n in range(1, 1000)]
    rows += [request_row("bad", status="error", outputs=None, num_tokens=0, latency_ms=1e9)]
    gone = {"status": "error", "code": "CANCELLED", "num_tokens": 0, "latency_ms": 1e9}
    rows += [request_row(f"gone{n}", **gone) for n in range(250)]
    options = MonitorOptions(price_per_cpu_second=2.0, price_per_1000_tokens=10.0)
    found = of_requests(write_log(rows), options)
    assert found["requests.count"].value == 1250
    assert found["cancelled.share"].value == 0.2
    errors = found["errors.share"]
    assert errors.value == 0.001
    assert errors.low is not None
    assert errors.high is not None
    assert 0 < errors.low < 0.001 < errors.high < 0.01
    median, high = found["latency.p50_ms"], found["latency.p95_ms"]
    # The time that a failed request took says nothing of an answer.
    assert median.value == 500
    assert high.value == 950
    assert median.samples == 999
    assert found["first_token.p99_ms"].value == 1.0
    assert found["tokens.total"].value == 4 * 999
    seconds = sum(range(1, 1000)) / 1000
    assert found["cost.total"].value == pytest.approx(2 * seconds + 10 * 4 * 999 / 1000)
    assert found["cost.per_request"].value == pytest.approx(found["cost.total"].value / 1250)


def test_the_interval_of_a_quantile_holds_the_truth_as_often_as_it_says(
    write_log: WriteLog, request_row: Row
) -> None:
    from components.monitor.usage import _quantiles

    draws = np.random.default_rng(1)
    truth = float(np.exp(1.6448536 * 0.5))
    held = 0
    for _ in range(400):
        figure = _quantiles("latency", draws.lognormal(0, 0.5, 300), "")["latency.p95_ms"]
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= truth <= figure.high
    assert 0.93 <= held / 400 <= 0.99


def test_a_quantile_of_few_values_has_no_interval(write_log: WriteLog, request_row: Row) -> None:
    found = of_requests(write_log([request_row("a")]), MonitorOptions())
    assert (found["latency.p99_ms"].value, found["latency.p99_ms"].high) == (20.0, None)


def test_feedback_is_told_by_kind(write_log: WriteLog, request_row: Row) -> None:
    def said(name: str, kind: str, value: int | None = None) -> dict[str, Any]:
        return {"id": name, "request_id": f"r{name}", "kind": kind, "value": value}

    feedback = [
        *(said(f"u{n}", "thumbs", 1) for n in range(6)),
        *(said(f"d{n}", "thumbs", -1) for n in range(2)),
        *(said(f"s{n}", "rating", n + 1) for n in range(5)),
        {**said("again", "thumbs", -1), "request_id": "ru0"},
        {**said("changed", "thumbs", 1), "request_id": "ru0"},
        said("p1", "preference", 1),
        said("p2", "preference", 0),
        said("e", "edit"),
    ]
    log = write_log([request_row(f"r{n}") for n in range(20)], feedback=feedback)
    found = of_feedback(log, 20)
    assert found["feedback.positive_share"].value == 0.75
    assert found["feedback.positive_share"].samples == 8
    assert found["feedback.rating_mean"].value == 3
    assert found["feedback.preferred_share"].samples == 1
    assert found["feedback.edit_share"].value == 0.05
    assert found["feedback.share"].value == 16 / 20


def test_edited_texts_are_held_against_held_out_ones(write_log: WriteLog) -> None:
    draws = np.random.default_rng(0)

    def scores(mean: float, count: int) -> list[dict[str, Any]]:
        return [
            {
                "id": str(n),
                "document_id": str(n),
                "nll": 100 * (mean + 0.1 * draws.normal()),
                "num_bytes": 100,
            }
            for n in range(count)
        ]

    log = write_log([], edits=scores(1.5, 60), baseline=scores(1.2, 80))
    found = of_edits(log)
    difference = found["quality.nll_per_byte_minus_baseline"]
    assert difference.value == pytest.approx(0.3, abs=0.05)
    assert difference.low is not None
    assert difference.high is not None
    assert 0.2 < difference.low < difference.value < difference.high < 0.4
    assert difference.samples == 60
    log.edits_path.unlink()
    assert set(of_edits(log)) == {"quality.baseline_nll_per_byte"}

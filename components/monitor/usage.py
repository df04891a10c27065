"""Figures of the requests themselves: errors, latency, tokens, cost, and what people said."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from components.artifacts import Figure, ServingLog
from components.evaluate.intervals import wilson
from components.monitor.options import MonitorOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_CALLERS_OWN = "CANCELLED"
_Z = NormalDist().inv_cdf(0.975)


def of_requests(log: ServingLog, options: MonitorOptions) -> dict[str, Figure]:
    """Figures of a window's requests; numbers alone are held in memory, eight bytes a request.

    Shares have Wilson's interval (1927). That of a quantile lies between two of the sorted values,
    whose ranks the binomial distribution gives without supposing any shape (David and Nagaraja,
    "Order Statistics", 2003, 7.1).
    """
    import numpy as np

    latencies: list[NDArray[np.float64]] = []
    firsts: list[NDArray[np.float64]] = []
    requests = errors = cancelled = tokens = 0
    columns = ["status", "code", "latency_ms", "first_token_ms", "num_tokens"]
    for batch in log.batches(log.requests_path, columns):
        status, code, latency, first, counts = (batch.column(name) for name in columns)
        good = np.asarray(status.to_pylist()) == "ok"
        left = np.asarray(code.to_pylist()) == _CALLERS_OWN
        requests += len(good)
        cancelled += int(left.sum())
        errors += int((~good & ~left).sum())
        tokens += int(np.asarray(counts.to_pylist(), np.int64).sum())
        latencies.append(latency.to_numpy(zero_copy_only=False)[good])
        firsts.append(first.to_numpy(zero_copy_only=False)[good])
    found = {"requests.count": Figure(float(requests), samples=requests, label="requests")}
    if not requests:
        return found
    # Who goes away early says nothing of the server.
    if requests > cancelled:
        found["errors.share"] = _share(
            errors, requests - cancelled, "requests that failed", better="lower"
        )
    found["cancelled.share"] = _share(cancelled, requests, "requests that the caller cancelled")
    answered = np.concatenate(latencies)
    answered = answered[np.isfinite(answered) & (answered >= 0)]
    found |= _quantiles("latency", answered, "latency")
    waited = np.concatenate(firsts).astype(float)
    found |= _quantiles("first_token", waited[np.isfinite(waited)], "time to the first token")
    seconds = float(answered.sum()) / 1000
    found["tokens.total"] = Figure(float(tokens), samples=requests, label="tokens")
    found["tokens.per_request"] = Figure(
        tokens / requests, samples=requests, label="tokens a request"
    )
    cost = seconds * options.price_per_cpu_second + tokens / 1000 * options.price_per_1000_tokens
    found["cost.total"] = Figure(cost, samples=requests, better="lower", label="cost")
    found["cost.per_request"] = Figure(
        cost / requests, samples=requests, better="lower", label="cost of a request"
    )
    return found


def of_feedback(log: ServingLog, requests: int) -> dict[str, Figure]:
    """Rates of feedback by kind, and how much of it is good."""
    kinds: Counter[str] = Counter()
    # One answer counts once: the last word on it does.
    words: dict[str, dict[str, int]] = {"thumbs": {}, "rating": {}, "preference": {}}
    about: set[str] = set()
    columns = ["request_id", "kind", "value"]
    for batch in log.batches(log.feedback_path, columns):
        rows = zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
        for request, kind, value in rows:
            kinds[kind] += 1
            about.add(request)
            if kind in words and value is not None:
                words[kind][request] = value
    values = {kind: list(each.values()) for kind, each in words.items()}
    found = {}
    if requests:
        # Feedback may be on an earlier request, so there may be more of it than requests.
        share = min(len(about), requests)
        found["feedback.share"] = _share(share, requests, "requests that people commented on")
        for kind, count in sorted(kinds.items()):
            found[f"feedback.{kind}_share"] = _share(
                min(count, requests), requests, f"requests with feedback: {kind}"
            )
    thumbs = values["thumbs"]
    if thumbs:
        good = sum(value > 0 for value in thumbs)
        found["feedback.positive_share"] = _share(
            good, len(thumbs), "thumbs that point up", better="higher"
        )
    won = [value for value in values["preference"] if value]
    if won:
        found["feedback.preferred_share"] = _share(
            sum(value > 0 for value in won), len(won), "comparisons won", better="higher"
        )
    if values["rating"]:
        found["feedback.rating_mean"] = _mean(values["rating"], "stars")
    return found


def _share(part: int, whole: int, label: str, better: str = "") -> Figure:
    found = wilson(part, whole)
    # The end of an interval at nothing is nothing, but for rounding.
    low = found.low if part else 0.0
    return Figure(found.value, low, found.high, whole, unit="share", better=better, label=label)


def _mean(values: Sequence[int], label: str) -> Figure:
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return Figure(mean, samples=count, better="higher", label=label)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    reach = _Z * deviation / math.sqrt(count)
    return Figure(mean, mean - reach, mean + reach, count, better="higher", label=label)


def _quantiles(name: str, values: NDArray[np.float64], label: str) -> dict[str, Figure]:
    import numpy as np

    count = len(values)
    if not count:
        return {}
    ordered = np.sort(values)
    found = {}
    for short, share in _QUANTILES.items():
        reach = _Z * math.sqrt(count * share * (1 - share))
        low, high = math.floor(count * share - reach), math.ceil(count * share + reach)
        place = min(int(share * count), count - 1)
        known = low >= 0 and high < count
        found[f"{name}.{short}_ms"] = Figure(
            float(ordered[place]),
            float(ordered[low]) if known else None,
            float(ordered[high]) if known else None,
            count,
            unit="ms",
            better="lower",
            label=f"{label}, {short}",
        )
    return found

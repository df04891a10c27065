"""What the store tells Prometheus of runs, approvals, monitorings and retrainings.

Batch jobs end before anybody scrapes them; the registry remembers them. A scrape never waits for
the database: it shows what a `StoreWatch` has read last, and how old that is.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.store.overview import ModelOverview

OUTCOMES = ("pushed", "pending", "rejected", "finished", "failed")
VERDICTS = ("ok", "alert", "retrain", "insufficient")
# How the store words a refusal begins with one of these.
REFUSALS = {"budget": "refused_budget", "cool-down": "refused_cool_down"}
STATES = ("started", "succeeded", "failed", "refused", *REFUSALS.values())
# What is told of a run besides its drift; a page of figures would be a series for each.
FIGURES = (
    "evaluation.bits_per_byte",
    "evaluation.conditional_accuracy",
    "evaluation.constraint_violations",
    "evaluation.copy_share",
    "evaluation.decode_tokens_per_second",
    "evaluation.distinct_2",
    "evaluation.frechet_distance",
    "evaluation.images_per_second",
    "evaluation.latency_ms",
    "evaluation.model_bytes",
    "evaluation.precision",
    "evaluation.quality",
    "evaluation.recall",
    "evaluation.repetition",
    "evaluation.rows_per_second",
    "evaluation.tstr_ratio",
)
# Monitorings name their figures freely.
MOST_FIGURES = 64
_DRIFT = re.compile(r"drift\..+\.drift_share")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was read of the store, and when.

    Attributes:
        models: that are told of.
        left_out: how many others there are.
        read: when; seconds since 1970.
        uptime: when, on the clock of `time.monotonic`, which nobody sets.
        seconds: that it took.
    """

    models: tuple[ModelOverview, ...]
    left_out: int
    read: float
    uptime: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class AuditReading:
    """What a look through the audit log found; `checked` is in seconds since 1970."""

    intact: bool
    entries: int
    checked: float


class StoreMetrics(Collector):
    """The gauges of the last reading.

    While the database is away they keep their last values, `loomline_store_up` is 0, and
    `loomline_store_refreshed_timestamp_seconds` says how old they are.

    Args:
        fresh_seconds: a reading that is older does not count as one of a store that is up, since a
            database that hangs raises nothing.
    """

    def __init__(self, fresh_seconds: float) -> None:
        self._fresh = fresh_seconds
        # Each is replaced as a whole, so that a scrape in another thread sees no half of it.
        self.reading: Reading | None = None
        self.audit: AuditReading | None = None
        self.failing = False

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing; a registry that gets a collector would call `collect` otherwise."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, for a scrape."""
        reading = self.reading
        old = reading is None or time.monotonic() - reading.uptime > self._fresh
        yield _one(
            "loomline_store_up",
            "1 if the database answered when it was last asked, which is not long ago.",
            float(not (self.failing or old)),
        )
        if reading is not None:
            yield from _health(reading)
            yield from _runs(reading.models)
            yield from _approvals(reading.models)
            yield from _monitorings(reading.models)
            yield from _retrainings(reading.models)
        if self.audit is not None:
            yield from _audit(self.audit)


def _health(reading: Reading) -> Iterator[GaugeMetricFamily]:
    yield _one(
        "loomline_store_refreshed_timestamp_seconds",
        "When what is told of runs, approvals and monitorings was read.",
        reading.read,
    )
    yield _one(
        "loomline_store_refresh_seconds", "Time that the last reading took.", reading.seconds
    )
    yield _one("loomline_store_models", "Models that are told of here.", len(reading.models))
    yield _one(
        "loomline_store_models_left_out",
        "Models that are not told of, to keep the number of series within bounds.",
        reading.left_out,
    )


def _runs(models: Collection[ModelOverview]) -> Iterator[GaugeMetricFamily]:
    counts = _family("runs", "Runs of the pipeline in the registry, by outcome.", "outcome")
    outcome = _family("run_outcome", "1 for the outcome of the newest run.", "outcome")
    finished = _family("run_finished_timestamp_seconds", "When the newest run ended.")
    seconds = _family("run_duration_seconds", "Wall time of the newest run.")
    good = _family(
        "run_succeeded_timestamp_seconds", "When the newest run ended that did not fail."
    )
    figure = _family("run_figure", "A figure of the newest run, in its own unit.", "figure")
    drift = _family(
        "run_drift_ratio",
        "Share of the measures that drifted, in the newest run.",
        "comparison",
    )
    version = _family("version_published", "Number of the newest published version.")
    baseline = _family(
        "version_figure",
        "A figure of the newest published version, from the run that made it.",
        "figure",
    )
    for one in models:
        _count(counts, one.model, OUTCOMES, one.runs)
        if one.last_run is not None:
            _mark(outcome, one.model, OUTCOMES, one.last_run.outcome)
            _time(finished, one.model, one.last_run.finished)
            if one.last_run.seconds is not None:
                seconds.add_metric([one.model], one.last_run.seconds)
            _figures(figure, one.model, one.last_run.figures)
            _drift(drift, one.model, one.last_run.figures)
        _time(good, one.model, one.succeeded)
        if one.version is not None:
            version.add_metric([one.model], one.version)
            _figures(baseline, one.model, one.version_figures)
    yield from (counts, outcome, finished, seconds, good, figure, drift, version, baseline)


def _approvals(models: Collection[ModelOverview]) -> Iterator[GaugeMetricFamily]:
    waiting = _family("approvals_pending", "Runs that wait for a person's verdict.")
    since = _family(
        "approvals_oldest_pending_timestamp_seconds",
        "When the oldest run ended that waits for a verdict; absent where none does.",
    )
    for one in models:
        waiting.add_metric([one.model], one.pending)
        _time(since, one.model, one.pending_since)
    yield from (waiting, since)


def _monitorings(models: Collection[ModelOverview]) -> Iterator[GaugeMetricFamily]:
    ended = _family("monitoring_timestamp_seconds", "When the newest monitoring was written.")
    until = _family(
        "monitoring_window_end_timestamp_seconds",
        "Up to when requests were looked at by the newest monitoring.",
    )
    requests = _family("monitoring_requests", "Requests that the newest monitoring looked at.")
    verdict = _family("monitoring_verdict", "1 for the newest monitoring's verdict.", "verdict")
    figure = _family(
        "monitoring_figure", "A figure of the newest monitoring, in its own unit.", "figure"
    )
    drift = _family(
        "monitoring_drift_ratio",
        "Share of the measures that drifted, by the newest monitoring.",
        "comparison",
    )
    for one in models:
        if one.monitoring is None:
            continue
        _time(ended, one.model, one.monitoring.created)
        _time(until, one.model, one.monitoring.window_to)
        requests.add_metric([one.model], one.monitoring.requests)
        _mark(verdict, one.model, VERDICTS, one.monitoring.verdict)
        named = sorted(one.monitoring.figures)[:MOST_FIGURES]
        _figures(figure, one.model, one.monitoring.figures, named)
        _drift(drift, one.model, one.monitoring.figures)
    yield from (ended, until, requests, verdict, figure, drift)


def _retrainings(models: Collection[ModelOverview]) -> Iterator[GaugeMetricFamily]:
    counts = _family("retrainings", "Retrainings that monitoring asked for, by state.", "state")
    state = _family("retraining_state", "1 for the state of the newest retraining.", "state")
    asked = _family("retraining_timestamp_seconds", "When the newest retraining was asked for.")
    for one in models:
        _count(counts, one.model, ("started", "succeeded", "failed", "refused"), one.retrainings)
        last = one.last_retraining
        if last is None:
            continue
        kind = REFUSALS.get(last.refusal.partition(":")[0], last.state)
        _mark(state, one.model, STATES, kind)
        _time(asked, one.model, last.created)
    yield from (counts, state, asked)


def _audit(audit: AuditReading) -> Iterator[GaugeMetricFamily]:
    yield _one(
        "loomline_audit_intact", "1 if the audit log's chain held when checked.", audit.intact
    )
    yield _one("loomline_audit_entries", "Entries of the audit log that held.", audit.entries)
    yield _one(
        "loomline_audit_checked_timestamp_seconds",
        "When the audit log was checked from its beginning.",
        audit.checked,
    )


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _family(name: str, text: str, label: str = "") -> GaugeMetricFamily:
    labels = ["model", label] if label else ["model"]
    return GaugeMetricFamily(f"loomline_{name}", text, labels=labels)


def _time(family: GaugeMetricFamily, model: str, moment: datetime | None) -> None:
    if moment is not None:
        family.add_metric([model], moment.timestamp())


def _count(
    family: GaugeMetricFamily, model: str, values: Iterable[str], counts: Mapping[str, int]
) -> None:
    for value in values:
        family.add_metric([model, value], counts.get(value, 0))


def _mark(family: GaugeMetricFamily, model: str, values: Iterable[str], current: str) -> None:
    """1 for the one that holds, 0 for the others, so that a change is no gap."""
    for value in values:
        family.add_metric([model, value], float(value == current))


def _figures(
    family: GaugeMetricFamily,
    model: str,
    figures: Mapping[str, float | None],
    names: Iterable[str] = FIGURES,
) -> None:
    for name in names:
        value = figures.get(name)
        if value is not None:
            family.add_metric([model, name], value)


def _drift(family: GaugeMetricFamily, model: str, figures: Mapping[str, float | None]) -> None:
    """`drift.data.drift_share` is the comparison `data`."""
    shares = sorted(name for name in figures if _DRIFT.fullmatch(name))
    for name in shares[:MOST_FIGURES]:
        value = figures[name]
        if value is not None:
            family.add_metric([model, name.split(".", 1)[1].rpartition(".")[0]], value)

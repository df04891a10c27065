"""Gathers what a monitoring looks at: a window of the serving log and what it is held against."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import TEXT, Published, ServingLog
from components.errors import DataError, LoomlineError
from components.options import chosen
from components.push.remote import local_version, versions_of
from pipelines.modalities import MODALITIES
from pipelines.monitoring.given import opened
from pipelines.monitoring.scoring import score
from pipelines.monitoring.sources import FileSource, LogSource, StoreSource
from pipelines.monitoring.window import Window, next_window
from serving.store import Feedback, RequestRecord, Store
from serving.store.ages import Moment

if TYPE_CHECKING:
    import pyarrow as pa

_HISTORY = 50
_BATCH = 1000
_MOST_EDITS = 2000


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What to collect.

    Attributes:
        model, modality: whose log.
        store: URL of the store.
        log_file: read the log from this file instead of the store; '' for none.
        models: folder of the published models; '' for none.
        address: HOST:PORT of the model server, for scores; '' to load the version's files.
        since, until: the window that a person asked for; None for what is due.
        window_hours, settle_seconds, reference_requests: see `MonitorOptions`.
    """

    model: str
    modality: str
    store: str
    log_file: str = ""
    models: str = ""
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None
    window_hours: float = 24.0
    settle_seconds: float = 30.0
    reference_requests: int = 1000


def collect(wanted: Wanted, log: Path) -> None:
    """Writes a `ServingLog`.

    Raises:
        ConfigError: the window ends before it starts.
        DataError: the store or the file cannot be read.
    """
    with opened(wanted.store) as store:
        _collect(wanted, store, ServingLog(log))


def _collect(wanted: Wanted, store: Store, log: ServingLog) -> None:
    log.path.mkdir(parents=True, exist_ok=True)
    recent = store.monitoring.recent(wanted.model, _HISTORY)
    end = Moment.now().wall - timedelta(seconds=wanted.settle_seconds)
    window = next_window(recent, end, wanted.window_hours, wanted.since, wanted.until)
    source: LogSource = StoreSource(store, wanted.model)
    if wanted.log_file:
        source = FileSource(Path(wanted.log_file), wanted.model)
    versions: Counter[int] = Counter()
    edits: dict[str, Feedback] = {}
    requests = _write_requests(
        log.requests_path, _counted(source.requests(window.since, window.until), versions)
    )
    published = _published(wanted, versions)
    version = versions.most_common(1)[0][0] if versions else None
    if version is None and published is not None:
        version = published.version
    first = (
        () if version is None else source.first(version, window.since, wanted.reference_requests)
    )
    reference = _write_requests(log.reference_path, first)
    _write_feedback(log.feedback_path, source.feedback(window.since, window.until), edits)
    notes = [*window.notes, *source.notes(window.until)]
    if wanted.modality == TEXT:
        notes += _write_scores(wanted, source, log, edits, version, published)
    print(f"progress: {requests:,} requests, {reference:,} of the reference", flush=True)
    log.write_collected(
        {
            "model": wanted.model,
            "modality": wanted.modality,
            "version": version,
            **_times(window),
            "notes": notes,
            "history": [
                {
                    "created": one.created.isoformat(),
                    "verdict": one.verdict,
                    "requests": one.requests,
                    "figures": one.figures,
                }
                for one in reversed(recent)
            ],
        }
    )


def _times(window: Window) -> dict[str, str]:
    return {"window_from": window.since.isoformat(), "window_to": window.until.isoformat()}


def _counted(records: Iterable[RequestRecord], versions: Counter[int]) -> Iterator[RequestRecord]:
    for record in records:
        if record.version is not None:
            versions[record.version] += 1
        yield record


def _published(wanted: Wanted, versions: Counter[int]) -> Published | None:
    """The version that answered most requests; without any, the newest one."""
    if not wanted.models:
        return None
    found = versions_of(wanted.models, wanted.model)
    number = versions.most_common(1)[0][0] if versions else max(found, default=None)
    return local_version(found[number]) if number in found else None


def _write_requests(path: Path, records: Iterable[RequestRecord]) -> int:
    schema = ServingLog.requests_schema()

    def row(record: RequestRecord) -> dict[str, Any]:
        found = {name: getattr(record, name) for name in schema.names}
        for name in ("inputs", "outputs"):
            if found[name] is not None:
                found[name] = json.dumps(found[name], ensure_ascii=False)
        return found

    return _write(path, schema, map(row, records))


def _write_feedback(path: Path, records: Iterable[Feedback], edits: dict[str, Feedback]) -> None:
    """Writes feedback, and keeps the newest edits."""
    schema = ServingLog.feedback_schema()

    def rows() -> Iterator[dict[str, Any]]:
        for record in records:
            if record.kind == "edit" and record.text:
                edits[record.id] = record
                if len(edits) > _MOST_EDITS:
                    del edits[next(iter(edits))]
            yield {name: getattr(record, name) for name in schema.names}

    _write(path, schema, rows())


def _write_scores(
    wanted: Wanted,
    source: LogSource,
    log: ServingLog,
    edits: Mapping[str, Feedback],
    version: int | None,
    published: Published | None,
) -> list[str]:
    """Scores edited texts with their prompts; copies the held-out texts' scores beside them."""
    if published is not None and published.evaluation().scores_path.is_file():
        shutil.copyfile(published.evaluation().scores_path, log.baseline_path)
    if not edits:
        return []
    if not wanted.address and published is None:
        return ["edited texts were not scored: neither a server nor the version's files are known."]
    requests = source.inputs({one.request_id for one in edits.values()})
    texts = [_prompt(requests.get(one.request_id)) + (one.text or "") for one in edits.values()]
    print(f"progress: scoring {len(texts):,} edited texts", flush=True)
    try:
        nll = score(
            texts,
            address=wanted.address,
            model=wanted.model,
            version=version,
            saved_model=published.path if published else None,
        )
    except LoomlineError as error:
        return [f"edited texts were not scored: {error}"]
    rows = (
        {"id": name, "nll": cost, "num_bytes": len(text.encode())}
        for name, cost, text in zip(edits, nll, texts, strict=True)
    )
    _write(log.edits_path, ServingLog.edits_schema(), rows)
    return []


def _prompt(record: RequestRecord | None) -> str:
    prompt = record.inputs.get("prompt") if record else None
    return prompt if isinstance(prompt, str) else ""


def _write(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows, some thousands in memory at a time; how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    batch: list[Mapping[str, Any]] = []
    with pq.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(batch, schema))
            batch.clear()

        for row in rows:
            batch.append(row)
            count += 1
            if len(batch) == _BATCH:
                flush()
        flush()
    return count


def ingest_fresh(modality: str, options: Mapping[str, Any], fresh: Path) -> None:
    """Reads fresh data as the ingest step reads training data; without a source, writes nothing.

    Raises:
        ConfigError: an option does not fit.
        DataError: the data cannot be read.
    """
    fresh.mkdir(parents=True, exist_ok=True)
    if not options.get("source"):
        return
    kind = MODALITIES[modality]
    unknown = sorted(set(options) - set(kind.ingest.model_fields))
    if unknown:
        raise DataError(
            f"expected options of ingest for the fresh data. Received: {', '.join(unknown)}"
        )
    package = kind.modules.get("ingest", "components.ingest")
    importlib.import_module(f"{package}.ingest").run(chosen(kind.ingest, options), fresh)

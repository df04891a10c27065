"""Every on-disk format that passes between steps, and nothing else.

An artifact is a folder. A step writes one through the class that names it here and reads
another's through the same class, so a file name or a JSON key stands in one place only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from components.errors import DataError, ModelError

if TYPE_CHECKING:
    import pyarrow as pa

TRAIN = "train"
EVAL = "eval"
CURRENT = "current"
SPLITS = (TRAIN, EVAL, CURRENT)

# The column that says who made an example; see `Examples`.
PROVENANCE = "provenance"

TEXT = "text"
IMAGE = "image"
TABLE = "table"


def write_json(path: Path, content: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"expected a JSON file at {path}. Received: {error}") from None


def digest_files(root: Path, skip: Iterable[str] = ()) -> str:
    """SHA-256 over the relative path and content of every file below `root`.

    Args:
        root: a folder, or one file.
        skip: names of entries directly below `root` to leave out.
    """
    digest = hashlib.sha256()
    left_out = set(skip)
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    for path in files:
        relative = path.relative_to(root)
        if relative.parts and relative.parts[0] in left_out:
            continue
        digest.update(relative.as_posix().encode() + b"\0")
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


# --- Examples: ingest -> validate -> transform, evaluate, drift ------------------------------


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """What one split holds. Times are ISO 8601, or None where the source has none."""

    rows: int
    bytes: int
    first_time: str | None
    last_time: str | None


@dataclasses.dataclass(frozen=True)
class ExamplesManifest:
    """Where examples came from and what they are; `manifest.json`.

    `duplicates` counts the rows that were left out because another row has the same content.
    `details` depends on the modality: images have `labels` (names, in the order of their ids);
    tables have `columns` and `constraints`, as components/table_schema.py writes them.
    """

    source: str
    snapshot_digest: str
    splits: dict[str, SplitInfo]
    columns: dict[str, str]
    duplicates: int = 0
    modality: str = TEXT
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        splits = {name: SplitInfo(**info) for name, info in content["splits"].items()}
        return cls(**{**content, "splits": splits})


@dataclasses.dataclass(frozen=True)
class Examples:
    """Parquet shards in `train/`, `eval/` and, where an era is declared, `current/`.

    Every row has `example_id` (string, a digest of the content), `document_id` (string) and
    `event_time` (timestamp[us, UTC]), null where unknown. Text has `text` (string). Images have
    `image` (binary, the file as it came), `label` (string, empty where there is none), `width`,
    `height`, `channels` (int32, 0 where it cannot be decoded), `brightness`, `contrast`
    (double, of 0..1), `perceptual_hash` (int64) and `problem` (string, why it was not decoded).
    Tables have the columns of the source with their own types.

    All have `provenance` (string), who made the example: 'human', 'model:NAME:VERSION' for what
    that version generated, 'edited:NAME:VERSION' where a person edited such; null where nobody
    said. See components/provenance.py.
    """

    path: Path

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def manifest(self) -> ExamplesManifest:
        return ExamplesManifest.from_json(read_json(self.manifest_path))

    def write_manifest(self, manifest: ExamplesManifest) -> None:
        write_json(self.manifest_path, dataclasses.asdict(manifest))

    def has(self, split: str) -> bool:
        """Whether the split exists and has rows."""
        info = self.manifest().splits.get(split)
        return info is not None and info.rows > 0

    def shard_path(self, split: str, index: int) -> Path:
        return self.path / split / f"part-{index:05d}.parquet"

    def shards(self, split: str) -> list[Path]:
        return sorted((self.path / split).glob("part-*.parquet"))

    def batches(
        self, split: str, columns: list[str] | None = None, batch_size: int = 8192
    ) -> Iterator[pa.RecordBatch]:
        """Streams a split, one record batch in memory at a time."""
        import pyarrow.parquet as pq

        for shard in self.shards(split):
            with pq.ParquetFile(shard) as reader:
                yield from reader.iter_batches(batch_size=batch_size, columns=columns)

    def digest(self, split: str) -> str:
        """Identifies the rows of a split, whatever their order: a digest of its example_ids."""
        ids = sorted(
            example_id
            for batch in self.batches(split, columns=["example_id"])
            for example_id in batch.column("example_id").to_pylist()
        )
        return hashlib.sha256("\n".join(ids).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Rejected:
    """Rows that failed validation, each with the expectation it failed; one Parquet file.

    Columns: those of the examples, then `split`, `expectation` and `reason` (strings).
    """

    path: Path

    @property
    def rows_path(self) -> Path:
        return self.path / "rejected.parquet"


# --- Transform: transform -> train, evaluate -------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TransformGraph:
    """TFX's own layout, so that `tft.TFTransformOutput(path)` reads it."""

    path: Path

    @property
    def transform_fn(self) -> Path:
        return self.path / "transform_fn"

    @property
    def transformed_metadata(self) -> Path:
        return self.path / "transformed_metadata"

    @property
    def raw_metadata(self) -> Path:
        return self.path / "metadata"

    @property
    def table_layout(self) -> Path:
        """Of tables: what codes and values mean, as components/table_layout.py writes it."""
        return self.path / "table_layout.json"


@dataclasses.dataclass(frozen=True)
class TransformedExamples:
    """TFRecords of tf.train.Example in `train/` and `eval/`.

    All have the feature `example_id` (bytes). Text has `tokens` (int64, variable length, without
    the end-of-text token, whose id is 0). Images have `image` (float, height x width x channels,
    of -1..1) and `label` (int64). Tables have `codes` (int64, one for each column: the category,
    or the mode of a number, or the column's code for a missing value) and `values` (float, one
    for each numerical column: where in its mode, 0 where missing).
    """

    path: Path

    @property
    def statistics_path(self) -> Path:
        return self.path / "statistics.json"

    def shard_path(self, split: str, index: int) -> Path:
        return self.path / split / f"part-{index:05d}.tfrecord"

    def shards(self, split: str) -> list[Path]:
        return sorted((self.path / split).glob("part-*.tfrecord"))

    def statistics(self) -> dict[str, Any]:
        """Per split `rows`; text has `vocabulary_size`, and per split `tokens`.

        Images have `modality`, `shape` (height, width, channels) and `labels`; tables `modality`
        and `columns` (as components/table_layout.py writes them).
        """
        content: dict[str, Any] = read_json(self.statistics_path)
        return content

    def write_statistics(self, content: dict[str, Any]) -> None:
        write_json(self.statistics_path, content)


# --- Model: train -> evaluate, gate, push ----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Model:
    """`model.keras`, `saved_model/`, perhaps `saved_model_xla/`, and `model.json`."""

    path: Path

    @property
    def keras_path(self) -> Path:
        return self.path / "model.keras"

    @property
    def saved_model(self) -> Path:
        return self.path / "saved_model"

    @property
    def saved_model_xla(self) -> Path:
        return self.path / "saved_model_xla"

    @property
    def card_path(self) -> Path:
        return self.path / "model.json"

    def card(self) -> dict[str, Any]:
        """Options, sizes and training history, as the train step wrote them."""
        content: dict[str, Any] = read_json(self.card_path)
        return content

    def write_card(self, content: dict[str, Any]) -> None:
        write_json(self.card_path, content)

    def digest(self) -> str:
        """Identifies what is served: a digest of every file of the portable SavedModel.

        Raises:
            ModelError: there is no SavedModel.
        """
        return saved_model_digest(self.saved_model)


PROVENANCE_FOLDER = "loomline"
# Beside the numbers of a model's versions; TensorFlow Serving passes over such a name.
PENDING_FOLDER = ".pending"
# Measures of some training rows; in the drift report, and inside a published version.
REFERENCE_FILE = "reference.parquet"
# Inside a SavedModel: where TensorFlow Serving looks for the requests that it warms a model with.
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"


def saved_model_digest(path: Path) -> str:
    """Digest of a SavedModel's own files; what Loomline lays beside them does not count.

    Raises:
        ModelError: there is no SavedModel at `path`.
    """
    if not (path / "saved_model.pb").is_file():
        raise ModelError(f"expected a SavedModel at {path}. Received: no saved_model.pb there")
    return digest_files(path, skip=[PROVENANCE_FOLDER])


# --- Figures: evaluate, drift -> gate --------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured number with its 95% interval where one was computed.

    Attributes:
        value: the measurement.
        low, high: bounds of the interval, or None.
        samples: how many independent items are behind it.
        unit: such as 'bits/byte', 'share', 'characters'.
        better: 'lower', 'higher' or '' where neither is.
        label: what a report calls it.
    """

    value: float
    low: float | None = None
    high: float | None = None
    samples: int = 0
    unit: str = ""
    better: str = ""
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """A folder with a page for people and the same as JSON for machines."""

    path: Path

    _name = "report"

    @property
    def json_path(self) -> Path:
        return self.path / f"{self._name}.json"

    @property
    def html_path(self) -> Path:
        return self.path / f"{self._name}.html"

    def read(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.json_path)
        return content

    def write(self, content: dict[str, Any], html: str) -> None:
        """Writes the page for people, then the JSON for machines."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.html_path.write_text(html, "utf-8")
        write_json(self.json_path, content)

    def figures(self) -> dict[str, Figure]:
        """The key `figures`: dotted name -> Figure."""
        return {name: Figure(**fields) for name, fields in self.read()["figures"].items()}


@dataclasses.dataclass(frozen=True)
class ValidationReport(Report):
    """`validation.json` and `validation.html`.

    The JSON is Great Expectations' result, then `rows` (`passed`, `rejected`), `figures`, and
    `provenance` (who made the rows to learn from, and those held out: tag -> rows).
    """

    _name = "validation"


@dataclasses.dataclass(frozen=True)
class Evaluation(Report):
    """`evaluation.json`, `evaluation.html`, `samples.parquet`, `scores.parquet`.

    Where the model was run under older TensorFlow versions, also `serving_check.json`.

    Keys of the JSON: `figures` (name -> Figure; yardsticks are named `yardsticks.NAME`),
    `model_digest`, `eval_digest`, `champion` (null, or `version`, `model_digest`, `figures`).
    Samples of text have `prompt`, `text`, `num_tokens`, `logprob`, `seed`, those of images
    `label`, `seed`, `image` (PNG), those of tables the columns of the source; scores, which only
    text has, `example_id`, `document_id`, `nll` (nats), `num_tokens`, `num_bytes`.
    """

    _name = "evaluation"

    @property
    def samples_path(self) -> Path:
        return self.path / "samples.parquet"

    @property
    def scores_path(self) -> Path:
        return self.path / "scores.parquet"


@dataclasses.dataclass(frozen=True)
class ServingCheck:
    """`serving_check.json`: whether a model answers equally under older TensorFlow versions.

    Keys: `model_digest`, `created` (ISO 8601, UTC), `current` (the version compared with),
    `tolerance` (`absolute`, `relative`; of floats), `threads`, `versions` (such as '2.20' ->
    `tensorflow`, `equal`, `signatures`: name -> `requests`, `largest_difference`, `verdict`
    (equal, differs, fails), `reason`, `seconds`).
    """

    path: Path

    @property
    def json_path(self) -> Path:
        return self.path / "serving_check.json"

    def read(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.json_path)
        return content

    def write(self, content: dict[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.json_path, content)


@dataclasses.dataclass(frozen=True)
class Drift(Report):
    """`drift.json`, `drift.html`, `drift_details.html` and perhaps `reference.parquet`.

    Figures are named `COMPARISON.NAME`. Comparisons are `data` (current era against training era;
    absent where no era is declared), `prompt` (what users ask for against what the model learnt;
    absent without a file of requests), `output` (generated against training data) and `reference`
    (training data against that of the version now served; absent where that left none). The
    reference is what later runs compare with; components/drift/reference.py says how it is laid
    out.
    """

    _name = "drift"

    @property
    def reference_path(self) -> Path:
        return self.path / REFERENCE_FILE


# --- Monitoring: collect -> monitor -> record, retrain ---------------------------------------


@dataclasses.dataclass(frozen=True)
class ServingLog:
    """What a monitoring looks at: a window of the serving log, and what it is held against.

    `requests.parquet` and `reference.parquet` (the first requests that the version answered) have
    `id`, `created` (timestamp[us, UTC]), `version` (int64), `signature`, `inputs`, `outputs` (JSON;
    null where there is none), `status` (ok or error), `code`, `num_tokens` (int64), `latency_ms`
    and `first_token_ms` (double, null outside of streams). `feedback.parquet` has `id`,
    `request_id`, `created`, `kind`, `value` (int64), `text`. `edits.parquet` has `id`, `nll`
    (nats) and `num_bytes` of texts that people edited, under the served model; `baseline.parquet`,
    absent where there is none, the scores of the version's held-out texts.

    `collected.json`: `model`, `modality`, `version` (null where nothing tells), `window_from`,
    `window_to` (ISO 8601, UTC), `notes` (lines about the log and the clock), `history` (earlier
    monitorings, oldest first: `created`, `verdict`, `requests`, `figures`).
    """

    path: Path

    @property
    def requests_path(self) -> Path:
        return self.path / "requests.parquet"

    @property
    def reference_path(self) -> Path:
        return self.path / "reference.parquet"

    @property
    def feedback_path(self) -> Path:
        return self.path / "feedback.parquet"

    @property
    def edits_path(self) -> Path:
        return self.path / "edits.parquet"

    @property
    def baseline_path(self) -> Path:
        return self.path / "baseline.parquet"

    @property
    def collected_path(self) -> Path:
        return self.path / "collected.json"

    def collected(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.collected_path)
        return content

    def write_collected(self, content: dict[str, Any]) -> None:
        write_json(self.collected_path, content)

    @staticmethod
    def requests_schema() -> pa.Schema:
        import pyarrow as pa

        return pa.schema(
            [
                ("id", pa.string()),
                ("created", pa.timestamp("us", "UTC")),
                ("version", pa.int64()),
                ("signature", pa.string()),
                ("inputs", pa.string()),
                ("outputs", pa.string()),
                ("status", pa.string()),
                ("code", pa.string()),
                ("num_tokens", pa.int64()),
                ("latency_ms", pa.float64()),
                ("first_token_ms", pa.float64()),
            ]
        )

    @staticmethod
    def feedback_schema() -> pa.Schema:
        import pyarrow as pa

        return pa.schema(
            [
                ("id", pa.string()),
                ("request_id", pa.string()),
                ("created", pa.timestamp("us", "UTC")),
                ("kind", pa.string()),
                ("value", pa.int64()),
                ("text", pa.string()),
            ]
        )

    @staticmethod
    def edits_schema() -> pa.Schema:
        import pyarrow as pa

        return pa.schema([("id", pa.string()), ("nll", pa.float64()), ("num_bytes", pa.int64())])

    @staticmethod
    def batches(
        path: Path, columns: list[str] | None = None, batch_size: int = 8192
    ) -> Iterator[pa.RecordBatch]:
        """Streams one of the files, one record batch in memory at a time."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as reader:
            yield from reader.iter_batches(batch_size=batch_size, columns=columns)


@dataclasses.dataclass(frozen=True)
class MonitoringReport(Report):
    """`monitoring.json` and `monitoring.html`; beside them Evidently's own page.

    Keys of the JSON: `figures` (name -> Figure), `model`, `version`, `window_from`, `window_to`,
    `requests`, `verdict` (ok, alert, retrain, insufficient), `reason` (one line), `headline`
    (sentences), `suggestions`, `notes`, `rules` (each the rule's own keys, then `value`, `low`,
    `high`, `samples`, `state` (ok, breach, unclear, insufficient), `reason`).
    """

    _name = "monitoring"


# --- Decision and pushed model: gate -> push -> serving --------------------------------------


@dataclasses.dataclass(frozen=True)
class Decision(Report):
    """`decision.json` and `decision.html`.

    Keys of the JSON: `approved` (by the rules), `approval` (auto, or manual where a person has the
    last word), `model_digest`, `evidence` (name -> digest of the reports weighed),
    `champion_version`, `champion` (null, or what was known of it: `figures`, `problem`,
    `differences`), `lineage` (`measure`, `figures`, `not_yet`, `generations`; the diversity of the
    versions before), `created` (ISO 8601, UTC), `reason` (one line), `rules` (each the rule's own
    keys, then `value`, `low`, `high`, `samples`, `bound`, `verdict` (pass, fail, warn), `reason`).
    """

    _name = "decision"


@dataclasses.dataclass(frozen=True)
class Published:
    """One published version: a SavedModel with its provenance in `loomline/` beside it.

    `loomline/provenance.json`, copies of `decision.json`, `evaluation.json`, `drift.json` and their
    pages, `samples.json` (the key `samples`: the first ones by column, bytes as Base64), perhaps
    the drift report's `reference.parquet`, and of text `scores.parquet`. Where a person approved
    the version, also `pending.json` and `approval.json`; see `Pending`.

    Attributes:
        path: its folder; of a version in an object store, a copy here.
        uri: where it lies in an object store; empty for a local one.
    """

    path: Path
    uri: str = ""

    @property
    def location(self) -> str:
        """Where it was published: a path or URI."""
        return self.uri or str(self.path)

    @property
    def version(self) -> int:
        return int(self.path.name)

    @property
    def provenance_folder(self) -> Path:
        return self.path / PROVENANCE_FOLDER

    @property
    def provenance_path(self) -> Path:
        return self.provenance_folder / "provenance.json"

    def provenance(self) -> dict[str, Any]:
        """Digests of data, config, code and model; code revision; metrics; times."""
        content: dict[str, Any] = read_json(self.provenance_path)
        return content

    def evaluation(self) -> Evaluation:
        """The evaluation that the version was judged by."""
        return Evaluation(self.provenance_folder)

    @property
    def samples_path(self) -> Path:
        return self.provenance_folder / "samples.json"

    @property
    def reference_path(self) -> Path:
        return self.provenance_folder / REFERENCE_FILE

    @property
    def approval_path(self) -> Path:
        """A DSSE envelope around an in-toto statement; see components/push/approval.py."""
        return self.provenance_folder / "approval.json"


@dataclasses.dataclass(frozen=True)
class Pending(Published):
    """A version that waits for a person's approval: whole, and without a number yet.

    `<base_path>/<model_name>/.pending/<run>/`, which no server loads. `loomline/pending.json` has
    the keys `run`, `model_name`, `champion_version` (which the decision compared with, or null),
    `digests` (SHA-256 of what an approval is about: `saved_model`, and every other file in
    `loomline/` by its name), `records` (the run's folder of records, or ''), `approvers` (path of
    the file of trusted keys) and `created` (ISO 8601, UTC). Its provenance has the key `base_path`
    where it is to be published in an object store, and not where it waits.
    """

    @property
    def pending_path(self) -> Path:
        return self.provenance_folder / "pending.json"

    def read(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.pending_path)
        return content

    @property
    def base_path(self) -> str:
        """The folder or URI of the models that it is to be published among.

        Raises:
            DataError: its provenance cannot be read.
        """
        return str(self.provenance().get("base_path") or self.path.parents[2])

    def digests(self) -> dict[str, str]:
        """What an approval is about, as it is now.

        Raises:
            ModelError: there is no SavedModel.
        """
        found = {"saved_model": saved_model_digest(self.path)}
        for path in sorted(self.provenance_folder.iterdir()):
            if path not in (self.pending_path, self.approval_path):
                with path.open("rb") as stream:
                    found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
        return found


def pending_folder(base_path: Path, model_name: str, run: str) -> Path:
    """Where a run's candidate waits."""
    return base_path / model_name / PENDING_FOLDER / run


def published_versions(base_path: Path, model_name: str) -> list[Published]:
    """Versions of a model, oldest first; what TensorFlow Serving would see."""
    folder = base_path / model_name
    if not folder.is_dir():
        return []
    numbered = [entry for entry in folder.iterdir() if entry.name.isdecimal()]
    complete = [entry for entry in numbered if (entry / "saved_model.pb").is_file()]
    return [Published(entry) for entry in sorted(complete, key=lambda entry: int(entry.name))]

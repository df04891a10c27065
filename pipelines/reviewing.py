"""Approves or rejects what waits: the record, the push, and the log's entries of both."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

from components.artifacts import (
    PENDING_FOLDER,
    PROVENANCE_FOLDER,
    Pending,
    Published,
    read_json,
    write_json,
)
from components.errors import ConfigError, DataError, LoomlineError
from components.push.approved import forget, publish_approved, published_from
from components.summarize.records import Records, record_push
from components.summarize.summarize import run as summarize
from pipelines.registering import register
from serving.review.candidates import Candidate, read_candidate
from serving.review.deciding import VALID_DAYS, decide
from serving.review.errors import ReviewError
from serving.review.signing import default_key_path, load_key, predicate_of
from serving.storage import is_remote
from serving.store import Approval, Store, StoreError, opened

_STORE = "store.sqlite"


@dataclasses.dataclass(frozen=True)
class Review:
    """A person's look at one candidate.

    Attributes:
        pending: what waits, or waited until it was published.
        base_path: the folder or URI of the models that it is published among.
        key_path: the reviewer's private key; None for the usual place.
        approvers: the file of reviewers; None for the one that the run was given.
        url: of the store; None for the one in the run's output folder.
    """

    pending: Pending
    base_path: str
    key_path: Path | None
    approvers: Path | None
    url: str | None

    @classmethod
    def of(cls, run: str, key_path: Path | None, approvers: Path | None, url: str | None) -> Review:
        """Finds what waits.

        Args:
            run: a run's name below `runs/`, its folder of records, or the waiting folder itself.
            key_path, approvers, url: see the class.

        Raises:
            ConfigError: nothing of that name waits.
        """
        folder = Path(run)
        if folder.resolve().parent.name == PENDING_FOLDER:
            waits = Pending(folder.resolve())
            there = waits.provenance_path.is_file()
            base_path = waits.base_path if there else str(waits.path.parents[2])
            return cls(waits, base_path, key_path, approvers, url)
        found = [folder] if Records(folder).pending() else _named(run)
        if len(found) > 1:
            named = " and ".join(str(path) for path in found)
            raise ConfigError(f"expected one run of that name. Received: {named}; give the folder")
        waiting = Records(found[0]).pending() if found else None
        if waiting is None:
            raise ConfigError(
                "expected a run whose model waits for approval (loomline pending), or its folder "
                f"of records. Received: {run}"
            )
        base_path = read_json(Records(found[0]).pending_path).get("base_path")
        return cls(waiting, base_path or str(waiting.path.parents[2]), key_path, approvers, url)

    def approve(self, comment: str, days: float) -> tuple[Published, str]:
        """Approves and pushes; a second call goes on where a killed one stopped.

        Returns:
            The published version, and what happened, in one line.

        Raises:
            ApprovalError: the record does not hold.
            ReviewError: the reviewer may not decide, or somebody decided otherwise.
            StoreError: the store failed; the message says how far it came.
        """
        model, run = self._names()
        earlier = published_from(self.base_path, model, run)
        if earlier is not None:
            self._finish(earlier)
            if is_remote(self.base_path) and self.pending.path.is_dir():
                # A killed approval may have left it.
                forget(self.pending)
            return earlier, f"{model}/{run} was approved before"
        approval, new = self._decide("approved", comment, days)
        published = self._settle_approved()
        when = "" if new else f" at {approval.created:%Y-%m-%d %H:%M} UTC"
        return published, f"{approval.reviewer} approved {model}/{run}{when}"

    def reject(self, comment: str) -> str:
        """Rejects, and removes the copy that waited; the run's artifacts stay.

        Raises:
            ConfigError: it was published already.
            ReviewError: the reviewer may not decide, or somebody decided otherwise.
            StoreError: the store failed; nothing was decided.
        """
        model, run = self._names()
        earlier = published_from(self.base_path, model, run)
        if earlier is not None:
            raise ConfigError(
                f"expected a model that waits. Received: {model}/{run}, published as version "
                f"{earlier.version}; roll it back with `loomline rollout`"
            )
        approval, _ = self._decide("rejected", comment, VALID_DAYS)
        self._settle_rejected()
        return f"{approval.reviewer} rejected {model}/{run}"

    def settle(self) -> str:
        """Does what a verdict asks for that was given elsewhere, such as on the review page.

        Returns:
            What happened, in one line.

        Raises:
            ApprovalError: the record does not hold.
            ReviewError: it cannot be read.
            StoreError: the store failed; the message says how far it came.
        """
        model, run = self._names()
        try:
            verdict = predicate_of(self.pending.approval_path.read_text("utf-8")).get("verdict")
        except (OSError, UnicodeDecodeError) as error:
            raise ReviewError(
                f"expected a verdict at {self.pending.approval_path}. Received: {error}"
            ) from None
        if verdict == "rejected":
            # Whoever could forge a rejection could as well remove the files.
            self._settle_rejected()
            return f"{model}/{run} was rejected, and is removed from the models"
        published = self._settle_approved()
        return f"{model}/{run} was approved, and is version {published.version}"

    def _decide(self, verdict: str, comment: str, days: float) -> tuple[Approval, bool]:
        candidate = self._candidate()
        key = load_key(self.key_path or default_key_path())
        with self._opened(candidate.records) as store:
            return decide(
                store,
                candidate,
                key,
                self._approvers(candidate),
                verdict=verdict,
                comment=comment,
                days=days,
            )

    def _settle_approved(self) -> Published:
        published = publish_approved(self.pending, self._approvers(self._candidate()))
        self._finish(published)
        return published

    def _settle_rejected(self) -> None:
        records = self._candidate().records
        if records and Path(records).is_dir():
            shutil.copyfile(self.pending.approval_path, Records(Path(records)).approval_path)
            _sum_up(Path(records))
            self._enter(records)
        forget(self.pending)

    def _names(self) -> tuple[str, str]:
        return self.pending.path.parents[1].name, self.pending.path.name

    def _candidate(self) -> Candidate:
        return read_candidate(self.pending.path)

    def _approvers(self, candidate: Candidate) -> Path:
        return self.approvers or Path(candidate.approvers)

    def _url(self, records: str) -> str:
        default = Path(records).parents[1] if records else self.pending.path.parents[3]
        return self.url or f"sqlite:///{default / _STORE}"

    def _opened(self, records: str) -> contextlib.AbstractContextManager[Store]:
        return opened(self._url(records))

    def _enter(self, records: str) -> None:
        """Brings the registry up to date, where the run is one that it can hold."""
        with contextlib.suppress(DataError):
            register(Path(records), self._url(records))

    def _finish(self, published: Published) -> None:
        """Writes the version into the run's records and the log, unless that was done."""
        waited = Pending(published.path).read()
        subject = f"{waited['model_name']}/{waited['run']}"
        records = str(waited.get("records") or "")
        if records and Path(records).is_dir():
            record_push(Path(records), published)
            shutil.copyfile(published.approval_path, Records(Path(records)).approval_path)
            _sum_up(Path(records))
        try:
            with self._opened(records) as store:
                entries = store.audit.entries(subject=subject)
                if all(entry.read().get("event") != "version.published" for entry in entries):
                    store.audit.append(
                        "version.published",
                        actor="loomline approve",
                        subject=subject,
                        details={
                            "version": published.version,
                            "model_digest": published.provenance()["model_digest"],
                        },
                    )
        except StoreError as error:
            raise StoreError(
                f"{error}; version {published.version} is published, and the audit log lacks its "
                "entry: run the same command again"
            ) from None
        if records:
            self._enter(records)


def settle_all(models: Path, approvers: Path | None, url: str | None) -> Iterator[tuple[str, bool]]:
    """Does what the verdicts ask for that lie beside waiting models.

    Args:
        models: the folder of models.
        approvers, url: see `Review`.

    Yields:
        What happened to each, or what stands in its way, in one line; and whether it is settled.
    """
    for path in sorted(models.glob(f"*/{PENDING_FOLDER}/*/{PROVENANCE_FOLDER}/approval.json")):
        try:
            yield Review.of(str(path.parents[1]), None, approvers, url).settle(), True
        except (LoomlineError, ReviewError, StoreError) as error:
            yield f"{path.parents[3].name}/{path.parents[1].name} still waits: {error}", False


def _named(run: str) -> list[Path]:
    """Folders of records of that name in the usual place."""
    return [path for path in sorted(Path("runs").glob("*/records/*")) if path.name == run]


def _sum_up(records: Path) -> None:
    """Brings the run's summary up to date, and keeps what only the run itself knew."""
    path = Records(records).summary_path
    known = read_json(path) if path.is_file() else {}
    summarize("SUCCEEDED", "", records)
    write_json(path, {**known, **read_json(path)})

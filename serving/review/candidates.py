"""What waits for a person: a version beside the published ones, without a number.

The push step leaves it at `<models>/<name>/.pending/<run>/`; `components/artifacts.py` describes
the files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from serving.review.errors import ReviewError

SAVED_MODEL = "saved_model"
# Of the review itself.
_ASIDE = ("pending.json", "approval.json")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A version that waits.

    Attributes:
        path: its folder.
        run: which made it.
        model_name: of the model.
        champion_version: which it was compared with, or None.
        digests: name -> SHA-256, of the SavedModel and of every piece of evidence.
        records: the run's folder of records, or ''.
        approvers: path of the file of reviewers.
        created: when it began to wait; ISO 8601, UTC.
    """

    path: Path
    run: str
    model_name: str
    champion_version: int | None
    digests: dict[str, str]
    records: str
    approvers: str
    created: str

    @property
    def evidence(self) -> Path:
        """The folder of decision, evaluation, drift report and provenance."""
        return self.path / "loomline"

    def decision(self) -> dict[str, Any]:
        """The gate's decision.

        Raises:
            ReviewError: it cannot be read.
        """
        return _read(self.evidence / "decision.json")

    def check(self) -> dict[str, str]:
        """What there is to decide about, if all that the run left is still as it was.

        What came later, such as the result of `loomline check`, is part of it.

        Returns:
            name -> SHA-256, of the SavedModel (as the run left it) and of every piece of evidence.

        Raises:
            ReviewError: a piece of evidence was changed or taken away.
        """
        paths = [path for path in sorted(self.evidence.iterdir()) if path.name not in _ASIDE]
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        for name, digest in sorted(self.digests.items()):
            if name != SAVED_MODEL and found.get(name) != digest:
                raise ReviewError(
                    f"expected {self.evidence / name} as the run left it ({digest[:12]}). "
                    f"Received: {found.get(name, 'none')[:12]}; it was changed since, so run the "
                    "pipeline again"
                )
        return {**found, SAVED_MODEL: self.digests[SAVED_MODEL]}


def read_candidate(path: Path) -> Candidate:
    """Reads what waits in a folder.

    Raises:
        ReviewError: nothing does.
    """
    content = _read(path / "loomline" / "pending.json")
    try:
        candidate = Candidate(path=path, **content)
        str(candidate.digests[SAVED_MODEL])
    except (TypeError, KeyError):
        raise ReviewError(
            f"expected a candidate that waits for approval at {path}. Received: another form"
        ) from None
    if (candidate.run, candidate.model_name) != (path.name, path.parents[1].name):
        raise ReviewError(
            f"expected the candidate of {path.parents[1].name}/{path.name}. Received: that of "
            f"{candidate.model_name}/{candidate.run}; it was moved or replaced"
        )
    return candidate


def waiting(models: Path) -> list[Candidate]:
    """The candidates below a folder of models, oldest first.

    Raises:
        ReviewError: one cannot be read.
    """
    folders = models.glob("*/.pending/*/loomline/pending.json")
    found = [read_candidate(path.parents[1]) for path in folders]
    return sorted(found, key=lambda one: (one.created, one.run))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "something that is not JSON"
        raise ReviewError(f"expected a candidate's {path}. Received: {cause}") from None
    if not isinstance(content, dict):
        raise ReviewError(f"expected a candidate's {path}. Received: another form")
    return content

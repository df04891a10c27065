"""What is known of the version now served, as far as it can be compared with a new model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.artifacts import Evaluation, Figure, Published, saved_model_digest
from components.errors import DataError, ModelError

PAIRED_METRIC = "evaluation.bits_per_byte"


@dataclasses.dataclass(frozen=True)
class Champion:
    """The version now served.

    Attributes:
        name: what reasons call it, such as 'version 3'.
        version: its number, or None where the folder's name is none.
        figures: its figures on this run's texts, named as the new model's are.
        problem: why it cannot be compared; empty where it can.
        scores: its scores and the new model's, where both are of the same texts.
        differences: new model minus champion, as an earlier decision wrote them down.
    """

    name: str
    version: int | None
    figures: Mapping[str, Figure]
    problem: str = ""
    scores: tuple[Path, Path] | None = None
    differences: Mapping[str, Figure] = dataclasses.field(default_factory=dict)

    def difference(self, metric: str) -> Figure | None:
        """New model minus champion over the same texts, or None where only totals are known."""
        if metric in self.differences:
            return self.differences[metric]
        if metric != PAIRED_METRIC or self.scores is None:
            return None
        from components.gate.paired import difference  # Imports numpy and pyarrow.

        return difference(*self.scores)

    def to_json(self, metrics: Iterable[str]) -> dict[str, Any]:
        """What `decision.json` holds, so that the decision can be judged anew.

        Args:
            metrics: of the rules that were judged; differences are told of these.
        """
        found = {metric: self.difference(metric) for metric in dict.fromkeys(metrics)}
        return {
            "figures": {name: dataclasses.asdict(one) for name, one in self.figures.items()},
            "problem": self.problem,
            "differences": {
                name: dataclasses.asdict(one) for name, one in found.items() if one is not None
            },
        }

    @classmethod
    def from_json(cls, version: int, content: Mapping[str, Any]) -> Champion:
        """Reads what `to_json` gave."""
        figures, differences = (
            {name: Figure(**one) for name, one in content[key].items()}
            for key in ("figures", "differences")
        )
        name = f"version {version}"
        return cls(name, version, figures, content["problem"], differences=differences)


def read_champion(path: Path, evaluation: Evaluation) -> Champion:
    """Reads what can be compared.

    Figures that the evaluate step measured anew on this run's texts come first; those recorded
    when the version was published count only if they are of the same texts. Neither counts where
    the version's files are no longer those that were measured.

    Args:
        path: the published version's folder.
        evaluation: the new model's evaluation.
    """
    version = int(path.name) if path.name.isdecimal() else None
    name = f"version {version}" if version is not None else path.name
    content = evaluation.read()
    digest = _digest(path)
    recorded = Published(path).evaluation()
    try:
        before = recorded.read()
        same = (before.get("eval_digest"), before.get("model_digest")) == (
            content.get("eval_digest"),
            digest,
        )
        figures = _named(before.get("figures")) if same else {}
    except (DataError, AttributeError, TypeError):
        same, figures = False, {}
    scores = (recorded.scores_path, evaluation.scores_path)
    comparable = same and all(file.is_file() for file in scores)
    anew = content.get("champion")
    if isinstance(anew, dict) and anew.get("figures"):
        if anew.get("model_digest") != digest:
            return Champion(name, version, {}, f"another model than {name} was measured")
        figures = {**figures, **_named(anew["figures"])}
    if not figures:
        problem = f"{name} was not measured on these examples"
        return Champion(name, version, {}, problem)
    return Champion(name, version, figures, "", scores if comparable else None)


def _digest(path: Path) -> str | None:
    try:
        return saved_model_digest(path)
    except ModelError:
        return None


def _named(figures: Any) -> dict[str, Figure]:
    """Figures as JSON -> Figures with the prefix that policies use."""
    return {
        f"evaluation.{name}": Figure(**fields) if isinstance(fields, dict) else Figure(fields)
        for name, fields in (figures or {}).items()
    }

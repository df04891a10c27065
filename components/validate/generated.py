"""Caps the share of what models made in the data that models learn from.

A model that is taught on models' output, generation after generation, loses the tails of the
distribution and in the end most of its variety (Shumailov et al., AI models collapse when trained
on recursively generated data, Nature 631, 2024). The error stays bounded where generated data are
added to the real ones and do not take their place (Gerstgrasser et al., Is model collapse
inevitable?, 2024). So the share is capped, and real rows are never what gives way.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING

from components.artifacts import EVAL, PROVENANCE, TRAIN, Figure
from components.provenance import generated
from components.validate.known_outputs import KnownOutputs
from components.validate.options import ValidateOptions
from components.validate.suite import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "generated_share"
FOUND = "found among known outputs"
_NOT_KNOWN = "not known"
# What models are taught and judged on; another era is only compared with.
CAPPED = (TRAIN, EVAL)


@dataclasses.dataclass
class _Split:
    rows: int = 0
    untagged: int = 0
    # Ids of the generated rows that pass all else.
    generated: list[str] = dataclasses.field(default_factory=list)


class GeneratedShare:
    """Counts generated rows shard after shard, and tells which are too many.

    A row is generated where its tag says so, or, untagged, where it is a known output. Which of
    them are too many goes by `example_id`: the same data give the same choice in any order.
    """

    def __init__(self, options: ValidateOptions, known: KnownOutputs | None) -> None:
        self._options, self._known = options, known
        self._splits = {split: _Split() for split in CAPPED}
        self._set_aside = 0
        self.tags: Counter[str] = Counter()
        most = f"{100 * options.max_generated_share:g}%"
        fails = options.generated_surplus == "fail"
        self.outcome = Outcome(
            KIND,
            f"At most {most} of the rows to learn from, and of those held out, are made by models.",
            {"mostly": 1.0 if fails else 0.0},
            by_row=True,
        )

    def add(self, split: str, table: pa.Table, failing: set[int]) -> None:
        """Counts the rows of a shard that pass all else.

        Args:
            split: of the shard.
            table: its rows.
            failing: indices of those that do not pass.
        """
        if split not in self._splits:
            return
        found = self._splits[split]
        ids = table.column("example_id").to_pylist()
        tags = (
            table.column(PROVENANCE).to_pylist()
            if PROVENANCE in table.column_names
            else [None] * len(ids)
        )
        matched = self._known.find(table) if self._known is not None else None
        for row, (example_id, tag) in enumerate(zip(ids, tags, strict=True)):
            if row in failing:
                continue
            found.rows += 1
            recognized = tag is None and matched is not None and bool(matched[row])
            found.untagged += tag is None and not recognized
            self.tags[FOUND if recognized else tag or _NOT_KNOWN] += 1
            if recognized or generated(tag, self._options.count_edited):
                found.generated.append(str(example_id))

    def surplus(self, split: str) -> set[str]:
        """The ids of the generated rows beyond the cap, which is on what is left of the split."""
        found, most = self._splits.get(split, _Split()), self._options.max_generated_share
        others = found.rows - len(found.generated)
        if most >= 1:
            return set()
        # The most that stay: m / (m + others) <= most.
        stay = math.floor(most * others / (1 - most) + 1e-9)
        return set(sorted(found.generated)[stay:])

    def conclude(self, set_aside: int) -> None:
        """Enters into the outcome what was found; once all shards are counted."""
        surplus = {split: self.surplus(split) for split in CAPPED}
        self.outcome.checked = sum(split.rows for split in self._splits.values())
        self.outcome.unexpected = sum(map(len, surplus.values()))
        self.outcome.examples = [
            (example_id, split) for split, ids in surplus.items() for example_id in sorted(ids)[:1]
        ]
        self._set_aside = set_aside

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcome, where there is anything that it is about."""
        return [self.outcome] if any(split.generated for split in self._splits.values()) else []

    def figures(self) -> dict[str, Figure]:
        """`generated_offered`, `generated_share` of what goes on, `untagged_share`; of all rows.

        They are counts of all rows and no samples, so they have no intervals.
        """
        rows = sum(split.rows for split in self._splits.values())
        made = sum(len(split.generated) for split in self._splits.values())
        left = rows - self._set_aside
        untagged = sum(split.untagged for split in self._splits.values())

        def share(part: int, whole: int, better: str, label: str) -> Figure:
            value = part / whole if whole else 0.0
            return Figure(value, samples=whole, unit="share", better=better, label=label)

        return {
            "generated_offered": share(made, rows, "", "Rows that models made, of those offered"),
            "generated_share": share(
                made - self._set_aside, left, "lower", "Rows that models made, of those that go on"
            ),
            "untagged_share": share(
                untagged, left, "lower", "Rows of which nobody said who made them"
            ),
        }

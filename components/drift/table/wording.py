"""How tables are spoken of in the drift report, and what is suggested where they drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import page
from components.drift.sides import Measured
from components.drift.wording import Wording

if TYPE_CHECKING:
    from components.drift.detection import ColumnDrift, Comparison

_NAMED = 3
_MISSING = ".missing"


def _on_data(comparison: Comparison, last: str | None) -> list[str]:
    until = f" up to {last}" if last else ""
    lines = [
        f"The model learnt from rows{until}. If generated rows are to be like current ones, train "
        "it on the current era too (ingest.reference_to). If the older era is what is wanted, "
        "nothing is to be done."
    ]
    missing = _names(comparison, _MISSING)
    if missing:
        lines.append(
            f"Values of {missing} are missing at another rate than they were: see whether the "
            "source still delivers them before training anew."
        )
    for column in comparison.drifted:
        share = _unseen_share(comparison, column)
        if share:
            label = column.descriptor.label
            lines.append(
                f"{share} of current rows have a {label} that no compared training row has: the "
                "model cannot generate it, and refuses to score it, until it is trained anew."
            )
    return lines


def _on_output(comparison: Comparison, last: str | None) -> list[str]:
    lines = []
    missing = _names(comparison, _MISSING)
    if missing:
        lines.append(
            f"Values of {missing} are missing at another rate than in training rows: train longer "
            "(train.steps)."
        )
    numbers = [column for column in comparison.drifted if not column.descriptor.categorical]
    if numbers:
        named = ", ".join(column.descriptor.label for column in numbers[:_NAMED])
        lines.append(
            f"Look at the shapes of {named} below. Where peaks are blurred, give more values a "
            "code of their own (transform.max_distinct) or more modes (transform.modes); else "
            "train longer (train.steps)."
        )
    return lines or [
        "Categories come at another rate than in training rows: train longer (train.steps), and "
        "see that evaluate.temperature is 1, the model's own distribution."
    ]


def _names(comparison: Comparison, suffix: str) -> str:
    """The columns that moved in what `suffix` names, the furthest moved first."""
    names = [column.descriptor.name for column in comparison.drifted]
    found = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _unseen_share(comparison: Comparison, column: ColumnDrift) -> str:
    """Share of current rows with a category that the reference lacks; empty where there is none."""
    if not column.descriptor.categorical:
        return ""
    place = list(comparison.reference.descriptors).index(column.descriptor)
    before, after = (
        side.columns[place].tolist() for side in (comparison.reference, comparison.current)
    )
    known = set(before)
    unseen = sum(category not in known for category in after)
    return f"{100 * unseen / len(after):.1f}%" if unseen else ""


def _examples(side: Measured) -> page.Markup:
    rows = side.examples
    if not rows:
        return page.Markup("")
    headers = ["column", *(f"row {number}" for number in range(1, len(rows) + 1))]
    return page.table(headers, [[name, *(row[name] for row in rows)] for name in rows[0]])


WORDING = Wording(
    noun="rows",
    items="rows",
    differ="differ",
    alike="are like the training rows",
    read_data="Whether the world has moved away from what the model learnt.",
    read_output="Whether the model's rows are like the rows that it learnt from.",
    on_data=_on_data,
    on_output=_on_output,
    examples=_examples,
)

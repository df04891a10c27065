"""How tables are spoken of in the drift report, and what is suggested where they drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import page
from components.drift.sides import Measured
from components.drift.unseen import unseen_shares
from components.drift.wording import Wording

if TYPE_CHECKING:
    from components.drift.detection import Comparison

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
    lines += [
        f"{share} of current rows have a {label} that no compared training row has: the "
        "model cannot generate it, and refuses to score it, until it is trained anew."
        for label, share in unseen_shares(comparison).items()
    ]
    return lines


def _on_prompt(comparison: Comparison) -> list[str]:
    lines = [
        f"{share} of the conditions on {label} are for a value that no compared training row has: "
        "the model refuses them, until it is trained on such rows."
        for label, share in unseen_shares(comparison).items()
    ]
    return lines or [
        "Users set conditions that are rarer in the training rows than in their requests: look at "
        "how such rows come out, and gather more of them where they are poor."
    ]


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
    asked="conditions",
    asked_reference="training rows",
    read_data="Whether the world has moved away from what the model learnt.",
    read_prompt="Whether users set conditions on what the model learnt: the values that they ask "
    "for beside those that training rows have, for each column on which conditions were set.",
    read_output="Whether the model's rows are like the rows that it learnt from.",
    on_data=_on_data,
    on_prompt=_on_prompt,
    on_output=_on_output,
    features="the columns of each row, numbers in ten bins",
    examples=_examples,
)

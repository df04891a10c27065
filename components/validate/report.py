"""The validation report for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from components import page
from components.artifacts import PROVENANCE, ExamplesManifest, Rejected
from components.guards.checking import Tally, hidden
from components.guards.checking import section as guards_section
from components.validate.generated import GeneratedShare
from components.validate.suite import Outcome, Suite

_REJECTED_SHOWN = 12
_TAGS = 12
_ADDED = ("example_id", "document_id", "event_time", PROVENANCE, "split", "expectation", "reason")


def render(
    suite: Suite,
    manifest: ExamplesManifest,
    passed: int,
    failed: int,
    rejected: Rejected,
    origin: GeneratedShare,
    guarded: Sequence[Tally],
) -> str:
    """Renders the page: every expectation with its verdict, and rows that were set aside."""
    broken = [outcome for outcome in suite.outcomes if not outcome.success]
    total = passed + failed
    share = failed / total if total else 0.0
    if broken:
        names = "; ".join(outcome.description.rstrip(".") for outcome in broken)
        lead = f"The run stops: {len(broken)} of {len(suite.outcomes)} expectations fail ({names})."
    else:
        lead = (
            f"The data is fit for training: all {len(suite.outcomes)} expectations hold. "
            f"{_count(passed)} of {_count(total)} examples go on; "
            f"{_count(failed)} {'is' if failed == 1 else 'are'} set aside."
        )
    tiles = [
        page.Tile("Examples checked", _count(total)),
        page.Tile("Set aside", _count(failed), "", f"{share:.2%} of all"),
        page.Tile(
            "Expectations met",
            f"{len(suite.outcomes) - len(broken)} of {len(suite.outcomes)}",
            status="fail" if broken else "pass",
        ),
        page.Tile("Duplicates", _count(manifest.duplicates), "", "left out when the data was read"),
    ]
    headers = ["expectation", "column", "tolerated", "observed", ""]
    return page.render(
        "Data validation",
        lead,
        [
            page.Section("", [page.tiles(tiles)]),
            page.Section(
                "Expectations",
                [page.table(headers, [_row(outcome) for outcome in suite.outcomes])],
                note="A row that fails is set aside. More of them than tolerated stop the run.",
            ),
            _provenance(origin),
            *guards_section(guarded, "examples"),
            page.Section(
                "Rows set aside",
                _rows(rejected, failed, guarded),
                note="Below each stands the expectation that it failed, its split and its id.",
            ),
        ],
        status="fail" if broken else "pass",
        facts={
            "suite": suite.name,
            "source": page.code(manifest.source),
            "snapshot": page.code(manifest.snapshot_digest[:12]),
        },
    )


def _provenance(origin: GeneratedShare) -> page.Section:
    figures = origin.figures()
    told = origin.tags.most_common(_TAGS)
    rows: list[list[page.Cell]] = [[tag, count] for tag, count in told]
    others = len(origin.tags) - len(told)
    if others:
        rows.append([f"{others} more", origin.tags.total() - sum(count for _, count in told)])
    offered, left = (figures[f"generated_{name}"].value for name in ("offered", "share"))
    return page.Section(
        "Who made them",
        [
            page.table(["provenance", "rows"], rows),
            f"{offered:.1%} of the rows offered to learn from are made by models, and {left:.1%} "
            f"of those that go on. {origin.outcome.description}",
        ],
        note="Models that learn from models' output lose the rare first. A row of which it is not "
        "known who made it does not count as a model's.",
    )


def _row(outcome: Outcome) -> list[page.Cell]:
    name = page.Markup("{}<br>{}").format(_thin(outcome.description), page.code(outcome.kind))
    return [
        name,
        str(outcome.kwargs.get("column", "")),
        f"{1 - outcome.mostly:.1%}" if outcome.by_row else "",
        _observed(outcome.found()),
        page.badge("pass" if outcome.success else "fail"),
    ]


def _rows(rejected: Rejected, failed: int, guarded: Sequence[Tally]) -> list[page.Block]:
    if not failed:
        return ["None."]
    import pyarrow.parquet as pq

    with pq.ParquetFile(rejected.rows_path) as reader:
        present = [field.name for field in reader.schema_arrow if str(field.type) != "binary"]
        first = next(reader.iter_batches(_REJECTED_SHOWN, columns=present)).to_pylist()
    blocks: list[page.Block] = [
        page.quote(
            _shown(_told(row, guarded)),
            f"{str(row['reason']).rstrip('.')} ({row['split']}, {str(row['example_id'])[:12]})",
        )
        for row in first
    ]
    if failed > len(first):
        blocks.append(f"And {_count(failed - len(first))} more, in {rejected.rows_path.name}.")
    return blocks


def _told(row: dict[str, Any], guarded: Sequence[Tally]) -> str | None:
    """What a row holds, without what guards find in it."""
    text = row["text"] if "text" in row else _values(row)
    return None if text is None else hidden(guarded, text)


def _values(row: dict[str, Any]) -> str:
    """What a row that is no text holds, without what the steps added to it."""
    return ", ".join(
        f"{name} {'missing' if value is None else value}"
        for name, value in row.items()
        if name not in _ADDED
    )


def _count(rows: int) -> str:
    return page.number(rows, 0)


def _observed(found: str) -> str:
    """What was found, without the brackets and quotes of a list of column names."""
    shown = found.strip("[]").replace("'", "") if found.startswith("[") else found
    return _thin(shown)


def _thin(text: str) -> str:
    """The text with thousands set apart as everywhere on the page."""
    return re.sub(r"(?<=\d),(?=\d{3})", "\u202f", text)


def _shown(text: str | None) -> str:
    if text is None:
        return "(null)"
    # Control characters would be invisible.
    visible = "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)
    return visible if len(visible) <= 400 else f"{visible[:400]}..."

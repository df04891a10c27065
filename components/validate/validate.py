"""The validate step: examples that break an expectation are set aside, with the reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from components.artifacts import (
    SPLITS,
    TABLE,
    Examples,
    ExamplesManifest,
    Figure,
    Rejected,
    ValidationReport,
)
from components.errors import ValidationError
from components.table_schema import TableSchema
from components.validate.options import ValidateOptions
from components.validate.suite import Outcome, Suite, suite_path
from components.validate.table.constraints import KIND, ConstraintChecks


def run(
    examples: Path, options: ValidateOptions, validated: Path, rejected: Path, report: Path
) -> dict[str, Any]:
    """Checks every example, one shard in memory at a time.

    A table is also checked against its declared constraints.

    Args:
        examples: folder of the ingested examples.
        options: the suite.
        validated: folder to write the examples to that pass.
        rejected: folder to write the rows to that fail.
        report: folder to write the results to; written also where the suite fails.

    Returns:
        `rows` that pass, `rejected` rows and the number of `expectations`.

    Raises:
        ConfigError: the suite is unknown or malformed, or a constraint is.
        DataError: there are no examples.
        ValidationError: more rows fail an expectation, or violate a constraint, than is tolerated.
    """
    path = suite_path(options.suite)
    source = Examples(examples)
    manifest = source.manifest()
    suite = Suite(path)
    from components.validate.report import render
    from components.validate.rows import PassingWriter

    passing = PassingWriter(Examples(validated))
    with _constraints(manifest) as constraints:
        failed = _check(source, suite, constraints, passing, Rejected(rejected))
    suite.outcomes.extend(constraints.outcomes)
    passed = sum(info.rows for info in passing.splits.values())
    result = _result(suite, passed, failed)
    page = render(suite, manifest, passed, failed, Rejected(rejected))
    ValidationReport(report).write(result, page)
    for outcome in suite.outcomes:
        if not outcome.success:
            raise ValidationError(_complaint(outcome))
    Examples(validated).write_manifest(dataclasses.replace(manifest, splits=passing.splits))
    print(f"progress: {passed:,} examples pass, {failed:,} are set aside", flush=True)
    return {"rows": passed, "rejected": failed, "expectations": len(suite.outcomes)}


def _constraints(manifest: ExamplesManifest) -> ConstraintChecks:
    """The declared constraints; only tables have some."""
    declared = manifest.details if manifest.modality == TABLE else {"columns": []}
    return ConstraintChecks(TableSchema.from_json(declared))


def _check(
    source: Examples,
    suite: Suite,
    constraints: ConstraintChecks,
    passing: Any,
    rejected: Rejected,
) -> int:
    """Sorts the rows of every shard; returns how many are rejected."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from components.validate.rows import RejectedWriter

    shards = [(split, shard) for split in SPLITS for shard in source.shards(split)]
    schema = pq.read_schema(shards[0][1]) if shards else pa.schema([])
    failed = 0
    for split in SPLITS:
        passing.start(split)
    with RejectedWriter(rejected, schema) as writer:
        for done, (split, shard) in enumerate(shards, start=1):
            table = pq.read_table(shard)
            broken = suite.check(table.to_pandas())
            for row, violated in constraints.check(table).items():
                broken.setdefault(row, []).extend(violated)
            writer.write(split, table, broken)
            passing.write(split, shard, table, broken)
            failed += len(broken)
            print(f"progress: checked {done} of {len(shards)} shards", flush=True)
    return failed


def _result(suite: Suite, passed: int, failed: int) -> dict[str, Any]:
    """Great Expectations' form of a result, with the share of rows that were rejected."""
    successful = sum(outcome.success for outcome in suite.outcomes)
    share = failed / (passed + failed) if passed + failed else 0.0
    rejected = Figure(
        share,
        samples=passed + failed,
        unit="share",
        better="lower",
        label="Rejected rows",
    )
    return {
        "success": suite.success,
        "suite_name": suite.name,
        "statistics": {
            "evaluated_expectations": len(suite.outcomes),
            "successful_expectations": successful,
            "unsuccessful_expectations": len(suite.outcomes) - successful,
            "success_percent": 100 * successful / len(suite.outcomes),
        },
        "results": [outcome.to_json() for outcome in suite.outcomes],
        "rows": {"passed": passed, "rejected": failed},
        "figures": {"rejected_share": dataclasses.asdict(rejected)},
    }


def _complaint(outcome: Outcome) -> str:
    column = outcome.kwargs.get("column")
    where = f" of {column}" if column else ""
    tolerated = f" (tolerated: {1 - outcome.mostly:.2%})" if outcome.by_row else ""
    first = ""
    if outcome.examples:
        name, value = outcome.examples[0]
        shown = str(value) if len(str(value)) <= 80 else f"{str(value)[:80]}..."
        first = f"; first {name}: {shown!r}"
    judge = "ingest.constraints" if outcome.kind == KIND else "the suite"
    return (
        f"expected {outcome.kind}{where}: {outcome.description} "
        f"Received: {outcome.found()}{tolerated}{first}; mend the data or {judge}"
    )

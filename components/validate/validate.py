"""The validate step: examples that break an expectation are set aside, with the reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import (
    PROVENANCE,
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

if TYPE_CHECKING:
    import pyarrow as pa

    from components.validate.generated import GeneratedShare


def run(
    examples: Path, options: ValidateOptions, validated: Path, rejected: Path, report: Path
) -> dict[str, Any]:
    """Checks every example, one shard in memory at a time.

    A table is also checked against its declared constraints, texts by guards where some are
    chosen, and of what models made no more goes on than is allowed.

    Args:
        examples: folder of the ingested examples.
        options: the suite, the cap on generated rows, the guards.
        validated: folder to write the examples to that pass.
        rejected: folder to write the rows to that fail.
        report: folder to write the results to; written also where the suite fails.

    Returns:
        `rows` that pass, `rejected` rows and the number of `expectations`.

    Raises:
        ConfigError: the suite is unknown or malformed, or a constraint is; a guard cannot be made,
            or known outputs cannot be read.
        DataError: there are no examples.
        ValidationError: more rows fail an expectation, violate a constraint, or are made by models
            than is tolerated.
    """
    path = suite_path(options.suite)
    source = Examples(examples)
    manifest = source.manifest()
    suite = Suite(path)
    from components.guards import checking
    from components.validate.generated import GeneratedShare
    from components.validate.known_outputs import KnownOutputs
    from components.validate.report import render
    from components.validate.rows import PassingWriter

    known = None
    if options.known_outputs:
        known = KnownOutputs(options.known_outputs, manifest, options.known_overlap)
    share = GeneratedShare(options, known)
    guards = _Guards(options)
    passing = PassingWriter(Examples(validated))
    with _constraints(manifest) as constraints:
        checks = _Checks(suite, constraints, guards, share)
        failed = _check(source, checks, passing, Rejected(rejected), options)
    suite.outcomes.extend([*constraints.outcomes, *guards.outcomes, *share.outcomes])
    passed = sum(info.rows for info in passing.splits.values())
    result = _result(suite, passed, failed)
    more = {**share.figures(), **checking.figures(guards.tallies)}
    result["figures"] |= {name: dataclasses.asdict(figure) for name, figure in more.items()}
    result["provenance"] = dict(share.tags)
    page = render(suite, manifest, passed, failed, Rejected(rejected), share, guards.tallies)
    ValidationReport(report).write(result, page)
    for outcome in suite.outcomes:
        if not outcome.success:
            raise ValidationError(_complaint(outcome))
    if failed and not passed:
        raise ValidationError(
            f"expected examples that pass. Received: none of {failed:,}; the report tells why"
        )
    Examples(validated).write_manifest(dataclasses.replace(manifest, splits=passing.splits))
    print(f"progress: {passed:,} examples pass, {failed:,} are set aside", flush=True)
    return {"rows": passed, "rejected": failed, "expectations": len(suite.outcomes)}


def _constraints(manifest: ExamplesManifest) -> ConstraintChecks:
    """The declared constraints; only tables have some."""
    declared = manifest.details if manifest.modality == TABLE else {"columns": []}
    return ConstraintChecks(TableSchema.from_json(declared))


class _Guards:
    """The chosen guards, and what the rows that they set aside broke."""

    def __init__(self, options: ValidateOptions) -> None:
        from components.guards import checking

        self.tallies = checking.tallies(options.guards)
        self._outcomes = [
            Outcome(f"guard:{each.name}", f"The guard {each.name} finds nothing.", {"mostly": 0.0})
            if each.set_aside
            else None
            for each in options.guards
        ]

    @property
    def outcomes(self) -> list[Outcome]:
        """Of the guards that set rows aside."""
        return [outcome for outcome in self._outcomes if outcome is not None]

    def check(self, table: pa.Table) -> dict[int, list[Outcome]]:
        """Scores the rows of a shard; what those broke that are to be set aside, by index."""
        broken: dict[int, list[Outcome]] = {}
        if not self.tallies:
            return broken
        from components.guards.checking import check
        from components.guards.rows import texts_of

        texts = texts_of(table)
        for flags, outcome in zip(check(self.tallies, texts), self._outcomes, strict=True):
            flagged = [row for row, found in enumerate(flags) if found]
            if outcome is None:
                continue
            outcome.by_row = True
            outcome.checked += len(texts)
            outcome.unexpected += len(flagged)
            for row in flagged:
                broken.setdefault(row, []).append(outcome)
        return broken


@dataclasses.dataclass(frozen=True)
class _Checks:
    """All that a row must pass."""

    suite: Suite
    constraints: ConstraintChecks
    guards: _Guards
    share: GeneratedShare

    def broken(self, split: str, table: pa.Table) -> dict[int, list[Outcome]]:
        """What each failing row of a shard broke, by its index."""
        # Who made a row is no business of a suite, which may list the columns of the source.
        judged = table.drop_columns([PROVENANCE]) if PROVENANCE in table.column_names else table
        broken = self.suite.check(judged.to_pandas())
        for found in (self.constraints.check(table), self.guards.check(table)):
            for row, outcomes in found.items():
                broken.setdefault(row, []).extend(outcomes)
        self.share.add(split, table, set(broken))
        return broken


def _check(
    source: Examples, checks: _Checks, passing: Any, rejected: Rejected, options: ValidateOptions
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
            broken = checks.broken(split, table)
            writer.write(split, table, broken)
            passing.write(split, shard, table, broken)
            failed += len(broken)
            print(f"progress: checked {done} of {len(shards)} shards", flush=True)
        surplus = {split: checks.share.surplus(split) for split in SPLITS}
        if options.generated_surplus == "fail":
            surplus = {}
        for split, ids in surplus.items():
            if ids:
                passing.remove(split, ids, writer, checks.share.outcome)
        too_many = sum(map(len, surplus.values()))
        checks.share.conclude(too_many)
    return failed + too_many


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
    judges = {KIND: "ingest.constraints", "generated_share": "validate.max_generated_share"}
    judge = judges.get(outcome.kind, "the suite")
    return (
        f"expected {outcome.kind}{where}: {outcome.description} "
        f"Received: {outcome.found()}{tolerated}{first}; mend the data or {judge}"
    )

"""The declared constraints of a table as expectations of every row."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from components.table_schema import Constraint, Fixed, TableSchema, Unique
from components.validate.suite import Outcome

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from components.ingest.writing import Occurrences

KIND = "constraint"
# The share of rows that must hold a constraint; those that do not are set aside.
MOSTLY = 0.95
_EXAMPLES_KEPT = 20


class ConstraintChecks:
    """Checks shard after shard; uniqueness over all of them, with what was seen on disk.

    A `fixed` constraint allows what the data itself combines, so data cannot violate it and it
    is left out.
    """

    def __init__(self, schema: TableSchema) -> None:
        """Reads the constraints.

        Raises:
            ConfigError: one is malformed.
        """
        self._schema = schema
        self._constraints = [each for each in schema.parsed() if not isinstance(each, Fixed)]
        self.outcomes = [_outcome(constraint) for constraint in self._constraints]
        self._open = ExitStack()
        self._seen: dict[str, Occurrences] = {}

    def __enter__(self) -> Self:
        from components.ingest.writing import Occurrences

        for constraint in self._constraints:
            if isinstance(constraint, Unique):
                self._seen[constraint.text] = self._open.enter_context(Occurrences())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def check(self, table: pa.Table) -> dict[int, list[Outcome]]:
        """Checks the rows of a shard, and adds what it finds to `outcomes`.

        Returns:
            The constraints that each failing row violates, by its index.
        """
        violated = self._schema.violations(table)
        broken: dict[int, list[Outcome]] = {}
        for constraint, outcome in zip(self._constraints, self.outcomes, strict=True):
            if isinstance(constraint, Unique):
                rows = self._repeated(table, constraint)
            else:
                rows = violated[constraint.text]
                outcome.missing += _incomplete(table, constraint)
            outcome.checked += table.num_rows
            for row in rows.nonzero()[0].tolist():
                outcome.unexpected += 1
                broken.setdefault(row, []).append(outcome)
                if len(outcome.examples) < _EXAMPLES_KEPT:
                    outcome.examples.append(_example(table, row, constraint))
        return broken

    def _repeated(self, table: pa.Table, constraint: Unique) -> NDArray[np.bool_]:
        import numpy as np
        import pyarrow as pa

        from components.ingest.table.rows import row_digests

        columns = [table.column(name).combine_chunks() for name in constraint.columns]
        rows = pa.record_batch(columns, names=list(constraint.columns))
        seen = self._seen[constraint.text]
        return np.array([seen.add(digest) > 0 for digest in row_digests(rows)], bool)


def _outcome(constraint: Constraint) -> Outcome:
    description = f"'{constraint.text}' holds in every row."
    kwargs = {"constraint": constraint.text, "mostly": MOSTLY}
    return Outcome(KIND, description, kwargs, by_row=True)


def _incomplete(table: pa.Table, constraint: Constraint) -> int:
    """How many rows miss a value that the constraint compares."""
    import pyarrow.compute as pc

    present = None
    for name in constraint.columns:
        valid = pc.is_valid(table.column(name))
        present = valid if present is None else pc.and_(present, valid)
    complete = int(pc.sum(present).as_py() or 0)
    rows: int = table.num_rows
    return rows - complete


def _example(table: pa.Table, row: int, constraint: Constraint) -> tuple[str, str]:
    values = [f"{name} {table.column(name)[row].as_py()}" for name in constraint.columns]
    return str(table.column("example_id")[row].as_py()), ", ".join(values)

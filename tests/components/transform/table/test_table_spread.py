"""On another Beam runner a table has the same modes, categories and codes."""

from __future__ import annotations

from typing import Any

from components.transform.table.options import TransformTableOptions
from components.transform.table.transform import run


def test_another_runner_writes_the_same_rows(table_step: Any, prism: Any, equal_on: Any) -> None:
    options = TransformTableOptions(modes=6, max_distinct=20, max_categories=50, **prism)
    equal_on(run, options, table_step)

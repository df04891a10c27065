"""Reads what a transform graph learnt of a table, as the layout that everybody else uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from components.artifacts import TransformGraph, write_json
from components.table_layout import ColumnLayout, TableLayout
from components.table_schema import BOOLEAN, CATEGORICAL, Column, TableSchema
from components.transform.table.modes import MODES_NAME, NUMBERS_PER_LINE
from components.transform.table.preprocessing import number_spec, unescape, vocabulary_name


def write_layout(
    graph: TransformGraph, schema: TableSchema, custom_config: Mapping[str, Any]
) -> None:
    """Writes the layout beside the graph.

    Args:
        graph: as TensorFlow Transform wrote it.
        schema: of the examples that it learnt from.
        custom_config: as `preprocessing_fn` had it.
    """
    lines = _mode_lines(graph)
    columns = []
    values = 0
    for place, column in enumerate(schema.columns):
        if column.kind in (BOOLEAN, CATEGORICAL):
            most = int(custom_config["max_categories"])
            columns.append(_categories(graph, column, place, most))
            continue
        spec = number_spec(column, custom_config)
        learnt = np.array([next(lines) for _ in range(spec.lines)])
        columns.append(_modes(column, learnt, None if spec.each_value else values))
        values += not spec.each_value
    layout = TableLayout(tuple(columns), schema.constraints)
    write_json(graph.table_layout, layout.to_json())


def _mode_lines(graph: TransformGraph) -> Iterator[list[float]]:
    path = graph.transform_fn / "assets" / MODES_NAME
    if path.is_file():  # A table without numbers has none.
        for line in path.read_text("utf-8").splitlines():
            numbers = [float(number) for number in line.split()]
            assert len(numbers) == NUMBERS_PER_LINE
            yield numbers


def _modes(column: Column, learnt: Any, value: int | None) -> ColumnLayout:
    """A numerical or datetime column; `learnt` is float64 [lines, 3], see `LearnModes`."""
    modes = learnt[1:][learnt[1:, 2] > 0]
    means, deviations, weights = (tuple(numbers.tolist()) for numbers in modes.T)
    return ColumnLayout(
        name=column.name,
        kind=column.kind,
        dtype=column.dtype,
        nullable=column.nullable,
        decimals=column.decimals,
        minimum=float(learnt[0, 0]),
        maximum=float(learnt[0, 1]),
        size=len(means) + column.nullable,
        missing=len(means) if column.nullable else None,
        means=means,
        deviations=deviations,
        weights=weights,
        value=value,
        step=column.step,
    )


def _categories(graph: TransformGraph, column: Column, place: int, most: int) -> ColumnLayout:
    categories, others = ["false", "true"], False
    if column.kind == CATEGORICAL:
        path = graph.transform_fn / "assets" / vocabulary_name(place)
        # Splitting at '\n' only: texts may hold other characters that end lines.
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
        categories, others = [unescape(line) for line in lines[:most]], len(lines) > most
    missing = len(categories) if column.nullable else None
    unknown = len(categories) + column.nullable if others else None
    return ColumnLayout(
        name=column.name,
        kind=column.kind,
        dtype=column.dtype,
        nullable=column.nullable,
        size=len(categories) + column.nullable + others,
        missing=missing,
        categories=tuple(categories),
        unknown=unknown,
    )

"""The version now served, measured on the same rows and by the same seeds as the new model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.artifacts import Figure, Published, saved_model_digest
from components.errors import ModelError
from components.evaluate.table.options import EvaluateTableOptions
from components.evaluate.table.served_table import ServedTable
from components.table_schema import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Champion:
    """The version now served.

    Attributes:
        version: its number; 0 where its folder has none.
        model_digest: of its SavedModel.
        served: the loaded model; None where it does not generate the columns of these rows.
        made: its rows; None likewise.
        problem: why it cannot be compared; empty where it can.
    """

    version: int
    model_digest: str
    served: ServedTable | None = None
    made: pa.Table | None = None
    problem: str = ""

    def told(self, figures: dict[str, Figure]) -> dict[str, Any]:
        """As `evaluation.json` has it."""
        return {
            "version": self.version,
            "model_digest": self.model_digest,
            "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        }


def generate(path: Path, schema: TableSchema, rows: int, options: EvaluateTableOptions) -> Champion:
    """Generates with the published version.

    One of other columns is no error, or a table could never gain a column: it has no rows, and
    a rule that compares with it says so.

    Args:
        path: folder of the published version.
        schema: of the rows that the new model is judged by.
        rows: how many to generate.
        options: seed and temperature.

    Raises:
        ModelError: there is no SavedModel.
    """
    version = Published(path).version if path.name.isdecimal() else 0
    digest = saved_model_digest(path)
    try:
        served = ServedTable(path, schema)
    except ModelError as error:
        return Champion(version, digest, problem=str(error))
    made, _ = served.generate(
        rows, options.seed, options.temperature, name="generate with the champion"
    )
    return Champion(version, digest, served, made)

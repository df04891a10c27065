"""What a served table model says of its columns, and Arrow columns made of its answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from serving.sampling.errors import SamplingError

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.client import Client
    from serving.client.tensors import Tensor
    from serving.client.types import Metadata, Prediction

GENERATE, DESCRIBE = "generate", "describe"
MISSING_SUFFIX = ".missing"
_INPUTS = {"num_rows", "conditions", "temperature", "seed"}
_UNIQUE = "unique"


@dataclasses.dataclass(frozen=True)
class ServedColumn:
    """A column of the source: its name, Arrow's name of its type, whether values may lack."""

    name: str
    dtype: str
    nullable: bool


@dataclasses.dataclass(frozen=True)
class ServedTable:
    """The table that a model generates rows of.

    Attributes:
        columns: in the order of the source.
        unique: groups of columns in which no two rows may be alike.
        version: of the model.
        most_rows: that one call may ask for; None where the model does not say.
    """

    columns: tuple[ServedColumn, ...]
    unique: tuple[tuple[str, ...], ...]
    version: int
    most_rows: int | None

    @classmethod
    def of(cls, client: Client, timeout: float) -> Self:
        """Asks a server.

        Raises:
            SamplingError: the model is none that generates tables.
            ClientError: the server refused, failed, or cannot be reached.
        """
        metadata = client.metadata(timeout=timeout)
        signature = metadata.signatures.get(GENERATE)
        if signature is None or set(signature.inputs) != _INPUTS:
            raise SamplingError(
                f"expected a model of tables, whose {GENERATE} takes {', '.join(sorted(_INPUTS))}. "
                f"Received: {client.address} serves one that takes "
                f"{', '.join(sorted(signature.inputs)) if signature else 'no such call'}"
            )
        if DESCRIBE not in metadata.signatures:
            raise SamplingError(
                f"expected a model that describes its columns. Received: {client.address} serves "
                f"one without the signature {DESCRIBE}; export it again"
            )
        answer = client.predict(
            DESCRIBE, {"about": [""]}, version=metadata.version, timeout=timeout
        )
        return cls._read(json.loads(_text(answer)), metadata)

    @classmethod
    def _read(cls, about: Mapping[str, Any], metadata: Metadata) -> Self:
        outputs = metadata.signatures[GENERATE].outputs
        columns = tuple(
            ServedColumn(
                column["name"], column["dtype"], f"{column['name']}{MISSING_SUFFIX}" in outputs
            )
            for column in about["columns"]
        )
        unique = tuple(
            tuple(name.strip() for name in rest.split(","))
            for kind, _, rest in (text.partition(":") for text in about.get("constraints", ()))
            if kind.strip() == _UNIQUE
        )
        return cls(columns, unique, metadata.version, about.get("max_rows"))

    def schema(self) -> pa.Schema:
        """Names and types as in the source."""
        import pyarrow as pa

        fields = [
            pa.field(column.name, arrow_type(column.dtype), nullable=column.nullable)
            for column in self.columns
        ]
        return pa.schema(fields)

    def batch(self, outputs: Mapping[str, Tensor]) -> pa.RecordBatch:
        """The rows of an answer in the source's own types."""
        import pyarrow as pa

        schema = self.schema()
        arrays = []
        for column, field in zip(self.columns, schema, strict=True):
            absent = outputs[f"{column.name}{MISSING_SUFFIX}"].values if column.nullable else None
            arrays.append(_array(outputs[column.name], absent, field.type))
        return pa.record_batch(arrays, schema=schema)


def _text(answer: Prediction) -> str:
    found: bytes = answer.outputs["json"].values[0]
    return found.decode()


def arrow_type(dtype: str) -> pa.DataType:
    """The Arrow type of a name such as 'int16', 'date32[day]' or 'timestamp[us, tz=UTC]'."""
    import pyarrow as pa

    if dtype.startswith("timestamp["):
        unit, _, zone = dtype.removeprefix("timestamp[").removesuffix("]").partition(", tz=")
        return pa.timestamp(unit, tz=zone or None)
    return pa.type_for_alias(dtype.partition("[")[0])


def _array(values: Tensor, absent: list[bool] | None, kind: pa.DataType) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = None if absent is None else np.array(absent, bool)
    if values.dtype != "string":
        return pc.cast(pa.array(np.array(values.values), mask=mask), kind)
    texts = pa.array(np.array(values.values, object), pa.binary(), mask=mask).cast(pa.string())
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        return pc.cast(texts, kind)
    # Texts end in Z; Arrow reads them as moments in UTC and keeps the zone of the source.
    return pc.cast(pc.cast(texts, pa.timestamp(kind.unit, tz="UTC")), kind)

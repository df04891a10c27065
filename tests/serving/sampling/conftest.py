"""A served model that answers rows of every type without having learnt any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COLUMNS = [
    {"name": "flight", "kind": "numerical", "dtype": "int16"},
    {"name": "weight", "kind": "numerical", "dtype": "double"},
    {"name": "delay", "kind": "numerical", "dtype": "float"},
    {"name": "carrier", "kind": "categorical", "dtype": "string"},
    {"name": "late", "kind": "boolean", "dtype": "bool"},
    {"name": "day", "kind": "datetime", "dtype": "date32[day]"},
    {"name": "at", "kind": "datetime", "dtype": "timestamp[us, tz=America/New_York]"},
]


def _save(destination: Path, constraints: list[str], kinds: int) -> None:
    """`generate` makes rows of its seed; `flight` takes so many different values."""
    import tensorflow as tf

    text = json.dumps({"columns": COLUMNS, "constraints": constraints, "max_rows": 1000})

    class Rows(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32, "num_rows"),
                tf.TensorSpec([None], tf.string, "conditions"),
                tf.TensorSpec([None], tf.float32, "temperature"),
                tf.TensorSpec([None], tf.int64, "seed"),
            ]
        )
        def generate(self, num_rows, conditions, temperature, seed):
            good = tf.reduce_all(tf.strings.regex_full_match(conditions, "carrier=.*"))
            message = "conditions must name columns among carrier"
            with tf.control_dependencies([tf.debugging.Assert(good, [message])]):
                rows = num_rows[0]
            state = tf.stack([seed[0] % 2**31, seed[0] // 2**31])
            number = tf.random.stateless_uniform([rows], state, 0, kinds, tf.int32)
            carrier = tf.strings.reduce_join(conditions, separator=",")
            numbers = tf.cast(number, tf.float64)
            return {
                "flight": tf.cast(number, tf.int64),
                "weight": numbers + 0.1,
                "delay": tf.cast(numbers, tf.float32) * temperature[0],
                "delay.missing": number % 2 == 0,
                "carrier": tf.strings.join([carrier, tf.strings.as_string(number)]),
                "late": number % 3 == 0,
                "day": tf.fill([rows], "2013-02-28"),
                "at": tf.fill([rows], "2013-02-28T12:30:00Z"),
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "about")])
        def describe(self, about):
            return {"json": tf.fill(tf.shape(about), text)}

    model = Rows()
    signatures = {"generate": model.generate, "describe": model.describe}
    tf.saved_model.save(model, str(destination), signatures=signatures)


@pytest.fixture(scope="session")
def serve_rows(
    tmp_path_factory: pytest.TempPathFactory,
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
) -> Callable[..., str]:
    """Serves the model; the address, where its name is 'text'."""

    def serve(constraints: list[str], kinds: int) -> str:
        from serving.client import Client

        folder = tmp_path_factory.mktemp("rows")
        _save(folder / "saved", constraints, kinds)
        publish(folder / "saved", folder / "served", 3)
        address: str = start_server(folder / "served").address
        with Client(address) as client:
            client.wait_until_available(60)
        return address

    return serve


@pytest.fixture(scope="session")
def table_address(serve_rows: Callable[..., str]) -> str:
    """Rows without constraints."""
    return serve_rows([], 30_000)


@pytest.fixture(scope="session")
def unique_address(serve_rows: Callable[..., str]) -> str:
    """Rows whose flights, of 500, must be different."""
    return serve_rows(["unique: flight, late"], 500)

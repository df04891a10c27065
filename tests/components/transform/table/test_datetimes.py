"""Times are read and written as Python reads and writes them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import tensorflow as tf

from components.transform.table import datetimes

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def micros(text: str) -> int:
    time = dt.datetime.fromisoformat(text)
    time = time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time
    return (time - EPOCH) // dt.timedelta(microseconds=1)


def test_reads_what_python_reads() -> None:
    texts = [
        "2013-01-31", "2013-01-31T10:00:00Z", "2013-01-31 10:05", "1969-12-31T23:59:59.999999Z",
        "2000-02-29T00:00:00.5", "1900-03-01T12:00:00+05:30", "2024-12-31T23:00:00-08:00",
        "0001-01-01", "9999-12-31T23:59:59Z",
    ]  # fmt: skip
    assert datetimes.parse(tf.constant(texts)).numpy().tolist() == [micros(text) for text in texts]


def test_every_day_of_four_centuries_comes_back() -> None:
    days = np.arange(-(2**15), 2**17) * 86_400_000_000
    texts = datetimes.write(tf.constant(days), "date32[day]", 0)
    expected = np.datetime_as_string(days.astype("datetime64[us]"), unit="D")
    assert [text.decode() for text in texts.numpy().tolist()] == expected.tolist()
    np.testing.assert_array_equal(datetimes.parse(texts).numpy(), days)


@pytest.mark.parametrize(
    ("dtype", "decimals", "expected"),
    [
        ("timestamp[us]", 0, "2013-01-31T10:05:09"),
        ("timestamp[us, tz=UTC]", 3, "2013-01-31T10:05:09.012Z"),
        ("timestamp[us]", 6, "2013-01-31T10:05:09.012345"),
        ("date32[day]", 0, "2013-01-31"),
    ],
)
def test_writes_the_precision_of_the_column(dtype: str, decimals: int, expected: str) -> None:
    time = tf.constant([micros("2013-01-31T10:05:09.012345")], tf.int64)
    assert datetimes.write(time, dtype, decimals).numpy().tolist() == [expected.encode()]


@pytest.mark.parametrize(
    "text", ["soon", "2013", "2013-13-01", "2013-02-29", "2013-01-31T24:00:00", ""]
)
def test_what_is_no_time_is_one_clear_line(text: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected ISO 8601 times"):
        datetimes.parse(tf.constant(["2013-01-31", text]))

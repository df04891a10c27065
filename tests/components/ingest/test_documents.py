"""Paragraphs, eras and splits."""

from __future__ import annotations

import datetime as dt

import pytest

from components.errors import ConfigError
from components.ingest.documents import Splitter, paragraphs, parse_time
from components.ingest.options import IngestOptions


def test_paragraphs_end_at_blank_lines() -> None:
    lines = ["one\n", "more\n", "  \n", "\n", "two\r\n"]
    assert list(paragraphs(lines, 1)) == ["one\nmore", "two"]
    assert list(paragraphs([], 1)) == []
    assert list(paragraphs(["\n", " "], 1)) == []


def test_short_paragraphs_are_joined_to_the_next() -> None:
    lines = ["I.", "", "a long paragraph", "", "II.", "", "another long one", "", "End."]
    assert list(paragraphs(lines, 10)) == [
        "I.\n\na long paragraph",
        "II.\n\nanother long one\n\nEnd.",
    ]
    assert list(paragraphs(["tiny"], 10)) == ["tiny"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1934", dt.datetime(1934, 1, 1, tzinfo=dt.UTC)),
        (1934, dt.datetime(1934, 1, 1, tzinfo=dt.UTC)),
        ("1934-05-06", dt.datetime(1934, 5, 6, tzinfo=dt.UTC)),
        ("1934-05-06T07:00:00+02:00", dt.datetime(1934, 5, 6, 5, tzinfo=dt.UTC)),
        (dt.date(1934, 5, 6), dt.datetime(1934, 5, 6, tzinfo=dt.UTC)),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read_as_utc(value: object, expected: dt.datetime | None) -> None:
    assert parse_time(value) == expected


def splits_of(options: IngestOptions, years: list[int]) -> list[str | None]:
    splitter = Splitter(options)
    return [
        splitter.split(str(year), dt.datetime(year, 12, 31, 23, tzinfo=dt.UTC)) for year in years
    ]


def test_eras_include_their_last_year_and_leave_out_the_rest() -> None:
    options = IngestOptions(
        source="sotu:", reference_from="1900", reference_to="1959", current_from="1960-01-01"
    )
    before, first, last, current = splits_of(options, [1899, 1900, 1959, 1960])
    assert before is None
    assert {first, last} <= {"train", "eval"}
    assert current == "current"


def test_held_out_share_is_about_what_was_asked() -> None:
    options = IngestOptions(source="x", eval_percent=30)
    splitter = Splitter(options)
    splits = [splitter.split(f"document {n}", None) for n in range(2000)]
    assert 0.26 < splits.count("eval") / 2000 < 0.34
    assert splits.count("eval") + splits.count("train") == 2000


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"reference_from": "long ago"}, "ingest.reference_from.*'long ago'"),
        ({"reference_from": "1960", "reference_to": "1900"}, "before"),
        ({"reference_from": "1900", "current_from": "1960"}, "overlap"),
        ({"reference_to": "1960", "current_from": "1960"}, "overlap"),
    ],
)
def test_eras_that_make_no_sense_are_refused(bounds: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Splitter(IngestOptions(source="sotu:", **bounds))

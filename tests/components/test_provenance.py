"""A tag says who made an example, and nothing else passes for one."""

from __future__ import annotations

import pytest

from components.errors import ConfigError, DataError
from components.provenance import check, generated, parse


@pytest.mark.parametrize("tag", ["human", "model:text:3", "edited:my-model.v2:12"])
def test_tags(tag: str) -> None:
    assert parse(f" {tag} ", "row 1", "provenance") == check(tag) == tag


@pytest.mark.parametrize("value", [None, "", "  "])
def test_nothing_is_not_known(value: str | None) -> None:
    assert parse(value, "row 1", "provenance") is None
    assert check("") == ""


@pytest.mark.parametrize("value", ["Human", "model", "model:text", "model:a b:1", "robot", 7])
def test_anything_else_is_one_line(value: object) -> None:
    with pytest.raises(DataError, match=r"in 'origin' at row 1\. Received: .*provenance_column"):
        parse(value, "row 1", "origin")
    with pytest.raises(ConfigError, match="or nothing"):
        check(str(value))


def test_what_counts_as_a_models() -> None:
    tags = [None, "human", "edited:text:3", "model:text:3"]
    assert [generated(tag) for tag in tags] == [False, False, False, True]
    assert [generated(tag, edited=True) for tag in tags] == [False, False, True, True]

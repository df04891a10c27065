"""Results come in order, from several threads, and items are taken only as they are needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from components.transform import ahead as module
from components.transform.ahead import ahead


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 4)


def test_results_come_in_order_though_later_items_are_done_sooner() -> None:
    def slow(item: int) -> tuple[int, int]:
        time.sleep(0.02 if item % 4 == 0 else 0)
        return item, threading.get_ident()

    found = list(ahead(slow, range(40)))
    assert [item for item, _ in found] == list(range(40))
    assert len({thread for _, thread in found}) > 1


def test_few_items_are_taken_before_their_results_are() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = ahead(lambda item: item, items())
    for used in range(1, 101):
        next(results)
        assert len(taken) <= used + 4


def test_an_error_comes_where_its_result_would_have() -> None:
    results = ahead(lambda item: 1 // item, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)

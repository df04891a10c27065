"""Works on the next items while the results of the last ones are used."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# More threads than this would wait for the one that uses their results.
_MOST_THREADS = 4


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields the function's result for each item, in order; a few items are in memory at a time.

    Args:
        function: called in several threads; of use where it leaves Python's lock alone, as
            TensorFlow does.
        items: taken one after the other, by the thread that takes the results.
    """
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    working: collections.deque[Future[Result]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                working.append(pool.submit(function, item))
                if len(working) > threads:
                    yield working.popleft().result()
            while working:
                yield working.popleft().result()
        finally:
            for future in working:
                future.cancel()

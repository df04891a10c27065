"""A server spares its callers the pauses that Python's own settings would bring."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys, time
kept = [[] for _ in range(2_000_000)]
def collection():
    started = time.process_time()
    gc.collect()
    return time.process_time() - started
before = collection()
from serving.server.pacing import settle
settle()
print(before, collection())
circle = []
circle.append(circle)
del circle
print(gc.collect() > 0)
"""


def test_what_is_there_at_the_start_is_not_collected_again() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    first, second = run.stdout.splitlines()
    before, after = map(float, first.split())
    assert after < before / 5
    assert second == "True"  # what comes later still is


def test_threads_take_turns_more_often_while_any_model_loads() -> None:
    from serving.server.pacing import loading

    usual = sys.getswitchinterval()
    with loading():
        with loading():
            assert sys.getswitchinterval() <= 0.001
        assert sys.getswitchinterval() <= 0.001
    assert sys.getswitchinterval() == usual

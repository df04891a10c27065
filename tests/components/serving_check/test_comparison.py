"""Equal answers are equal; everything else is named with what was found."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from components.serving_check.comparison import SignatureVerdict, compare
from components.serving_check.worker import encode

REQUESTS = [{"signature": "generate", "inputs": {}}, {"signature": "score", "inputs": {}}]


def result() -> dict[str, Any]:
    """What the worker might have found for the two requests."""
    text = {"text": encode(np.array([b"of the"], object)), "count": encode(np.array([2], np.int32))}
    nll = {"nll": encode(np.array([1.5, 300.0, np.inf, np.nan], np.float32))}
    return {
        "tensorflow": "2.21.0",
        "answers": [
            {"outputs": outputs, "seconds": 0.25, "concurrent": []} for outputs in (text, nll)
        ],
    }


def judge(found: dict[str, Any]) -> dict[str, SignatureVerdict]:
    return compare(REQUESTS, result(), found)


def test_the_same_is_equal() -> None:
    verdicts = judge(result())
    assert {name: verdict.verdict for name, verdict in verdicts.items()} == {
        "generate": "equal",
        "score": "equal",
    }
    assert verdicts["score"] == SignatureVerdict(1, 0.0, "equal", "", 0.25)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("text", np.array([b"of a"], object), "text is b'of a' instead of b'of the'"),
        ("count", np.array([3], np.int32), "count is 3 instead of 2"),
        ("count", np.array([2], np.int64), "count has dtype int64 instead of int32"),
        ("count", np.array([2, 2], np.int32), r"count has shape \[2\] instead of \[1\]"),
    ],
)
def test_another_value_is_named(name: str, array: Any, reason: str) -> None:
    found = result()
    found["answers"][0]["outputs"][name] = encode(array)
    verdicts = judge(found)
    assert verdicts["generate"].verdict == "differs"
    assert verdicts["score"].verdict == "equal"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(verdicts["generate"].reason)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.5005, 300.02, np.inf, np.nan], "equal"),
        ([1.503, 300.0, np.inf, np.nan], "differs"),
        ([1.5, 300.2, np.inf, np.nan], "differs"),
        ([1.5, 300.0, -np.inf, np.nan], "differs"),
        ([1.5, 300.0, np.inf, 0.0], "differs"),
        ([np.nan, 300.0, np.inf, np.nan], "differs"),
    ],
)
def test_floats_are_equal_up_to_the_tolerance(values: list[float], verdict: str) -> None:
    found = result()
    found["answers"][1]["outputs"]["nll"] = encode(np.array(values, np.float32))
    assert judge(found)["score"].verdict == verdict


def test_the_largest_difference_is_told() -> None:
    found = result()
    values = np.array([1.5005, 300.02, np.inf, np.nan], np.float32)
    found["answers"][1]["outputs"]["nll"] = encode(values)
    assert judge(found)["score"].largest_difference == pytest.approx(0.02, rel=1e-2)


def test_an_answer_that_changes_among_threads_differs() -> None:
    found = result()
    other = copy.deepcopy(found["answers"][0]["outputs"])
    other["count"] = encode(np.array([7], np.int32))
    found["answers"][0]["concurrent"] = [{"outputs": other}]
    verdict = judge(found)["generate"]
    assert verdict.verdict == "differs"
    assert verdict.reason == "from several threads at once: count is 7 instead of 2"


def test_a_refusal_equals_the_same_refusal_alone() -> None:
    refused = {"error": "InvalidArgumentError", "message": "m", "seconds": 0.0, "concurrent": []}
    expected, found = result(), result()
    expected["answers"][0] = refused
    assert compare(REQUESTS, expected, found)["generate"].verdict == "differs"
    found["answers"][0] = refused
    assert compare(REQUESTS, expected, found)["generate"].verdict == "equal"
    found["answers"][0] = {**refused, "error": "InternalError"}
    assert compare(REQUESTS, expected, found)["generate"].verdict == "fails"


def test_a_version_that_gives_nothing_fails_everywhere() -> None:
    verdicts = judge({"tensorflow": "2.19.1", "problem": "no such op"})
    assert {verdict.verdict for verdict in verdicts.values()} == {"fails"}
    assert {verdict.reason for verdict in verdicts.values()} == {"no such op"}


def test_a_missing_output_is_named() -> None:
    found = result()
    del found["answers"][0]["outputs"]["text"]
    assert judge(found)["generate"].reason == "outputs count instead of text, count"

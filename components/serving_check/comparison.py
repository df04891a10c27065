"""Whether two TensorFlow versions answered the same requests equally."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from components.serving_check.worker import decode

# A float may differ by this much and by this share of its size. Kernels of two versions add the
# same numbers in another order; over the sums of a text's log-probability that was 3e-5 at most.
ABSOLUTE, RELATIVE = 1e-3, 1e-4
# A pixel of a PNG file may be off by this much, of 255.
LEVELS = 1


@dataclasses.dataclass(frozen=True)
class SignatureVerdict:
    """What became of one signature's requests.

    Attributes:
        requests: how many were sent.
        largest_difference: of any float in any answer, or of a picture's pixels as shares of
            white; 0 where there is none.
        verdict: 'equal', 'differs', or 'fails' where the version gives no answer.
        reason: the first difference, in a few words; empty where all is equal.
        seconds: of all requests, one after another.
    """

    requests: int
    largest_difference: float
    verdict: Literal["equal", "differs", "fails"]
    reason: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class _Found:
    difference: float = 0.0
    problem: str = ""
    failed: bool = False


def compare(
    requests: Sequence[Mapping[str, Any]], expected: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, SignatureVerdict]:
    """Compares two results of the worker, signature by signature.

    Args:
        requests: as `probes` made them.
        expected: the worker's result under the TensorFlow that the model was judged with.
        found: the same under another version.
    """
    answers = found.get("answers") or [
        {"error": "load", "message": found.get("problem", ""), "seconds": 0.0, "concurrent": []}
    ] * len(requests)
    names = dict.fromkeys(request["signature"] for request in requests)
    verdicts = {}
    for name in names:
        places = [place for place, one in enumerate(requests) if one["signature"] == name]
        outcomes = [
            outcome
            for place in places
            for outcome in _answer(expected["answers"][place], answers[place])
        ]
        seconds = sum(answers[place]["seconds"] for place in places)
        verdicts[name] = _verdict(len(places), outcomes, seconds)
    return verdicts


def _verdict(requests: int, outcomes: Sequence[_Found], seconds: float) -> SignatureVerdict:
    wrong = [outcome for outcome in outcomes if outcome.problem]
    failed = any(outcome.failed for outcome in wrong)
    return SignatureVerdict(
        requests=requests,
        largest_difference=max(outcome.difference for outcome in outcomes),
        verdict="fails" if failed else "differs" if wrong else "equal",
        reason=wrong[0].problem if wrong else "",
        seconds=round(seconds, 3),
    )


def _answer(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[_Found]:
    """Of the answer alone, then of those that other threads got."""
    outcomes = [_one(expected, found)]
    for other in found["concurrent"]:
        outcome = _one(expected, other)
        problem = outcome.problem and f"from {_THREADS}: {outcome.problem}"
        outcomes.append(dataclasses.replace(outcome, problem=problem))
    return outcomes


_THREADS = "several threads at once"


def _one(expected: Mapping[str, Any], found: Mapping[str, Any]) -> _Found:
    if "error" in expected or "error" in found:
        if expected.get("error") == found.get("error"):
            return _Found()
        if "error" not in found:
            return _Found(problem=f"answers what was refused with {expected['error']}")
        return _Found(problem=found["message"], failed=True)
    wanted, given = expected["outputs"], found["outputs"]
    if sorted(wanted) != sorted(given):
        return _Found(problem=f"outputs {', '.join(given)} instead of {', '.join(wanted)}")
    outcomes = [_tensor(name, wanted[name], given[name]) for name in wanted]
    problems = [outcome.problem for outcome in outcomes if outcome.problem]
    largest = max((outcome.difference for outcome in outcomes), default=0.0)
    return _Found(largest, problems[0] if problems else "")


def _tensor(name: str, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> _Found:
    for key in ("dtype", "shape"):
        if wanted[key] != given[key]:
            return _Found(problem=f"{name} has {key} {given[key]} instead of {wanted[key]}")
    first, second = decode(dict(wanted)), decode(dict(given))
    if first.dtype.kind == "O" and all(map(_is_png, [*first.flat, *second.flat])):
        return _pictures(name, first, second)
    if first.dtype.kind != "f":
        same = np.asarray(first == second)
        if same.all():
            return _Found()
        place = int(np.argmin(same.reshape(-1)))
        values = [_short(array.reshape(-1)[place]) for array in (second, first)]
        return _Found(problem=f"{name} is {values[0]} instead of {values[1]}")
    return _floats(name, first.astype(np.float64), second.astype(np.float64))


def _is_png(value: object) -> bool:
    return isinstance(value, bytes) and value.startswith(b"\x89PNG\r\n\x1a\n")


def _pictures(name: str, first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> _Found:
    """Compares pixels: a float a hair apart may round to the next level."""
    from PIL import Image

    largest = 0
    for place, pair in enumerate(zip(first.flat, second.flat, strict=True)):
        one, other = (np.asarray(Image.open(io.BytesIO(file))).astype(np.int32) for file in pair)
        if one.shape != other.shape:
            return _Found(problem=f"{name} is {other.shape} pixels instead of {one.shape}")
        largest = max(largest, int(np.abs(one - other).max(initial=0)))
        if largest > LEVELS:
            return _Found(
                largest / 255, f"{name} {place} is {largest} of 255 levels away at a pixel"
            )
    return _Found(largest / 255)


def _floats(name: str, first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> _Found:
    with np.errstate(invalid="ignore"):
        gaps = np.abs(first - second)
    # The same infinity, and NaN in both, are no difference; NaN in one of them is.
    gaps[(first == second) | (np.isnan(first) & np.isnan(second))] = 0.0
    gaps = np.where(np.isnan(gaps), math.inf, gaps)
    largest = float(gaps.max(initial=0.0))
    near = gaps <= ABSOLUTE + RELATIVE * np.abs(np.where(np.isfinite(first), first, 0.0))
    if near.all():
        return _Found(largest)
    place = int(np.argmin(near.reshape(-1)))
    values = [f"{array.reshape(-1)[place]:.6g}" for array in (second, first)]
    return _Found(largest, f"{name} is {values[0]} instead of {values[1]}")


def _short(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else text[:57] + "..."

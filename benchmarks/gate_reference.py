"""The gate's policy spelled out a second time, from docs/how-to/change-the-gate.md alone.

Nothing of `components` is used: evidence is read as plain JSON, policies are plain dictionaries,
intervals come from SciPy, and whether rules can hold together is asked of a linear program.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.optimize import linprog
from scipy.stats import norm

Rule = Mapping[str, Any]
Numbers = Mapping[str, Any]
_KEYS = {
    *("metric", "at_most", "at_least", "tolerance", "min_samples", "confidence", "end"),
    *("severity", "if_absent", "hint"),
}


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What there is to decide by, as the reports hold it.

    Attributes:
        evaluation, drift, validation: content of the reports.
        champion: content of the served version's own evaluation; None where nothing is served.
        champion_digest: of the served version's files, as they are.
    """

    evaluation: Mapping[str, Any]
    drift: Mapping[str, Any]
    validation: Mapping[str, Any]
    champion: Mapping[str, Any] | None
    champion_digest: str

    def figures(self) -> dict[str, Numbers]:
        """All figures under the names that rules use."""
        return {
            f"{kind}.{name}": figure
            for kind in ("evaluation", "drift", "validation")
            for name, figure in getattr(self, kind)["figures"].items()
        }

    def rival(self) -> dict[str, Numbers] | None:
        """The champion's figures; None where it cannot be compared."""
        assert self.champion is not None
        same = (
            self.champion.get("eval_digest") == self.evaluation.get("eval_digest")
            and self.champion.get("model_digest") == self.champion_digest
        )
        found = dict(self.champion["figures"]) if same else {}
        anew = self.evaluation.get("champion")
        if anew and anew["figures"]:
            if anew["model_digest"] != self.champion_digest:
                return None
            found |= anew["figures"]
        return {f"evaluation.{name}": figure for name, figure in found.items()} or None


def refused(rules: Sequence[Rule]) -> bool:
    """Whether a policy must not be taken at all."""
    if not rules or any(_malformed(rule) for rule in rules):
        return True
    filled = [_filled(rule) for rule in rules]
    if any(one == other for place, one in enumerate(filled) for other in filled[:place]):
        return True
    return not _possible(filled)


def verdicts(rules: Sequence[Rule], evidence: Evidence) -> list[str]:
    """pass, warn or fail for each rule."""
    figures = evidence.figures()
    found = []
    for rule in map(_filled, rules):
        if _holds(rule, figures, evidence):
            found.append("pass")
            continue
        severity = rule["severity"]
        if rule["metric"] not in figures:
            severity = rule["if_absent"] or severity
        found.append("fail" if severity == "block" else "warn")
    return found


def _filled(rule: Rule) -> dict[str, Any]:
    """A rule with the defaults that the documentation gives."""
    return {
        "at_most": None,
        "at_least": None,
        "tolerance": 0.0,
        "min_samples": 0,
        "confidence": 0.95,
        "end": "worst",
        "severity": "block",
        "if_absent": None,
        "hint": None,
        **rule,
    }


def _malformed(rule: Rule) -> bool:
    full = _filled(rule)
    bounds = [full[name] for name in ("at_most", "at_least") if full[name] is not None]
    return (
        not set(rule) <= _KEYS
        or len(bounds) != 1
        or bounds[0] == full["metric"]
        or (isinstance(bounds[0], float) and not math.isfinite(bounds[0]))
        or not 0 <= full["tolerance"] < math.inf
        or not 0.5 <= full["confidence"] <= 0.9999
        or full["min_samples"] < 0
    )


def _possible(rules: Sequence[Rule]) -> bool:
    """Whether there are values that all blocking rules let pass, whatever the champion's are."""
    names = sorted({rule["metric"] for rule in rules} | {_name(rule) for rule in rules} - {""})
    lines, limits = [], []
    for rule in rules:
        bound = rule["at_most"] if rule["at_most"] is not None else rule["at_least"]
        if rule["severity"] == "warn" or rule["end"] == "best" or bound == "champion":
            continue
        sign = 1.0 if rule["at_most"] is not None else -1.0
        line = [0.0] * len(names)
        line[names.index(rule["metric"])] += sign
        if isinstance(bound, str):
            line[names.index(bound)] -= sign
        lines.append(line)
        limits.append((0.0 if isinstance(bound, str) else sign * bound) + rule["tolerance"])
    if not lines:
        return True
    free = [(None, None)] * len(names)
    return int(linprog([0.0] * len(names), lines, limits, bounds=free).status) != 2


def _name(rule: Rule) -> str:
    bound = rule["at_most"] if rule["at_most"] is not None else rule["at_least"]
    return bound if isinstance(bound, str) else ""


def _holds(rule: Rule, figures: Mapping[str, Numbers], evidence: Evidence) -> bool:
    figure = figures.get(rule["metric"])
    if figure is None:
        # A trend needs four generations, and here are two at most; of none that can be measured
        # there will never be one.
        measured = any(f"evaluation.{name}" in figures for name in ("distinct_2", "recall"))
        return bool(rule["metric"].startswith("lineage.") and measured)
    if figure["samples"] < rule["min_samples"] or not _finite(figure):
        return False
    upper = rule["at_most"] is not None
    bound = rule["at_most"] if upper else rule["at_least"]
    if bound == "champion":
        if evidence.champion is None:
            return True
        rival = evidence.rival()
        if rival is None or rule["metric"] not in rival:
            return False
        other = rival[rule["metric"]]["value"]
        paired = figures.get(f"{rule['metric']}_minus_champion")
        if paired is not None and paired["low"] is not None and paired["high"] is not None:
            difference = {**paired, "unit": "a difference"}
            return math.isfinite(other) and _finite(paired) and _within(rule, difference, 0.0)
        bound = other
    elif isinstance(bound, str):
        if bound not in figures:
            return False
        bound = figures[bound]["value"]
    return math.isfinite(bound) and _within(rule, figure, bound)


def _finite(figure: Numbers) -> bool:
    return all(
        figure[name] is None or math.isfinite(figure[name]) for name in ("value", "low", "high")
    )


def _within(rule: Rule, figure: Numbers, bound: float) -> bool:
    upper = rule["at_most"] is not None
    low, high = _interval(figure, rule["confidence"])
    worst, best = (high, low) if upper else (low, high)
    compared = {"worst": worst, "best": best, "value": figure["value"]}[rule["end"]]
    if upper:
        return bool(compared <= bound + rule["tolerance"])
    return bool(compared >= bound - rule["tolerance"])


def _interval(figure: Numbers, confidence: float) -> tuple[float, float]:
    """The interval at a confidence; the value itself where there is none."""
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    if confidence != 0.95 and low is not None and high is not None:
        share = figure["unit"] == "share" and figure["samples"] > 0 and 0 <= value <= 1
        if share and _close(_wilson(value, figure["samples"], 0.95), (low, high)):
            return _wilson(value, figure["samples"], confidence)
        stretch = norm.ppf(0.5 + confidence / 2) / norm.ppf(0.975)
        low, high = value - (value - low) * stretch, value + (high - value) * stretch
        if share:
            low, high = max(low, 0.0), min(high, 1.0)
    return value if low is None else low, value if high is None else high


def _wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    """Both roots of (p - share)^2 = z^2 p (1 - p) / n."""
    z2 = norm.ppf(0.5 + confidence / 2) ** 2 / count
    a, b, c = 1 + z2, -(2 * share + z2), share * share
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return max((-b - root) / (2 * a), 0.0), min((-b + root) / (2 * a), 1.0)


def _close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(x - y) <= 1e-9 for x, y in zip(one, other, strict=True))

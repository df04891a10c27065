"""Random decisions of the real gate, from files to `decision.json`, beside the reference's."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from benchmarks import gate_reference as reference
from components.artifacts import (
    Decision,
    Drift,
    Evaluation,
    Model,
    Published,
    ValidationReport,
    saved_model_digest,
)
from components.gate.gate import run
from components.gate.options import GateOptions
from components.gate.replay import replay
from components.wilson import wilson

NAMES = ("bits", "share", "wilson_share", "speed", "distinct_2")
METRICS = [
    *(f"evaluation.{name}" for name in NAMES),
    *("drift.data.moved", "validation.rejected", "lineage.diversity_trend", "evaluation.absent"),
]
Figure = dict[str, Any]


def compare(folder: Path, count: int, seed: int) -> tuple[list[str], Counter[str]]:
    """Has the gate and the reference decide about the same evidence by the same policies.

    Args:
        folder: to write evidence and decisions to.
        count: of decisions.
        seed: of policies and evidence.

    Returns:
        A line for each difference, and how often each thing was seen.
    """
    chance = random.Random(seed)
    differences, seen = [], Counter[str]()
    for number in range(count):
        evidence, rules = write_evidence(folder, chance), policy(chance)
        wanted = "refused" if reference.refused(rules) else reference.verdicts(rules, evidence)
        got, again = decide(folder, rules, evidence.champion is not None)
        if got != wanted or again != wanted:
            told = json.dumps({"rules": rules, "evidence": evidence.figures()})
            differences.append(f"{number}: {wanted}, not {got} or replayed {again}: {told}")
        seen.update(["refused"] if wanted == "refused" else [*wanted, _outcome(wanted)])
    return differences, seen


def _outcome(found: object) -> str:
    return "rejected" if isinstance(found, list) and "fail" in found else "approved"


def decide(folder: Path, rules: list[dict[str, Any]], served: bool) -> tuple[Any, Any]:
    """The verdicts of the gate, and those of a replay of what it wrote; 'refused' for neither."""
    try:
        options = GateOptions.model_validate({"rules": rules})
    except pydantic.ValidationError:
        return "refused", "refused"
    champion = folder / "models" / "m" / "3" if served else None
    paths = (folder / "model", folder / "run", folder / "run")
    with contextlib.redirect_stdout(io.StringIO()):
        approved = run(*paths, options, champion, folder / "run", folder / "run")
    written = Decision(folder / "run").read()
    got = [rule["verdict"] for rule in written["rules"]]
    assert approved == written["approved"] == ("fail" not in got)
    replayed = replay(folder / "run", options.rules)
    assert replayed is not None
    return got, [judgement.verdict for judgement in replayed.judgements]


def write_evidence(folder: Path, chance: random.Random) -> reference.Evidence:
    """Writes reports of all kinds, and what is told of the champion in one of many ways."""
    saved = Model(folder / "model").saved_model
    if not saved.is_dir():
        saved.mkdir(parents=True)
        (saved / "saved_model.pb").write_bytes(b"a graph")
    shutil.rmtree(folder / "run", ignore_errors=True)
    champion, anew, digest = _champion(folder, chance)
    evaluation = {
        "figures": dict(_figures(chance, paired=True)),
        "model_digest": Model(folder / "model").digest(),
        "eval_digest": "texts",
        "champion": anew,
    }
    drift = {"figures": {"data.moved": _figure(chance)} if chance.random() < 0.8 else {}}
    validation = {"figures": {"rejected": _figure(chance)} if chance.random() < 0.8 else {}}
    Evaluation(folder / "run").write(evaluation, "")
    Drift(folder / "run").write(drift, "")
    ValidationReport(folder / "run").write(validation, "")
    return reference.Evidence(evaluation, drift, validation, champion, digest)


def _champion(folder: Path, chance: random.Random) -> tuple[Any, Any, str]:
    """What the served version says of itself, what was measured anew of it, and its digest."""
    shutil.rmtree(folder / "models", ignore_errors=True)
    if chance.random() < 0.25:
        return None, None, ""
    version = Published(folder / "models" / "m" / "3")
    version.provenance_folder.mkdir(parents=True)
    (version.path / "saved_model.pb").write_bytes(b"what is served")
    digest = saved_model_digest(version.path)
    recorded = {
        "figures": dict(_figures(chance, paired=False)),
        "model_digest": chance.choice([digest, digest, digest, "changed since"]),
        "eval_digest": chance.choice(["texts", "texts", "older texts"]),
    }
    Evaluation(version.provenance_folder).write(recorded, "")
    anew = None
    if chance.random() < 0.6:
        about = chance.choice([digest, digest, digest, "another model"])
        figures = dict(_figures(chance, paired=False)) if chance.random() < 0.8 else {}
        anew = {"version": 3, "model_digest": about, "figures": figures}
    return recorded, anew, digest


def _figures(chance: random.Random, *, paired: bool) -> Iterator[tuple[str, Figure]]:
    for name in NAMES:
        if chance.random() < 0.1:
            continue
        yield name, _figure(chance, name)
        if paired and chance.random() < 0.4:
            shift = chance.choice([-0.4, -0.05, 0.0, 0.05, 0.4, math.nan])
            spread = chance.choice([0.01, 0.2, math.inf])
            known = chance.random() < 0.75
            low, high = (shift - spread, shift + spread) if known else (None, None)
            yield (
                f"{name}_minus_champion",
                _numbers(shift, low, high, 20, chance.choice(["", "share"])),
            )


def _figure(chance: random.Random, name: str = "") -> Figure:
    value = chance.choice([0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.5, 2.0])
    samples, unit = chance.randint(5, 60), "share" if "share" in name else ""
    if chance.random() < 0.06:
        value = chance.choice([math.nan, math.inf, -math.inf])
    if name == "wilson_share" and samples and 0 <= value <= 1:
        return _numbers(value, *wilson(value, samples, 1.959963984540054), samples, unit)
    low = high = None
    if chance.random() < 0.6:
        low, high = value - chance.choice([0.1, 0.3]), value + chance.choice([0.1, 0.3])
    if low is not None and chance.random() < 0.05:
        high = chance.choice([math.nan, math.inf])
    return _numbers(value, low, high, samples, unit)


def _numbers(
    value: float, low: float | None, high: float | None, samples: int, unit: str
) -> Figure:
    return {"value": value, "low": low, "high": high, "samples": samples, "unit": unit}


def policy(chance: random.Random) -> list[dict[str, Any]]:
    """A policy, now and then one that must be refused."""
    rules = [_rule(chance) for _ in range(chance.randint(1, 6))]
    if chance.random() < 0.03:
        rules.append(dict(rules[0]))
    return rules


def _rule(chance: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {"metric": chance.choice(METRICS)}
    # Round ones meet bounds exactly; the others fall between the ends of intervals.
    numbers = [0.0, 0.5, 1.0, *(round(chance.uniform(-0.3, 2.3), 2) for _ in range(3))]
    named = [name for name in METRICS[:6] if name != rule["metric"] or chance.random() < 0.05]
    kind = chance.random()
    bound: Any = chance.choice(numbers)
    if kind < 0.3:
        bound = "champion"
    elif kind < 0.45:
        bound = chance.choice(named)
    elif kind > 0.99:
        bound = chance.choice([math.nan, math.inf])
    rule[chance.choice(["at_most", "at_least"])] = bound
    options: dict[str, list[Any]] = {
        "tolerance": [0.05, 0.5],
        "min_samples": [1, 30],
        "confidence": [0.5, 0.8, 0.95, 0.99],
        "end": ["worst", "value", "best"],
        "severity": ["warn", "block"],
        "if_absent": ["warn", "block"],
        "hint": ["measure it"],
    }
    for name, values in options.items():
        if chance.random() < 0.3:
            rule[name] = chance.choice(values)
    if chance.random() < 0.01:
        rule |= {"confidence": chance.choice([0.2, 95.0]), "at_most": 1.0}
    return rule

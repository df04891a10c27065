"""The decision as a page: the verdict first, then every rule with what was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from components import page
from components.amounts import plain, with_unit
from components.gate.lineage import FEWEST, FIGURES, Lineage
from components.gate.options import CHAMPION
from components.gate.rules import Judgement

_NORMAL = 1.96
# Of figures that may not have been measured; those that were bring their own.
_LABELS = {
    "evaluation.serving.equal": "Answers alike where it is served",
    FIGURES[0]: "Change of diversity per generation (log)",
    FIGURES[1]: "Change of diversity over all generations",
}
_SUBJECTS = {
    "drift.data.": "Current data",
    "drift.prompt.": "Users' requests",
    "drift.output.": "Generated data",
    "drift.reference.": "Training data",
}


def render(
    content: dict[str, Any], judgements: Sequence[Judgement], champion: str, lineage: Lineage
) -> str:
    """Renders `decision.html`.

    Args:
        content: what `decision.json` holds.
        judgements: the same rules, as judged.
        champion: what the version compared with is called.
        lineage: diversity over the versions before.
    """
    approved = content["approved"]
    warned = any(judgement.verdict == "warn" for judgement in judgements)
    manual = content["approval"] == "manual"
    title = ("Passed, a person decides" if manual else "Approved") if approved else "Rejected"
    status: page.Status = "fail" if not approved else "warn" if warned else "pass"
    facts = {
        "model": page.code(content["model_digest"][:12]),
        "compared with": champion,
        "policy": page.code(content["policy_digest"][:12]),
        "approval": content["approval"],
        "decided": content["created"].replace("T", " ").replace("+00:00", " UTC"),
    }
    return page.render(
        f"{title}: the gate's decision",
        _lead(judgements, approved, manual=manual),
        [*_sections(judgements), *_generations(lineage)],
        status=status,
        facts=facts,
    )


def _lead(judgements: Sequence[Judgement], approved: bool, *, manual: bool) -> str:
    passed, warned, failed = _counts(judgements)
    warnings = f"{warned} {'warns' if warned == 1 else 'warn'}"
    if not approved:
        also = f", {warnings}" if warned else ""
        verb = "fails" if failed == 1 else "fail"
        return (
            f"The model is not pushed: {failed} of {len(judgements)} rules {verb}{also}. "
            "The version now served stays."
        )
    start = "The model waits for a reviewer's word" if manual else "The model may be pushed"
    if warned:
        return f"{start}: {passed} of {len(judgements)} rules pass, {warnings}, and none blocks it."
    rules = f"all {passed} rules pass" if passed > 1 else "the one rule passes"
    return f"{start}: {rules}."


def _counts(judgements: Sequence[Judgement]) -> tuple[int, int, int]:
    verdicts = [judgement.verdict for judgement in judgements]
    return verdicts.count("pass"), verdicts.count("warn"), verdicts.count("fail")


def _sections(judgements: Sequence[Judgement]) -> list[page.Section]:
    failing = [judgement for judgement in judgements if judgement.verdict != "pass"]
    sections = [
        page.Section(
            "The policy, rule by rule",
            [_table(judgements)],
            note="A rule is held against the unfavourable end of the interval, so the claim stands "
            "even there, unless it says otherwise. What was not measured, or on too few samples, "
            "fails.",
        )
    ]
    if failing:
        lines = [
            page.Markup('<p>{} {}{}<br><span class="note">{}</span></p>').format(
                _badge(judgement),
                f"{name}: " if (name := _name(judgement)) else "",
                _reason(judgement),
                page.code(judgement.rule.metric),
            )
            for judgement in failing
        ]
        sections.insert(0, page.Section("What stands against the model", lines))
    return [page.Section("", [_strip(judgements)]), *sections]


def _generations(lineage: Lineage) -> list[page.Section]:
    """How diverse each version was, where there is more than one."""
    if len(lineage.generations) < 2:
        return []
    shares = [math.exp(one.value) for one in lineage.generations]
    bars = [
        page.Bar(
            one.name,
            share,
            share * math.exp(-_NORMAL * one.deviation),
            share * math.exp(_NORMAL * one.deviation),
            main=one is lineage.generations[-1],
        )
        for one, share in zip(lineage.generations, shares, strict=True)
    ]
    return [
        page.Section(
            "Diversity over the generations",
            [page.bar_chart(bars, digits=3), _told(lineage)],
            note=f"Of every version its {lineage.measure} over that of real data in the "
            "same evaluation. Models that learn from models' output lose variety a little with "
            "each generation.",
        )
    ]


def _told(lineage: Lineage) -> str:
    found = lineage.figures.get(FIGURES[1])
    if found is None or found.low is None or found.high is None:
        return f"A trend needs {FEWEST} generations."
    change, low, high = (f"{100 * one:+.1f}%" for one in (found.value, found.low, found.high))
    sure = "less varied with each generation" if found.high < 0 else "no loss beyond doubt"
    return f"Over {found.samples} generations {change} (95%: {low} to {high}): {sure}."


def _strip(judgements: Sequence[Judgement]) -> page.Markup:
    passed, warned, failed = _counts(judgements)
    return page.tiles(
        [
            page.Tile("Rules that pass", str(passed), f"of {len(judgements)}", status="pass"),
            page.Tile("Warnings, which do not block", str(warned), status="warn" if warned else ""),
            page.Tile("Failures, which block", str(failed), status="fail" if failed else ""),
        ]
    )


def _table(judgements: Sequence[Judgement]) -> page.Markup:
    headers = ["figure", "must be", "measured", "samples", ""]
    return page.table(headers, [_row(judgement) for judgement in judgements])


def _row(judgement: Judgement) -> list[page.Cell]:
    figure = judgement.figure
    return [
        _lines(_name(judgement), page.code(judgement.rule.metric)),
        _condition(judgement),
        _measured(judgement),
        figure.samples if figure else None,
        _badge(judgement),
    ]


def _condition(judgement: Judgement) -> page.Markup:
    rule, wanted, upper = judgement.rule, judgement.rule.bound, judgement.rule.upper
    unit = judgement.figure.unit if judgement.figure else ""
    words = f"at {'most' if upper else 'least'} "
    notes = []
    if isinstance(wanted, str):
        whose = "the champion's" if wanted == CHAMPION else wanted.removeprefix("evaluation.")
        words += whose if judgement.bound is None else _bound(judgement.bound, unit)
        notes += [whose] if judgement.bound is not None else []
    else:
        words += _bound(wanted, unit)
    if rule.tolerance:
        words += f" {'+' if upper else '−'} {_bound(rule.tolerance, unit)}"
    if rule.min_samples:
        notes.append(f"on {rule.min_samples} samples or more")
    if rule.end != "worst":
        notes.append("by the value alone" if rule.end == "value" else "unless beyond doubt broken")
    return _lines(words, page.Markup("<br>").join(notes))


def _measured(judgement: Judgement) -> page.Markup:
    figure = judgement.figure
    if figure is None:
        return _lines("–", page.Markup("{}").format(judgement.reason))
    value = _minus(with_unit(figure.value, figure.unit))
    spread = ""
    if figure.low is not None and figure.high is not None:
        confidence = f"{100 * judgement.rule.confidence:.4g}%"
        spread = f"{confidence}: {_minus(plain(figure.low))} to {_minus(plain(figure.high))}"
        spread = spread.replace(" ", "\u00a0")
    told = judgement.verdict != "pass" or judgement.rule.bound == CHAMPION
    notes = [note for note in (spread, _reason(judgement) if told else "") if note]
    return _lines(value, page.Markup("<br>").join(notes))


def _bound(value: float, unit: str) -> str:
    """Its unit stands beside what was measured, unless it is counted in others."""
    return _minus(with_unit(value, unit if unit == "bytes" else ""))


def _reason(judgement: Judgement) -> str:
    """Why, with the signs of numbers as the page has them."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "\u2212", judgement.reason)


def _minus(shown: str) -> str:
    return shown.replace("-", "\u2212")


def _name(judgement: Judgement) -> str:
    """The figure's label; of drift also which texts were compared."""
    metric = judgement.rule.metric
    label = judgement.figure.label if judgement.figure else _LABELS.get(metric, "")
    for start, subject in _SUBJECTS.items():
        if label and metric.startswith(start):
            return f"{subject}: {label}"
    return label


def _lines(first: str, second: page.Markup) -> page.Markup:
    both = [page.Markup("{}").format(first), page.Markup('<span class="note">{}</span>')]
    if not second:
        return both[0]
    if not first:
        return second
    return page.Markup("<br>").join([both[0], both[1].format(second)])


def _badge(judgement: Judgement) -> page.Markup:
    return page.badge(judgement.verdict)

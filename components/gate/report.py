"""The decision as a page: the verdict first, then every rule with what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components import page
from components.gate.rules import CHAMPION, Judgement


def render(content: dict[str, Any], judgements: Sequence[Judgement], champion: str) -> str:
    """Renders `decision.html`.

    Args:
        content: what `decision.json` holds.
        judgements: the same rules, as judged.
        champion: what the version compared with is called.
    """
    approved = content["approved"]
    warned = any(judgement.verdict == "warn" for judgement in judgements)
    title = "Approved" if approved else "Rejected"
    status: page.Status = "fail" if not approved else "warn" if warned else "pass"
    _, _, reason = content["reason"].partition(": ")
    if approved:
        lead = f"{reason[:1].upper()}{reason[1:]}."
    else:
        lead = f"Against it: {reason}. Nothing is pushed; the version now served stays."
    facts = {
        "model": page.code(content["model_digest"][:12]),
        "compared with": champion,
        "policy": page.code(content["policy_digest"][:12]),
        "approval": content["approval"],
        "decided": content["created"].replace("T", " ").replace("+00:00", " UTC"),
    }
    return page.render(
        f"{title}: the gate's decision", lead, _sections(judgements), status=status, facts=facts
    )


def _sections(judgements: Sequence[Judgement]) -> list[page.Section]:
    failing = [judgement for judgement in judgements if judgement.verdict != "pass"]
    sections = [
        page.Section(
            "The policy, rule by rule",
            [_strip(judgements), _table(judgements)],
            note="A rule is held against the unfavourable end of the 95% interval, so the claim "
            "stands even there. What was not measured, or on too few samples, fails.",
        )
    ]
    if failing:
        lines = [
            page.Markup("<p>{} {}: {}</p>").format(
                _badge(judgement), page.code(judgement.rule.metric), judgement.reason
            )
            for judgement in failing
        ]
        sections.insert(0, page.Section("What stands against the model", lines))
    return sections


def _strip(judgements: Sequence[Judgement]) -> page.Markup:
    counts = dict.fromkeys(("pass", "warn", "fail"), 0)
    for judgement in judgements:
        counts[judgement.verdict] += 1
    return page.tiles(
        [
            page.Tile("rules pass", str(counts["pass"]), status="pass"),
            page.Tile(
                "warnings, which do not block",
                str(counts["warn"]),
                status="warn" if counts["warn"] else "",
            ),
            page.Tile(
                "failures, which block",
                str(counts["fail"]),
                status="fail" if counts["fail"] else "",
            ),
        ]
    )


def _table(judgements: Sequence[Judgement]) -> page.Markup:
    headers = ["", "figure", "must be", "measured", "samples"]
    return page.table(headers, [_row(judgement) for judgement in judgements])


def _row(judgement: Judgement) -> list[page.Cell]:
    figure = judgement.figure
    return [
        _badge(judgement),
        _lines(figure.label if figure else "", page.code(judgement.rule.metric)),
        _condition(judgement),
        _measured(judgement),
        figure.samples if figure else None,
    ]


def _condition(judgement: Judgement) -> page.Markup:
    rule = judgement.rule
    upper = rule.at_most is not None
    wanted = rule.at_most if upper else rule.at_least
    words = f"at {'most' if upper else 'least'} "
    if isinstance(wanted, str):
        words += "the champion's" if wanted == CHAMPION else wanted.removeprefix("evaluation.")
        words += f" {judgement.bound:.4g}" if judgement.bound is not None else ""
    else:
        words += f"{wanted:.4g}"
    if rule.tolerance:
        words += f" {'+' if upper else '−'} {rule.tolerance:.4g}"
    asked = f"on {rule.min_samples} samples or more" if rule.min_samples else ""
    return _lines(words, page.Markup("{}").format(asked))


def _measured(judgement: Judgement) -> page.Markup:
    figure = judgement.figure
    if figure is None:
        return _lines("–", page.Markup("{}").format(judgement.reason))
    value = f"{figure.value:.4g} {figure.unit}".strip()
    if figure.low is not None and figure.high is not None:
        value += f" (95%: {figure.low:.4g} to {figure.high:.4g})"
    chosen = judgement.rule.at_most if judgement.rule.at_least is None else judgement.rule.at_least
    told = judgement.verdict != "pass" or chosen == CHAMPION
    return _lines(value, page.Markup("{}").format(judgement.reason if told else ""))


def _lines(first: str, second: page.Markup) -> page.Markup:
    both = [page.Markup("{}").format(first), page.Markup('<span class="note">{}</span>')]
    if not second:
        return both[0]
    if not first:
        return second
    return page.Markup("<br>").join([both[0], both[1].format(second)])


def _badge(judgement: Judgement) -> page.Markup:
    return page.badge(judgement.verdict)

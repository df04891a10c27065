"""Says in words what monitoring found: what changed, how much, since when, what it suggests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from components.drift.detection import Comparison
from components.drift.findings import change, told_apart
from components.monitor.judging import Judgement, Verdict

_NAMED = 2
SUBJECTS = {
    "prompt": "What people ask",
    "output": "What the model answers",
    "data": "Fresh data",
}
_AGAINST = {
    "prompt": "what was asked of this version at first",
    "output": "what it answered at first",
    "data": "the training data",
}
_WORDS: Mapping[Verdict, str] = {
    "ok": "All is well",
    "alert": "Something has changed that people should look at",
    "retrain": "The model should be trained anew",
    "insufficient": "Too little is known to say",
}
_SUGGESTIONS = {
    "errors.": "Look at the codes of the failed requests and at the server's log: errors are "
    "mended there, not by training.",
    "latency.": "Look at the load and at the server's batching before the model: an answer takes "
    "as long as its tokens do.",
    "first_token.": "Look at the load and at the server's queue.",
    "cost.": "Lower the gateway's limits of tokens, or serve a smaller model.",
    "quality.": "The model knows the wished-for texts less well than its held-out ones. Train it "
    "on what people wrote (feedback of kind edit), or on newer data.",
    "feedback.": "Read the comments and the answers that were voted down; compare with the "
    "version before, and roll back if it was better (loomline rollout).",
    "drift.prompt.": "People ask for other things than when this version was deployed. Read some "
    "of the new prompts; if they are to stay, train on data like them.",
    "drift.output.": "The model answers otherwise than at first. If the prompts have not changed, "
    "look at the sampling parameters that clients send, and at what was deployed.",
    "drift.data.": "The world has moved on since training: train on the newer data too.",
}


@dataclasses.dataclass(frozen=True)
class Findings:
    """The report in sentences.

    Attributes:
        title: of the page.
        headline: why, what changed, how much and since when; a sentence each.
        told: comparison -> its sentence.
        suggestions: what to do, the most pressing first.
    """

    title: str
    headline: Sequence[str]
    told: Mapping[str, str]
    suggestions: Sequence[str]


def findings(
    verdict: Verdict,
    reason: str,
    judgements: Sequence[Judgement],
    compared: Mapping[str, Comparison],
    history: Sequence[Mapping[str, Any]],
) -> Findings:
    """Puts everything into words.

    Args:
        verdict, reason: over all rules.
        judgements: rule by rule.
        compared: comparisons by name.
        history: earlier monitorings, oldest first.
    """
    told = {name: _sentence(name, comparison) for name, comparison in compared.items()}
    changed = [told[name] for name, comparison in compared.items() if comparison.moved]
    headline = [line for line in (f"{reason}.", *changed, _since(verdict, history)) if line]
    breached = [one.rule.metric for one in judgements if one.state == "breach"]
    suggestions = list(
        dict.fromkeys(
            text
            for metric in breached
            for start, text in _SUGGESTIONS.items()
            if metric.startswith(start)
        )
    )
    if verdict == "insufficient":
        suggestions.append(
            "Wait for more requests, widen the window (monitoring.window_hours), or ask for less "
            "(min_samples, required: false)."
        )
    return Findings(_WORDS[verdict], headline, told, suggestions)


def _sentence(name: str, comparison: Comparison) -> str:
    subject, against = SUBJECTS[name], _AGAINST[name]
    moved = comparison.drifted
    told = f" {told_apart(comparison)}" if told_apart(comparison) else ""
    if not moved:
        alike = "is like" if not comparison.moved else "cannot be told measure by measure from"
        return f"{subject} {alike} {against}: none of {len(comparison.columns)} moved.{told}"
    most = "; ".join(
        change(column) + (f" (since {column.since})" if column.since else "")
        for column in moved[:_NAMED]
    )
    more = f"; {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return (
        f"{subject} differs from {against} in {len(moved)} of {len(comparison.columns)} measures: "
        f"{most}{more}.{told}"
    )


def _since(verdict: Verdict, history: Sequence[Mapping[str, Any]]) -> str:
    """Since when the verdict has been given; empty where nothing is wrong."""
    if verdict == "ok":
        return ""
    since = None
    for one in reversed(history):
        if one.get("verdict") != verdict:
            break
        since = str(one.get("created"))[:16].replace("T", " ")
    if since:
        return f"It has been so since {since} UTC."
    return "It was not so at the monitoring before." if history else ""

"""How text is spoken of in the drift report, and what is suggested where it drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import page
from components.drift.texts import Side
from components.drift.wording import Wording

if TYPE_CHECKING:
    from components.drift.detection import Comparison

_EXAMPLES = 3
_EXAMPLE_CHARACTERS = 320


def _on_data(comparison: Comparison, last: str | None) -> list[str]:
    until = f" up to {last}" if last else ""
    lines = [
        f"The model learnt from text{until}. If it is to write as people do now, train it on the "
        "current era too (ingest.reference_to), and let the gate compare both versions on "
        "current text. If the older manner is what is wanted, nothing is to be done."
    ]
    moved = {column.descriptor.name: column for column in comparison.drifted}
    if "unknown_words" in moved and moved["unknown_words"].effect > 0:
        share = moved["unknown_words"].descriptor.shown(moved["unknown_words"].current_mean)
        lines.append(
            f"{share} of current words do not stand in the training text: learn the subword "
            "vocabulary anew when retraining, or current text will cost more tokens."
        )
    return lines


def _on_prompt(comparison: Comparison) -> list[str]:
    effects = {column.descriptor.name: column for column in comparison.drifted}
    lines = []
    if "words" in effects or "characters" in effects:
        longer = (effects.get("words") or effects["characters"]).effect > 0
        lines.append(
            f"Users' prompts are {'longer' if longer else 'shorter'} than those that the model was "
            "judged with. Look at its figures for prompts of that length before trusting the gate; "
            + (
                "see that they fit its context (train.context)."
                if longer
                else "short ones leave it more freedom: look at the diversity of what it writes."
            )
        )
    unknown = effects.get("unknown_words")
    if unknown and unknown.effect > 0:
        share = unknown.descriptor.shown(unknown.current_mean)
        lines.append(
            f"{share} of the words in users' prompts do not stand in the training text: gather "
            "text on what they ask about and train on it too."
        )
    return lines or [
        "Users write otherwise than the training text does. Gather text of the kind they ask for "
        "(their edits of answers are such text) and train on it too; until then the evaluation "
        "says less about what they see."
    ]


def _on_output(comparison: Comparison, last: str | None) -> list[str]:
    effects = {column.descriptor.name: column.effect for column in comparison.drifted}
    lines = []
    invents, few = effects.get("unknown_words", 0) > 0, effects.get("distinct_words", 0) < 0
    if invents and few:
        # To sample otherwise would mend the one and worsen the other.
        lines.append(
            "The model invents words and yet keeps to few of them: it has not learnt enough. Train "
            "it longer (train.steps) before changing how it samples."
        )
    elif invents:
        lines.append(
            "The model invents words. Train it longer (train.steps) or sample more carefully "
            "(a lower evaluate.temperature, top_k or top_p)."
        )
    elif few or effects.get("unknown_words", 0) < 0:
        lines.append(
            "The model keeps to few and common words. Sample more freely (a higher "
            "evaluate.temperature or top_p), or train it longer."
        )
    if effects.get("characters", 0) or effects.get("words", 0):
        lines.append(
            "Samples end earlier or later than real texts do: read some of them, and look at the "
            "share that ended by itself in the evaluation."
        )
    return lines or [
        "Read some samples beside real text, below: what moved is a matter of style, which longer "
        "training usually mends."
    ]


def _examples(side: Side) -> page.Markup:
    quotes = []
    for text in side.texts[:_EXAMPLES]:
        shown = text.text.strip()
        cut = shown[:_EXAMPLE_CHARACTERS] + ("…" if len(shown) > _EXAMPLE_CHARACTERS else "")
        quotes.append(page.quote(cut, text.time))
    return page.Markup("").join(quotes)


WORDING = Wording(
    noun="text",
    items="texts",
    differ="differs",
    alike="reads like the training text",
    asked="prompts",
    asked_reference="openings of training texts",
    read_data="Whether the world has moved away from what the model learnt.",
    read_prompt="Whether users ask for what the model was trained on and judged by: openings of "
    "texts, as long as the evaluation's prompts. Prompts themselves are not shown.",
    read_output="Whether the model writes as its training text is written. Training texts are cut "
    "where samples were cut, so only what the model chose itself can differ.",
    on_data=_on_data,
    on_prompt=_on_prompt,
    on_output=_on_output,
    features="the words and letter triples of each text",
    examples=_examples,
)

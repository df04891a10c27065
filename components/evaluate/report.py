"""The evaluation as a page for people: verdict, ladder, training, samples, memory, method."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from components import page as html
from components.artifacts import Figure
from components.evaluate.measure import Held, Judgement
from components.evaluate.options import EvaluateOptions
from components.evaluate.report_method import method
from components.evaluate.report_training import training
from components.evaluate.served_model import Scores
from components.guards.checking import Tally
from components.guards.checking import section as guards_section

_SHOWN_SAMPLES = 8
_MARKED_CHARACTERS = 16  # Shorter runs are shared by any two texts of a language.
_XZ = "yardsticks.xz"
_FIVE_GRAM = "yardsticks.byte_5gram"


@dataclasses.dataclass(frozen=True)
class Story:
    """All that the page tells."""

    figures: Mapping[str, Figure]
    content: Mapping[str, Any]
    rival: Mapping[str, Figure]
    held: Held
    scores: Scores
    judgement: Judgement
    guarded: Sequence[Tally]
    card: Mapping[str, Any]
    options: EvaluateOptions


def page(story: Story) -> str:
    """Renders the page."""
    documents = len(set(story.held.documents))
    tokens_per_byte = float(story.scores.num_tokens.sum() / story.held.num_bytes.sum())
    sections = [
        html.Section("", [_tiles(story)]),
        _ladder(story, documents),
        *_champion(story),
        *training(story.figures, story.card, tokens_per_byte),
        _samples(story),
        _diversity(story),
        _memorization(story),
        *guards_section(story.guarded, "samples"),
        method(story.figures, story.options, documents),
    ]
    return html.render(
        "Evaluation of the text model",
        verdict(story.figures),
        sections,
        facts={
            "held-out texts": len(story.held.documents),
            "from documents": documents,
            "bytes": int(story.held.num_bytes.sum()),
            "model": html.code(str(story.content["model_digest"])[:12]),
            "held-out data": html.code(str(story.content["eval_digest"])[:12]),
        },
        footer="Judged through the exported SavedModel only: what is judged is what is served.",
    )


def verdict(figures: Mapping[str, Figure]) -> str:
    """The result in a sentence."""
    ours = figures["bits_per_byte"]
    rivals = {
        "bits_per_byte_minus_xz": f"xz ({html.number(figures[_XZ].value)})",
        "bits_per_byte_minus_5gram": f"a 5-gram ({html.number(figures[_FIVE_GRAM].value)})",
        "bits_per_byte_minus_champion": "the version now served",
    }
    told: dict[str, list[str]] = {}
    for name, rival in rivals.items():
        if name in figures:
            told.setdefault(_against(figures[name]), []).append(rival)
    parts = [f"{how} {' and '.join(names)}" for how, names in told.items()]
    spread = html.interval(ours.low, ours.high)
    known = f" (95%: {spread})" if spread else ""
    return (
        f"The model predicts unseen text {', '.join(parts)}: it spends "
        f"{html.number(ours.value)} bits per byte{known}, and fewer is better."
    )


def _against(difference: Figure) -> str:
    low, high = difference.low, difference.high
    if low is not None and high is not None and low <= 0 <= high:
        return "about as well as"
    return "better than" if difference.value < 0 else "worse than"


def _tiles(story: Story) -> html.Markup:
    figures = story.figures
    human = figures["human.copy_share"].value
    copies = figures["copy_share"]
    shown = [
        html.figure_tile(figures["bits_per_byte"]),
        html.figure_tile(figures["perplexity"], digits=1),
        html.Tile(
            f"Samples that copy {story.options.copy_characters}+ characters",
            _percent(copies.value),
            detail=f"human text: {_percent(human)}",
        ),
        html.Tile(
            "Longest copy",
            html.number(figures["longest_copy"].value, 0),
            "characters",
            f"human text: {html.number(figures['human.longest_copy'].value, 0)}",
        ),
        html.Tile(
            "Size of the model",
            html.number(figures["model_bytes"].value / 1e6, 1),
            "MB",
            "the SavedModel that is served",
        ),
        html.Tile(
            "Decoding speed",
            html.number(figures["decode_tokens_per_second"].value, 0),
            "tokens/s",
            "in a batch, where this was measured",
        ),
    ]
    return html.tiles(shown)


def _ladder(story: Story, documents: int) -> html.Section:
    rungs = {
        "byte_unigram": ("Byte unigram", "how frequent each byte is"),
        "byte_trigram": ("Byte trigram", "two bytes of context, Kneser-Ney"),
        "byte_5gram": ("Byte 5-gram", "four bytes of context, Kneser-Ney"),
        "xz": ("xz -9e", "after the training text"),
        "xz_alone": ("xz -9e, alone", "nothing learned before"),
    }
    bars = [
        html.Bar(
            label,
            story.figures[f"yardsticks.{name}"].value,
            story.figures[f"yardsticks.{name}"].low,
            story.figures[f"yardsticks.{name}"].high,
            note,
        )
        for name, (label, note) in rungs.items()
    ]
    ours = story.figures["bits_per_byte"]
    bars.append(html.Bar("This model", ours.value, ours.low, ours.high, _size(story.card), True))
    marks = []
    if "bits_per_byte" in story.rival:
        marks.append(html.Mark("version now served", story.rival["bits_per_byte"].value))
    differences: list[list[html.Cell]] = [
        [figure.label, figure.value, html.interval(figure.low, figure.high), _clear(figure)]
        for name, figure in story.figures.items()
        if name.startswith("bits_per_byte_minus_")
    ]
    return html.Section(
        "Compression",
        [
            html.bar_chart(
                sorted(bars, key=lambda bar: -bar.value),
                marks=marks,
                unit="bits/byte",
                caption="Bits per byte; whiskers are 95% intervals from a bootstrap over "
                f"{documents} documents. xz also sees a document's earlier "
                "paragraphs; the model and the n-grams do not.",
            ),
            html.table(["paired difference, bits/byte", "value", "95%", ""], differences),
        ],
        note="How few bits the model spends on text it has never seen, beside classic "
        "compressors that learned from the same training text. Lower is better.",
    )


def _clear(figure: Figure) -> html.Markup:
    if figure.low is None or figure.high is None or figure.low <= 0 <= figure.high:
        return html.badge("", "not clear")
    return html.badge("pass", "better") if figure.value < 0 else html.badge("warn", "worse")


def _size(card: Mapping[str, Any]) -> str:
    options = card.get("options")
    if not isinstance(options, dict) or "layers" not in options:
        return ""
    return f"{options['layers']} layers, width {options.get('width', '?')}"


def _cell(value: float) -> html.Cell:
    return round(value) if abs(value) >= 100 else value


def _champion(story: Story) -> list[html.Section]:
    champion = story.content["champion"]
    if champion is None:
        return []
    rows: list[list[html.Cell]] = [
        [figure.label, _cell(figure.value), _cell(story.rival[name].value), figure.unit]
        for name, figure in story.figures.items()
        if name in story.rival and not name.startswith(("yardsticks.", "human.", "bits_per_byte_"))
    ]
    return [
        html.Section(
            f"Beside version {champion['version']}, now served",
            [html.table(["", "this model", "now served", "unit"], rows, digits=3)],
            note="The same held-out texts under both models.",
        )
    ]


def _samples(story: Story) -> html.Section:
    shown = [_sample(story, place) for place in range(len(story.judgement.samples))]
    blocks: list[html.Block] = [
        html.columns(*shown[start : start + 2]) for start in range(0, _SHOWN_SAMPLES, 2)
    ]
    if len(shown) > _SHOWN_SAMPLES:
        blocks.append(
            html.details(f"{len(shown) - _SHOWN_SAMPLES} more samples", *shown[_SHOWN_SAMPLES:])
        )
    options = story.options
    return html.Section(
        "Samples",
        blocks,
        note=f"The first {min(len(shown), _SHOWN_SAMPLES)}, not chosen. Grey is the prompt, the "
        "opening of a held-out paragraph or nothing; marked is the longest run that stands letter "
        f"for letter in the training text, from {_MARKED_CHARACTERS} characters. Temperature "
        f"{options.temperature:g}, top-k {options.top_k}, top-p {options.top_p:g}. A text ended "
        f"where the model ended it, or was cut at {options.sample_tokens} tokens.",
    )


def _sample(story: Story, place: int) -> html.Markup:
    sample, overlap = story.judgement.samples[place], story.judgement.overlaps[place]
    given = len(sample.prompt)
    text = sample.prompt + sample.text
    long = overlap.length >= _MARKED_CHARACTERS
    marked = [(given + overlap.start, given + overlap.end)] if long else []
    end = "ended" if sample.ended else "cut"
    return html.quote(
        html.highlight(text, marked, given),
        f"{sample.num_tokens} tokens, {end} · copies {overlap.length}\u00a0characters · "
        f"seed\u00a0{sample.seed}",
    )


def _diversity(story: Story) -> html.Section:
    figures = story.figures
    rows: list[list[html.Cell]] = []
    for name in ("distinct_1", "distinct_2", "distinct_3", "repetition"):
        if name in figures and f"human.{name}" in figures:
            ours, theirs = figures[name], figures[f"human.{name}"]
            rows.append([ours.label, _with_spread(ours), _with_spread(theirs)])
    length, ended = figures["mean_tokens"], figures["ended_share"]
    return html.Section(
        "Variety",
        [
            html.table(["", "samples", "human text"], rows),
            f"A sample has {html.number(length.value, 0)} tokens on average, of at most "
            f"{story.options.sample_tokens}; {_percent(ended.value)} end by themselves "
            f"(95%: {_percent(ended.low)} to {_percent(ended.high)}).",
        ],
        note="How many of the words and phrases are different ones: more is more varied. Human "
        "text is how the same held-out paragraphs truly go on, cut to the same amount.",
    )


def _memorization(story: Story) -> html.Section:
    ours = [float(overlap.length) for overlap in story.judgement.overlaps]
    theirs = [float(overlap.length) for overlap in story.judgement.human_overlaps]
    figures = story.figures
    rows: list[list[html.Cell]] = [
        [
            figures[name].label,
            _shown(figures[name]) + _spread(figures[name]),
            _shown(figures[f"human.{name}"]) + _spread(figures[f"human.{name}"]),
        ]
        for name in ("median_copy", "longest_copy", "copy_share")
    ]
    return html.Section(
        "Memory",
        [
            html.histogram_of(
                "Longest verbatim overlap with the training text, characters",
                theirs,
                ours,
                names=("held-out human text", "samples"),
            ),
            html.table(["", "samples", "human text"], rows),
        ],
        note="How much is copied. Set phrases are shared by all text of a kind; a model that "
        "recites overlaps more than new human text does.",
    )


def _shown(figure: Figure) -> str:
    if figure.unit == "share":
        return _percent(figure.value)
    return f"{html.number(figure.value, 0)} {figure.unit}"


def _spread(figure: Figure) -> str:
    known = figure.low is not None and figure.high is not None
    return f" (95%: {_percent(figure.low)} to {_percent(figure.high)})" if known else ""


def _with_spread(figure: Figure) -> str:
    spread = html.interval(figure.low, figure.high, 3)
    return html.number(figure.value, 3) + (f" (95%: {spread})" if spread else "")


def _percent(share: float | None) -> str:
    if share is None or not math.isfinite(share):
        return "–"
    return f"{html.number(share * 100, 1 if share else 0)}%"

"""How each figure of the evaluation is computed, with references, for its report."""

from __future__ import annotations

from collections.abc import Mapping

from components import page as html
from components.artifacts import Figure
from components.evaluate.options import EvaluateOptions


def method(figures: Mapping[str, Figure], options: EvaluateOptions, documents: int) -> html.Section:
    """The section that says how each figure is computed, with every figure by name."""
    texts = [
        "Bits per byte: negative log-likelihood of each text and its end, in bits, over its "
        "UTF-8 bytes plus one for the end, summed over the held-out split. Perplexity is per "
        "token, so it depends on the tokenizer; bits per byte does not.",
        "Training keeps the weights with the lowest loss on a sample of this same held-out split, "
        "looked at now and then; that choice makes the figure a little optimistic.",
        f"Intervals: {options.bootstrap} resamples of whole documents ({documents}), because "
        "paragraphs of one document resemble each other; percentiles are moved out for few "
        "documents by Student's t (expanded percentile interval, Hesterberg 2015, What Teachers "
        "Should Know About the Bootstrap). Differences use the same resamples on both sides. "
        "Shares have Wilson's score interval. Variety has none: resampling repeats texts, which "
        "lowers it.",
        "n-grams: interpolated modified Kneser-Ney over bytes and an end symbol (Chen and Goodman "
        "1999, An Empirical Study of Smoothing Techniques for Language Modeling), discounts from "
        "counts of counts, learned from the training split only.",
        "xz: preset 9e; bytes that each held-out document adds after the training text, and the "
        "size of the held-out split alone. Each text ends with one byte.",
        "Distinct n-grams: different over all n-grams of words (Li et al. 2016, A "
        "Diversity-Promoting Objective Function for Neural Conversation Models). Repetition: "
        "share of a text's 4-grams seen before in it (seq-rep-4, Welleck et al. 2020, Neural Text "
        "Generation with Unlikelihood Training).",
        "Overlap: the longest run of characters that stands in one training text, runs of "
        "whitespace counted as one space; prompts do not count.",
    ]
    names: list[list[html.Cell]] = [
        [html.code(name), f"{figure.value:.6g}", html.interval(figure.low, figure.high, 4),
         figure.samples, figure.unit]
        for name, figure in figures.items()
    ]  # fmt: skip
    return html.Section(
        "How it was measured",
        [
            *texts,
            html.details(
                "Every figure, by the name that gate rules use",
                html.table(["evaluation.", "value", "95%", "samples", "unit"], names),
            ),
        ],
    )

"""Turns scores, yardsticks and samples into figures with intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from components.artifacts import Figure
from components.evaluate import diversity
from components.evaluate.champion import Champion
from components.evaluate.intervals import ClusterBootstrap, Estimate, mean, wilson
from components.evaluate.options import EvaluateOptions
from components.evaluate.overlap import Overlap, TrainingText
from components.evaluate.sampling import Sample
from components.evaluate.served_model import Scores
from components.evaluate.yardsticks import Yardsticks

NGRAMS = {
    "byte_unigram": "Byte unigram",
    "byte_trigram": "Byte trigram",
    "byte_5gram": "Byte 5-gram, Kneser-Ney",
}
_BITS = "bits/byte"
_NORMAL = 1.959964


@dataclasses.dataclass(frozen=True)
class Held:
    """The held-out texts as the measures need them.

    Attributes:
        num_bytes: int64 [texts], the end of each text counted as one byte.
        documents: the document of each text.
    """

    num_bytes: npt.NDArray[np.int64]
    documents: list[str]

    @classmethod
    def of(cls, texts: Sequence[str], documents: Sequence[str]) -> Held:
        """Measures the texts."""
        return cls(np.array([len(text.encode()) + 1 for text in texts]), list(documents))


def compression(
    held: Held,
    scores: Scores,
    found: Yardsticks,
    champion: Champion | None,
    options: EvaluateOptions,
) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """Bits per byte of the model, the yardsticks and the champion, and paired differences.

    Returns:
        The model's figures and the champion's.
    """
    draws = ClusterBootstrap(held.documents, options.bootstrap, options.seed)
    bits = scores.nll / math.log(2)
    sizes = held.num_bytes

    def rate(spent: npt.ArrayLike, label: str) -> Figure:
        return _figure(draws.ratio(spent, sizes), _BITS, "lower", label)

    figures = {
        "bits_per_byte": rate(bits, "Bits per byte"),
        "perplexity": _figure(
            draws.exp_ratio(scores.nll, scores.num_tokens), "", "lower", "Perplexity per token"
        ),
    }
    for name, label in NGRAMS.items():
        figures[f"yardsticks.{name}"] = rate(found.bits[name], label)
    figures |= _xz(held, bits, found, options)
    figures["bits_per_byte_minus_5gram"] = rate(
        bits - found.bits["byte_5gram"], "Model minus byte 5-gram"
    )
    if champion is None:
        return figures, {}
    before = champion.nll / math.log(2)
    figures["bits_per_byte_minus_champion"] = rate(bits - before, "Model minus champion")
    rival = champion.figures | {
        "bits_per_byte": rate(before, "Bits per byte"),
        "perplexity": _figure(
            draws.exp_ratio(champion.nll, champion.num_tokens), "", "lower", "Perplexity per token"
        ),
    }
    return figures, rival


def _xz(
    held: Held, bits: npt.NDArray[np.float64], found: Yardsticks, options: EvaluateOptions
) -> dict[str, Figure]:
    """xz compresses whole documents, so it is compared by document, not by text."""
    count = found.xz.size
    sizes = np.bincount(found.parts, held.num_bytes, minlength=count)
    ours = np.bincount(found.parts, bits, minlength=count)
    draws = ClusterBootstrap([str(part) for part in range(count)], options.bootstrap, options.seed)
    alone = found.xz_alone / float(sizes.sum())
    return {
        "yardsticks.xz": _figure(
            draws.ratio(found.xz, sizes), _BITS, "lower", "xz -9e, after the training text"
        ),
        "yardsticks.xz_alone": Figure(
            alone, samples=1, unit=_BITS, better="lower", label="xz -9e, held-out text alone"
        ),
        "bits_per_byte_minus_xz": _figure(
            draws.ratio(ours - found.xz, sizes), _BITS, "lower", "Model minus xz"
        ),
    }


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What was found out about the samples.

    Attributes:
        figures: of the samples, and of held-out human text as `human.NAME`.
        samples: the samples themselves.
        overlaps: the longest verbatim overlap of each sample with the training text.
        human_overlaps: the same of the human text beside it.
    """

    figures: dict[str, Figure]
    samples: list[Sample]
    overlaps: list[Overlap]
    human_overlaps: list[Overlap]


def samples_figures(
    samples: list[Sample], train_texts: Iterable[str], options: EvaluateOptions
) -> Judgement:
    """Diversity, repetition, length and copying of the samples, beside human text."""
    training = TrainingText(train_texts)
    overlaps = training.longest(
        [sample.text for sample in samples] + [sample.human for sample in samples]
    )
    ours, theirs = overlaps[: len(samples)], overlaps[len(samples) :]
    generated = [diversity.words(sample.text) for sample in samples]
    human = [diversity.words(sample.human) for sample in samples]
    # Distinct n-grams get rarer as text gets longer, so both sides are cut to equal amounts.
    total = min(sum(map(len, generated)), sum(map(len, human)))
    figures = _text_figures(generated, ours, total, options)
    beside = _text_figures(human, theirs, total, options)
    figures |= {
        f"human.{name}": dataclasses.replace(figure, better="", label=f"{figure.label}, human text")
        for name, figure in beside.items()
    }
    lengths = [float(sample.num_tokens) for sample in samples]
    tokens = sum(sample.num_tokens + sample.ended for sample in samples)
    figures["mean_tokens"] = _figure(
        mean(lengths, options.bootstrap, options.seed), "tokens", "", "Length of a sample"
    )
    figures["ended_share"] = _figure(
        wilson(sum(sample.ended for sample in samples), len(samples)),
        "share", "", "Samples that end by themselves",
    )  # fmt: skip
    figures["mean_logprob"] = Figure(
        sum(sample.logprob for sample in samples) / max(tokens, 1),
        samples=len(samples), unit="nats/token", label="Log-probability of sampled tokens",
    )  # fmt: skip
    return Judgement(figures, samples, ours, theirs)


def _text_figures(
    texts: Sequence[Sequence[str]],
    overlaps: Sequence[Overlap],
    total: int,
    options: EvaluateOptions,
) -> dict[str, Figure]:
    figures = {}
    for order in (1, 2, 3):
        cut = diversity.cut_to(texts, total)
        share = diversity.distinct(cut, order)
        if math.isfinite(share):
            reach = _NORMAL * diversity.distinct_deviation(cut, order)
            known = math.isfinite(reach)
            figures[f"distinct_{order}"] = Figure(
                share, max(share - reach, 0.0) if known else None,
                min(share + reach, 1.0) if known else None, len(texts), "share", "higher",
                f"Distinct {order}-grams of words",
            )  # fmt: skip
    repeated = [found for text in texts if (found := diversity.repetition(text)) is not None]
    if repeated:
        figures["repetition"] = _figure(
            mean(repeated, options.bootstrap, options.seed),
            "share", "lower", "Repeated 4-grams within a text",
        )  # fmt: skip
    lengths = [overlap.length for overlap in overlaps]
    figures["longest_copy"] = Figure(
        float(max(lengths)), samples=len(lengths), unit="characters", better="lower",
        label="Longest verbatim overlap with training text",
    )  # fmt: skip
    figures["median_copy"] = Figure(
        float(np.median(lengths)), samples=len(lengths), unit="characters", better="lower",
        label="Verbatim overlap, median text",
    )  # fmt: skip
    copies = sum(length >= options.copy_characters for length in lengths)
    figures["copy_share"] = _figure(
        wilson(copies, len(lengths)), "share", "lower",
        f"Texts that copy {options.copy_characters} characters or more",
    )  # fmt: skip
    return figures


def _figure(found: Estimate, unit: str, better: str, label: str) -> Figure:
    return Figure(found.value, found.low, found.high, found.clusters, unit, better, label)

"""The evaluation of images as a page for people: samples first, then how far from real ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components import page as html
from components.artifacts import Figure
from components.evaluate.image.champion import Champion
from components.evaluate.image.measure import Copies, Looked, by_class
from components.evaluate.image.options import EvaluateImageOptions
from components.evaluate.image.pictures import Images, data_uri, sheet

_IN_A_ROW = 10
_MOST_CLASSES = 12
_NEAREST = 10
_SHOWN_WIDTH = 44  # CSS pixels of one image


@dataclasses.dataclass(frozen=True)
class Story:
    """All that the page tells."""

    figures: Mapping[str, Figure]
    content: Mapping[str, Any]
    names: Sequence[str]
    made: Looked
    real: Looked
    training: Images
    copies: Copies
    rival: Champion | None
    card: Mapping[str, Any]
    options: EvaluateImageOptions


def page(story: Story) -> str:
    """Renders the page."""
    sections = [
        html.Section("", [_tiles(story)]),
        _samples(story),
        _distances(story),
        *_champion(story),
        *_classes(story),
        _memory(story),
        *_training(story),
        _method(story),
    ]
    return html.render(
        "Evaluation of the image model",
        verdict(story.figures),
        sections,
        facts={
            "samples": len(story.made.images),
            "held-out images": len(story.real.images),
            "training images": len(story.training),
            "family": str(story.card.get("family", "")) or None,
            "model": html.code(str(story.content["model_digest"])[:12]),
            "held-out data": html.code(str(story.content["eval_digest"])[:12]),
        },
        footer="Judged through the exported SavedModel only: what is judged is what is served.",
    )


def verdict(figures: Mapping[str, Figure]) -> str:
    """The result in a sentence."""
    ours = figures["frechet_distance"]
    floor, baseline = (figures[f"{name}.frechet_distance"].value for name in ("floor", "baseline"))
    covered = (baseline - ours.value) / max(baseline - floor, 1e-9)
    spread = html.interval(ours.low, ours.high)
    told = (
        f"Fréchet distance {html.number(ours.value)} (95%: {spread}), between {html.number(floor)} "
        f"of training images and {html.number(baseline)} of each class's noisy mean image: "
    )
    told += (
        f"{covered:.0%} of the way from the naive baseline to the floor."
        if covered > 0
        else "no better than the naive baseline."
    )
    accuracy = figures.get("conditional_accuracy")
    if accuracy is not None:
        held = figures["classifier_accuracy"].value
        told += (
            f" The classifier recognizes {accuracy.value:.0%} of the samples as the class that was "
            f"asked for, and {held:.0%} of held-out images."
        )
    return told


def _tiles(story: Story) -> html.Markup:
    names = (
        "frechet_distance", "kernel_distance", "conditional_accuracy", "precision", "recall",
        "nearest_train",
    )  # fmt: skip
    short = {
        "precision": "Precision",
        "recall": "Recall",
        "nearest_train": "Close to training images",
    }
    tiles = []
    for name in names:
        if name in story.figures:
            figure = story.figures[name]
            label = short.get(name, figure.label)
            tiles.append(html.figure_tile(dataclasses.replace(figure, label=label), digits=3))
    return html.tiles(tiles)


def _picture(rows: Sequence[Images], text: str) -> html.Markup:
    """A sheet of images, each shown at one size whatever its pixels."""
    drawn = sheet(rows)
    width = max(len(row) for row in rows) * _SHOWN_WIDTH
    return html.Markup(
        '<figure><img src="{}" alt="{}" '
        'style="width:{}px;max-width:100%;image-rendering:pixelated">'
        "<figcaption>{}</figcaption></figure>"
    ).format(data_uri(drawn), text, width, text)


def _samples(story: Story) -> html.Section:
    rows, told = [], []
    for place in _shown_classes(story):
        members = story.made.images[story.made.labels == place][:_IN_A_ROW]
        if len(members):
            rows.append(members)
            told.append(story.names[place] if place >= 0 else "any")
    text = "Generated images, first seeds, not chosen"
    named = f"{text}; by row: {', '.join(told)}." if len(told) > 1 else f"{text}."
    real = [story.real.images[story.real.labels == place][:_IN_A_ROW]
            for place in _shown_classes(story)]  # fmt: skip
    real = [row for row in real if len(row)]
    return html.Section(
        "Samples",
        [html.columns(_picture(rows, named), _picture(real, "Held-out images of these classes."))],
    )


def _shown_classes(story: Story) -> list[int]:
    return [int(place) for place in np.unique(story.made.labels)][:_MOST_CLASSES]


def _distances(story: Story) -> html.Section:
    charts = []
    for name, title in (
        ("frechet_distance", "Fréchet distance"),
        ("kernel_distance", "Kernel distance"),
    ):
        bars = []
        served = {} if story.rival is None else story.rival.figures
        rows = [
            ("this model", story.figures[name]),
            ("floor: training images", story.figures[f"floor.{name}"]),
            (
                "baseline: mean image of the class, with its noise",
                story.figures[f"baseline.{name}"],
            ),
        ]
        if name in served:
            rows.insert(1, ("the version now served", served[name]))
        for label, figure in rows:
            bars.append(
                html.Bar(label, figure.value, figure.low, figure.high, main=label == "this model")
            )
        charts.append(html.bar_chart(bars, title=title, digits=3))
    shares = ("precision", "recall", "mode_coverage")
    covered: list[list[html.Cell]] = [
        [label, *(_percent(story.figures[f"{prefix}{name}"].value) for name in shares)]
        for label, prefix in (
            ("this model", ""), ("floor: training images", "floor."),
            ("baseline: mean image", "baseline."),
        )
    ]  # fmt: skip
    return html.Section(
        "How far from real images",
        [
            *charts,
            html.table(["", "precision", "recall", "modes reached"], covered),
            *_inception(story),
        ],
        note="Lower distances are better. Distances compare only under one classifier and one "
        f"number of images: here {len(story.made.images):,}, in {story.content['features']}.",
    )


def _inception(story: Story) -> list[html.Block]:
    """The same distances in other features, where these were at hand."""
    names = ("frechet_distance", "kernel_distance", "precision", "recall", "mode_coverage")
    if f"inception.{names[0]}" not in story.figures:
        return []
    rows: list[list[html.Cell]] = [
        [label, *(_value(story.figures[f"{prefix}inception.{name}"]) for name in names)]
        for label, prefix in (("this model", ""), ("floor: training images", "floor."))
    ]
    headers = ["", "Fréchet distance", "kernel distance", "precision", "recall", "modes reached"]
    caption = "In 2,048 features of Keras' Inception v3."
    return [html.table(headers, rows, caption=caption)]


def _value(figure: Figure) -> str:
    """A figure with its interval."""
    return f"{html.number(figure.value)} {html.interval(figure.low, figure.high)}"


def _champion(story: Story) -> list[html.Section]:
    """The paired differences, and the same classes and seeds under both."""
    if story.rival is None:
        return []
    rows: list[list[html.Cell]] = [
        [figure.label, figure.value, html.interval(figure.low, figure.high, 3), _clear(figure)]
        for figure in story.rival.differences.values()
    ]
    chosen = np.linspace(0, len(story.made.images) - 1, _IN_A_ROW).astype(int)
    pairs = [story.made.images[chosen], story.rival.made.images[chosen]]
    return [
        html.Section(
            f"Beside version {story.rival.version}, now served",
            [
                html.table(["difference", "value", "95%", ""], rows, digits=3),
                _picture(pairs, "This model above, the version now served below: same classes "
                         "and seeds."),
            ],
            note="Both draw the same classes with the same seeds, and one classifier judges them.",
        )
    ]  # fmt: skip


def _clear(figure: Figure) -> html.Markup:
    if figure.low is None or figure.high is None or figure.low <= 0 <= figure.high:
        return html.badge("", "not clear")
    better = (figure.value < 0) == (figure.better == "lower")
    return html.badge("pass", "better") if better else html.badge("warn", "worse")


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _classes(story: Story) -> list[html.Section]:
    found, usual = by_class(story.made, story.names), by_class(story.real, story.names)
    if not found:
        return []
    bars = [
        html.Bar(
            name, each.value, each.low, each.high,
            note=f"held-out {usual[name].value:.0%}" if name in usual else "",
        )
        for name, each in found.items()
    ]  # fmt: skip
    return [
        html.Section(
            "Class by class",
            [html.bar_chart(bars, title="Samples that the classifier sees as their class")],
            note="Beside each, the share of held-out images of the class that it recognizes.",
        )
    ]


def _memory(story: Story) -> html.Section:
    order = np.argsort(story.copies.distances)[:_NEAREST]
    pairs = [story.made.images[order], story.training[story.copies.places[order]]]
    ours, usual = story.figures["nearest_train"], story.figures["floor.nearest_train"]
    verdict_ = (
        "no more than held-out images are"
        if ours.low is None or usual.high is None or ours.low <= usual.high
        else "more than held-out images are: look at the pairs"
    )
    return html.Section(
        "Copies of training images",
        [
            f"{ours.value:.1%} of the samples are nearer to a training image than any other "
            f"training image is (held-out images: {usual.value:.1%}); {verdict_}.",
            _picture(pairs, "The samples closest to a training image, and below each that image."),
        ],
        note="A model that recites would show the same pictures twice.",
    )


def _training(story: Story) -> list[html.Section]:
    history = story.card.get("history") or []
    points = [
        (float(entry["seconds"]), float(entry["eval_loss"]))
        for entry in history
        if "seconds" in entry and "eval_loss" in entry
    ]
    if len(points) < 2:
        return []
    chart = html.line_chart(
        [html.Line("held-out loss", points, dots=True)],
        x_label="seconds of training",
        y_label="loss",
    )
    health = story.card.get("health") or []
    blocks: list[html.Block] = [chart]
    blocks += [html.quote(line, "said while it was trained") for line in health[:3]]
    return [html.Section("Training", blocks)]


def _method(story: Story) -> html.Section:
    accuracy = story.figures.get("classifier_accuracy")
    judge = (
        f"a small convolutional network taught on {story.options.classifier_rows:,} training "
        f"images at most for {story.options.classifier_epochs} passes, which recognizes "
        f"{accuracy.value:.1%} of held-out images"
        if accuracy is not None
        else "an untaught convolutional network, for there are no classes"
    )
    lines = [
        f"The judge is {judge}. Its 64 features are what distances are measured in.",
        "Fréchet distance (Heusel et al., 2017) between normal fits, covariances shrunk (Ledoit "
        "and Wolf, 2004). Kernel distance (Binkowski et al., 2018), unbiased. Precision and recall "
        f"(Kynkäänniemi et al., 2019) with the {story.options.neighbours}th neighbour.",
        "Intervals of distances by half samples, of shares by Wilson's formula. The floor compares "
        "as many training images with the held-out ones; the baseline is each class's mean image "
        "with its pixels' own spread.",
        "Copies are looked for between thumbnails of about 14 x 14 pixels.",
    ]
    return html.Section("Method", [html.details("How this was measured", *lines)])

"""How images are spoken of in the drift report, and what is suggested where they drifted."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from components import page
from components.drift.sides import Measured
from components.drift.unseen import unseen_shares
from components.drift.wording import Wording

if TYPE_CHECKING:
    from components.drift.detection import Comparison

_LOOK = ("brightness", "contrast", "dark", "light", "noise", "sharpness")
_LONGEST_LABEL = 40


def _on_data(comparison: Comparison, last: str | None) -> list[str]:
    until = f" up to {last}" if last else ""
    effects = {column.descriptor.name: column for column in comparison.drifted}
    lines = [
        f"The model learnt from images{until}. If it is to draw as images are now, train it on the "
        "current era too (ingest.reference_to), and let the gate compare both versions on current "
        "images. If the older manner is what is wanted, nothing is to be done."
    ]
    if any(name in effects for name in _LOOK) and "class" not in effects:
        lines.append(
            "The classes are mixed as before, and yet the images look different: before training "
            "anew, make sure that the camera, the scanner or what prepares the images has not "
            "changed by mistake."
        )
    if "class" in effects:
        lines.append(
            "The mix of classes moved. A model that is asked for a class is not harmed by the mix "
            "alone; one that draws the classes itself follows the old one."
        )
    if "width" in effects or "height" in effects:
        lines.append(
            "Images now come in other sizes; the transform stretches all of them to one shape, so "
            "other proportions are distorted otherwise than in training."
        )
    return lines


def _on_prompt(comparison: Comparison) -> list[str]:
    unseen = unseen_shares(comparison)
    lines = [
        f"{share} of what users asked for is a class that the model never saw, so it refuses: "
        "gather images of it, or tell users which classes there are."
        for share in unseen.values()
    ]
    return lines or [
        "Users ask for classes in another mix than the evaluation drew them in. Look at the "
        "figures of the classes that they ask for most; where those are weak, train on more images "
        "of them."
    ]


def _on_output(comparison: Comparison, last: str | None) -> list[str]:
    effects = {column.descriptor.name: column.effect for column in comparison.drifted}
    lines = []
    if effects.get("noise", 0) > 0:
        lines.append(
            "Generated images are noisier than real ones. Train longer (train.cpu_seconds, "
            "train.steps), or let a diffusion model take more steps when it samples."
        )
    elif effects.get("sharpness", 0) < 0 or effects.get("edges", 0) < 0:
        lines.append(
            "Generated images are blurred. Train longer (train.cpu_seconds, train.steps). Of the "
            "families, a VAE blurs most (train.family)."
        )
    if effects.get("contrast", 0) < 0 or effects.get("entropy", 0) < 0:
        lines.append(
            "Generated images are plainer than real ones: look at the grid of samples for a "
            "collapse to few images."
        )
    return lines or [
        "Look at generated images beside real ones, below: what moved is a matter of style, which "
        "longer training usually mends."
    ]


def _examples(side: Measured) -> page.Markup:
    shown = [
        page.Markup(
            '<img alt="{0}" title="{0}" src="data:image/{1};base64,{2}" style="width:56px;'
            'height:56px;margin:2px;object-fit:contain;image-rendering:pixelated">'
        ).format(
            (label or "an image")[:_LONGEST_LABEL],
            "jpeg" if file.startswith(b"\xff\xd8") else "png",
            base64.b64encode(file).decode(),
        )
        for label, file in side.examples
        if len(file) <= _LARGEST_EXAMPLE
    ]
    return page.Markup("").join(shown)


# Photographs larger than this would make the page heavy.
_LARGEST_EXAMPLE = 100_000

WORDING = Wording(
    noun="images",
    items="images",
    differ="differ",
    alike="look like the training images",
    asked="classes",
    asked_reference="those of the training images",
    read_data="Whether the world has moved away from what the model learnt. All images are "
    "measured in the shape that the model draws.",
    read_prompt="Whether users ask for the classes that the model learnt, as often as it saw them.",
    read_output="Whether the model draws as its training images look, of the same mix of classes.",
    on_data=_on_data,
    on_prompt=_on_prompt,
    on_output=_on_output,
    features="the model's own embeddings where it has any, else thumbnails and the measures above",
    examples=_examples,
)

"""What a person is shown at the end of a run: the figures that matter, and what the model makes."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.artifacts import IMAGE, TABLE, TEXT
from pipelines.face import Face

if TYPE_CHECKING:
    from serving.client import Client, Metadata

TIMEOUT = 120
_PROMPTS = ("The Congress", "Our foreign policy", "")
_IMAGES = 8
_ROWS = 8
_COLUMNS = 9


@dataclasses.dataclass(frozen=True)
class Asked:
    """Whom to ask, and for what.

    Attributes:
        client: connected to the model.
        prompts: what a person wants continued (text), drawn (image: classes) or met (table:
            conditions); empty for what the modality shows by itself.
        folder: where pictures are written.
    """

    client: Client
    prompts: Sequence[str]
    folder: Path


@dataclasses.dataclass(frozen=True)
class Showcase:
    """How a modality is shown.

    Attributes:
        headlines: figure of the evaluation -> what the summary calls it.
        show: asks the served model and prints what it makes.
        hint: the next commands, for the run's configuration.
    """

    headlines: Mapping[str, str]
    show: Callable[[Face, Asked], None]
    hint: str


def _texts(face: Face, asked: Asked) -> None:
    prompts = list(asked.prompts or _PROMPTS)
    texts = asked.client.generate(
        prompts, max_new_tokens=64, temperature=0.8, seed=1, timeout=TIMEOUT
    )
    for prompt, text in zip(prompts, texts, strict=True):
        face.sample(prompt, text.text, prompt or "(no prompt)")


def _images(face: Face, asked: Asked) -> None:
    from PIL import Image

    labels = list(asked.prompts or [""] * _IMAGES)
    inputs = {"label": labels, "seed": list(range(1, len(labels) + 1))}
    drawn = asked.client.predict(
        "generate", {**inputs, **family_defaults(asked.client.metadata())}, timeout=TIMEOUT
    ).outputs
    pictures = [Image.open(io.BytesIO(each)) for each in drawn["image"].values]
    titles = [label.decode() for label in drawn["label"].values]
    face.pictures(pictures, titles)
    for title, image in zip(titles, drawn["image"].values, strict=True):
        name = f"{len(list(asked.folder.glob('drawn-*.png'))) + 1:02d}"
        safe = "".join(letter if letter.isalnum() else "-" for letter in title)
        (asked.folder / f"drawn-{name}-{safe}.png").write_bytes(image)
    face.say(f"  written to {asked.folder}/drawn-*.png")


def family_defaults(metadata: Metadata) -> dict[str, list[float]]:
    """Every parameter that the family adds to `generate`, left to the family: NaN says so."""
    inputs = metadata.signatures["generate"].inputs
    return {name: [float("nan")] for name in inputs if name not in ("label", "seed")}


def _rows(face: Face, asked: Asked) -> None:
    made = asked.client.predict(
        "generate",
        {
            "num_rows": [_ROWS],
            "conditions": list(asked.prompts),
            "temperature": [1.0],
            "seed": [random.Random(1).randrange(2**31)],
        },
        timeout=TIMEOUT,
    ).outputs
    # A response holds its outputs in no order; the model tells that of the source.
    told = asked.client.predict("describe", {"about": [""]}, timeout=TIMEOUT).outputs["json"]
    names = [column["name"] for column in json.loads(told.values[0])["columns"]]
    shown = {}
    for name in names[:_COLUMNS]:
        missing = made[f"{name}.missing"].values if f"{name}.missing" in made else [False] * _ROWS
        values = zip(made[name].values, missing, strict=True)
        shown[name] = ["" if absent else _cell(value) for value, absent in values]
    face.table(shown)
    if len(names) > _COLUMNS:
        face.say(f"  and {len(names) - _COLUMNS} columns more")


def _cell(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return f"{value:g}" if isinstance(value, float) else str(value)


SHOWCASES = {
    TEXT: Showcase(
        {
            "bits_per_byte": "bits per byte, held-out text",
            "yardsticks.xz": "  xz -9e, the same text",
            "yardsticks.byte_trigram": "  byte trigram",
            "yardsticks.byte_5gram": "  smoothed byte 5-gram",
            "distinct_2": "distinct bigrams in samples",
            "repetition": "repeated 4-grams in samples",
            "copy_share": "samples that copy training text",
        },
        _texts,
        '  serve it: loomline serve {config}      ask it: loomline generate "The Congress"',
    ),
    IMAGE: Showcase(
        {
            "frechet_distance": "Fréchet distance to held-out images",
            "floor.frechet_distance": "  training images, the floor",
            "baseline.frechet_distance": "  mean image of each class",
            "conditional_accuracy": "samples recognized as their class",
            "classifier_accuracy": "  held-out images, the same classifier",
            "precision": "precision",
            "recall": "recall",
            "nearest_train": "samples nearer to training images than usual",
        },
        _images,
        "  serve it: loomline serve {config}",
    ),
    TABLE: Showcase(
        {
            "quality": "quality: column shapes and pair trends",
            "floor.quality": "  training rows, the floor",
            "baseline.quality": "  independent columns",
            "tstr_ratio": "trained on synthetic over trained on real",
            "discriminator_auc": "told from real rows (AUC)",
            "closest_record": "rows nearer to training than to held-out ones",
            "constraint_violations": "rows that break a constraint",
        },
        _rows,
        "  serve it: loomline serve {config}",
    ),
}

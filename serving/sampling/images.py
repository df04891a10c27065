"""Images of a served model, as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from serving.client import Client
from serving.sampling.errors import SamplingError

_IMAGES_OF_A_CALL = 64


def sample_images(
    address: str,
    model: str,
    labels: Sequence[str],
    folder: Path,
    *,
    seed: int = 0,
    parameters: dict[str, float] | None = None,
    timeout: float = 300.0,
) -> list[Path]:
    """Has a served model draw images and writes them, `SEED-LABEL.png` each.

    Args:
        address: HOST:PORT of the model server.
        model: its name there.
        labels: the class of each image; an empty one leaves it to the seed.
        folder: where the files go; made where it is missing.
        seed: of the first image; each next one has the next.
        parameters: the family's own, such as guidance; those left out are the model's.
        timeout: seconds that one call may take.

    Returns:
        The files, in order.

    Raises:
        SamplingError: the model draws no images or has no such parameter, or the folder cannot be
            written.
        ClientError: the server refused, failed, or cannot be reached.
    """
    chosen = parameters or {}
    written: list[Path] = []
    with Client(address, model=model, timeout=timeout) as client:
        signature = client.metadata().signatures.get("generate")
        inputs = set(signature.inputs) if signature else set()
        if not {"label", "seed"} <= inputs or signature is None or "image" not in signature.outputs:
            raise SamplingError(
                f"expected a model of images, whose generate takes label and seed. Received: "
                f"{address} serves one that takes {', '.join(sorted(inputs)) or 'no such call'}"
            )
        own = inputs - {"label", "seed"}
        unknown = sorted(set(chosen) - own)
        if unknown:
            raise SamplingError(
                f"expected parameters among {', '.join(sorted(own)) or 'none'}. "
                f"Received: {', '.join(unknown)}"
            )
        # NaN leaves a parameter to the model.
        given = {name: [chosen.get(name, float("nan"))] for name in own}
        for start in range(0, len(labels), _IMAGES_OF_A_CALL):
            asked = list(labels[start : start + _IMAGES_OF_A_CALL])
            seeds = [seed + start + place for place in range(len(asked))]
            answer = client.predict("generate", {"label": asked, "seed": seeds, **given})
            rows = zip(
                seeds, answer.outputs["label"].values, answer.outputs["image"].values, strict=True
            )
            written += [_write(folder, *row) for row in rows]
    return written


def _write(folder: Path, seed: int, label: bytes, image: bytes) -> Path:
    name = "".join(each if each.isalnum() else "-" for each in label.decode("utf-8", "replace"))
    path = folder / f"{seed:06d}-{name or 'image'}.png"
    partial = folder / f".{os.getpid()}-{path.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(image)
        partial.replace(path)
    except OSError as error:
        raise SamplingError(
            f"expected a folder that can be written at {folder}. Received: {error.strerror}"
        ) from None
    return path

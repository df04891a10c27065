"""Decodes images to say what they are: size, brightness, contrast, and digests of their pixels."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.ingest.image.pictures import MOST_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# The perceptual hash reads this many pixels a side and keeps this many frequencies.
_HASH_SIDE = 32
_HASH_FREQUENCIES = 8


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What an encoded image holds.

    Attributes:
        example_id: digest of its pixels; of its bytes where it cannot be decoded.
        width, height: in pixels; 0 where even the header cannot be read.
        channels: 1 grey, 2 grey with alpha, 3 colour, 4 colour with alpha; 0 if not decoded.
        brightness, contrast: mean and standard deviation of the luma, of 0..1; None if not decoded.
        perceptual_hash: 64 bits as a signed number that images of like structure share; None if
            not decoded.
        problem: why it was not decoded, else empty.
    """

    example_id: str
    width: int
    height: int
    channels: int
    brightness: float | None
    contrast: float | None
    perceptual_hash: int | None
    problem: str = ""


class _UnfitError(Exception):
    """An image that is not decoded; carries what its header says."""

    def __init__(self, problem: str, width: int = 0, height: int = 0) -> None:
        super().__init__(problem)
        self.size = width, height


@dataclasses.dataclass(frozen=True)
class _Decoded:
    digest: str
    size: tuple[int, int]
    channels: int
    histogram: list[int]
    small: NDArray[np.uint8]


def inspect(
    images: Sequence[bytes | OSError], max_pixels: int, longest_side: int
) -> list[Inspection]:
    """Inspects a batch of PNG and JPEG files.

    Args:
        images: encoded, or the error that reading one gave.
        max_pixels: an image of more pixels is judged by its header and not decoded.
        longest_side: in pixels; the same for an image with a longer side.
    """
    import numpy as np

    found: list[Inspection | None] = []
    decoded: list[_Decoded] = []
    for data in images:
        try:
            if isinstance(data, OSError):
                raise _UnfitError(f"cannot be read: {data.strerror or data}")
            decoded.append(_decode(data, max_pixels, longest_side))
            found.append(None)
        except _UnfitError as error:
            known = b"" if isinstance(data, OSError) else data
            found.append(Inspection(_digest(known), *error.size, 0, None, None, None, str(error)))
    if not decoded:
        return [each for each in found if each]
    # Sums of whole numbers are exact, so that no image's figures depend on the others of its batch.
    counts = np.array([each.histogram for each in decoded], np.float64)
    levels = np.arange(256, dtype=np.float64)
    pixels = counts.sum(axis=1)
    means = counts @ levels / pixels
    deviations = np.sqrt(np.maximum(counts @ levels**2 / pixels - means**2, 0)) / 255
    means /= 255
    hashes = perceptual_hashes(np.stack([each.small for each in decoded]))
    described = (
        Inspection(each.digest, *each.size, each.channels, float(mean), float(deviation), int(code))
        for each, mean, deviation, code in zip(decoded, means, deviations, hashes, strict=True)
    )
    return [each or next(described) for each in found]


def perceptual_hashes(luma: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Hashes images so that those of like structure share most bits.

    Each bit says whether one of the 64 lowest frequencies of the discrete cosine transform is
    above their median (Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions", section 3.1.1).

    Args:
        luma: uint8 [images, 32, 32].

    Returns:
        int64 [images].
    """
    import numpy as np

    place = np.arange(_HASH_SIDE)
    frequency = np.arange(_HASH_FREQUENCIES)[:, np.newaxis]
    cosines = np.cos(np.pi * frequency * (2 * place + 1) / (2 * _HASH_SIDE))
    cosines[0] /= np.sqrt(2)
    spectrum = cosines @ luma.astype(np.float64) @ cosines.T
    # A flat image has rounding errors for frequencies; the mean brightness is no structure.
    flat = np.round(spectrum.reshape(len(luma), -1), 6)
    bits = flat > np.median(flat[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(">i8")[:, 0].astype(np.int64)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _decode(data: bytes, max_pixels: int, longest_side: int) -> _Decoded:
    """Decodes one image.

    Raises:
        _UnfitError: it is too large, or cannot be decoded.
    """
    import numpy as np
    from PIL.Image import Resampling

    image = _open(data)
    width, height = image.size
    if width * height > max_pixels or max(width, height) > longest_side:
        raise _UnfitError(
            f"{width} x {height} pixels, more than ingest.max_pixels ({max_pixels:,}) or a side "
            f"longer than {longest_side:,}; not decoded",
            width,
            height,
        )
    channels = _channels(image)
    flat = flatten(image)
    luma = flat if flat.mode == "L" else flat.convert("L")
    digest = hashlib.sha256(f"{flat.mode} {width} {height} ".encode() + flat.tobytes())
    small = luma.resize((_HASH_SIDE, _HASH_SIDE), Resampling.BILINEAR)
    return _Decoded(
        digest.hexdigest()[:32], (width, height), channels, luma.histogram(), np.asarray(small)
    )


def _open(data: bytes) -> Image:
    """Reads the header only.

    Raises:
        _UnfitError: it is no PNG and no JPEG, or its header is broken.
    """
    # The classes read headers of any size; Image.open would refuse or warn by a limit of its own.
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    if len(data) > MOST_BYTES:
        raise _UnfitError(f"a file of more than {MOST_BYTES >> 20} MiB; not decoded")
    if not data.startswith((_PNG, _JPEG)):
        raise _UnfitError("neither a PNG nor a JPEG file" if data else "an empty file")
    kind = PngImageFile if data.startswith(_PNG) else JpegImageFile
    try:
        return kind(io.BytesIO(data))
    except (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError) as error:
        raise _UnfitError(f"cannot be decoded: {_first_line(error)}") from None


def _channels(image: Image) -> int:
    if image.mode in ("LA", "RGBA"):
        return len(image.mode)
    if image.mode in ("1", "L", "I", "I;16"):
        return 1
    return 4 if "transparency" in image.info else 3


def flatten(image: Image) -> Image:
    """The pixels as grey (mode L) or colour (RGB), what is transparent laid on white.

    Raises:
        _UnfitError: they cannot be decoded.
    """
    import PIL.Image

    try:
        image.load()
        if image.mode in ("I", "I;16"):  # 16 bits: the upper eight.
            return image.point(lambda level: level / 256).convert("L")
        if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
            clear = image.convert("RGBA")
            white = PIL.Image.new("RGBA", clear.size, "white")
            target = "L" if image.mode in ("LA", "L", "1") else "RGB"
            return PIL.Image.alpha_composite(white, clear).convert(target)
        if image.mode == "1":
            return image.convert("L")
        return image if image.mode in ("L", "RGB") else image.convert("RGB")
    except (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError) as error:
        raise _UnfitError(f"cannot be decoded: {_first_line(error)}", *image.size) from None


def _first_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]

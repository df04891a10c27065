"""`fashion-mnist:`, 70,000 grey pictures of clothes (Xiao et al. 2017), as installed."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import ConfigError, DataError
from components.ingest.image.pictures import Part, Picture, slices
from components.ingest.image.png import encode_grey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# The Debian package's folder, and keras.datasets' own.
_FOLDERS = ("/usr/share/datasets/fashion-mnist", "~/.keras/datasets/fashion-mnist")
_PARTS = ("train", "t10k")
_SIDE = 28


class FashionMnist:
    """The files of the dataset, wherever they are installed."""

    def __init__(self, location: str, folders: tuple[str, ...] = _FOLDERS) -> None:
        """Looks for the files.

        Args:
            location: what stands after the colon: nothing.
            folders: where the four files may lie.

        Raises:
            ConfigError: something stands after the colon.
            DataError: the files are in none of the folders.
        """
        if location:
            raise ConfigError(f"expected nothing after 'fashion-mnist:'. Received: {location!r}")
        for folder in folders:
            self._files = _files(Path(folder).expanduser())
            if all(path.is_file() for path in self._files.values()):
                return
        raise DataError(
            f"expected Fashion-MNIST in one of {', '.join(folders)}. Received: no such files; "
            "install the Debian package dataset-fashion-mnist, or run "
            "python -c 'import keras; keras.datasets.fashion_mnist.load_data()'"
        )

    def files(self) -> dict[str, Path]:
        return self._files

    def pictures(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Iterator[Picture]:
        for part in _PARTS:
            images = _read(self._files[f"{part}-images"], (_SIDE, _SIDE))
            labels = _read(self._files[f"{part}-labels"], ())
            for place, (pixels, label) in enumerate(zip(images, labels.tolist(), strict=True)):
                yield Picture(
                    f"{part}/{place:05d}",
                    partial(encode_grey, pixels),
                    CLASSES[label] if label_column else "",
                    held_out=part == "t10k",
                )

    def parts(
        self, image_column: str, label_column: str, time_column: str, provenance_column: str = ""
    ) -> Sequence[Part]:
        return slices(self, image_column, label_column, time_column, provenance_column)


def _files(folder: Path) -> dict[str, Path]:
    kinds = {"images": "idx3", "labels": "idx1"}
    return {
        f"{part}-{kind}": folder / f"{part}-{kind}-{code}-ubyte.gz"
        for part in _PARTS
        for kind, code in kinds.items()
    }


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Reads a gzipped IDX file of bytes: a magic number, the dimensions, the values.

    Raises:
        DataError: it is no such file, or is cut short.
    """
    import numpy as np

    try:
        with gzip.open(path) as stream:
            content = stream.read()
        start = 8 + 4 * len(shape)
        count, *found = struct.unpack(f">{len(shape) + 1}I", content[4:start])
        if content[:4] != bytes([0, 0, 8, 1 + len(shape)]) or tuple(found) != shape:
            raise ValueError(f"not an IDX file of bytes of shape {shape}")
        return np.frombuffer(content, np.uint8, offset=start).reshape(count, *shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise DataError(f"expected an IDX file at {path}. Received: {error}") from None

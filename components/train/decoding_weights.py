"""Trained weights rewritten so that one decoding step needs as few operations as possible.

At batch 1 a step of a small model costs less in arithmetic than in starting operations, so
everything that is the same for every token is multiplied into the weights once, in float64:

- **Layer norm as a division.** The norm subtracts the mean, so the residual stream's
  component along (1, ..., 1) never matters. A rotation makes it coordinate 0, which is then free
  to hold the constant sqrt(width * epsilon). With that, LN(x) is exactly x / |x| * sqrt(width), and
  the factor, the scale and the rotation belong to the matrix that follows.
- **Attention's scale** belongs to the columns of q.
- **GELU.** With u = x / sqrt(2), gelu(x) = u * (1 + erf(u)) * sqrt(1/2); both roots belong to the
  matrices around it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from components.errors import ModelError

LAYER_NORM_EPSILON = 1e-5

Array = npt.NDArray[np.float32]
_Wide = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Block:
    """One block: qkv [d, 3d], project [d, d], expand [d, 4d], contract [4d, d]."""

    qkv: Array
    project: Array
    expand: Array
    contract: Array


@dataclasses.dataclass(frozen=True)
class DecodingWeights:
    """Embeddings [V, d] and [T, d], blocks, and the matrix [d, V] to the logits."""

    heads: int
    tokens: Array
    positions: Array
    blocks: tuple[Block, ...]
    logits: Array

    @property
    def vocabulary(self) -> int:
        return int(self.tokens.shape[0])

    @property
    def width(self) -> int:
        return int(self.tokens.shape[1])

    @property
    def context(self) -> int:
        return int(self.positions.shape[0])


def fold(weights: dict[str, Array], heads: int) -> DecodingWeights:
    """Rewrites the decoder's weights for decoding; the function they compute stays the same.

    Args:
        weights: float32 arrays: `token_embedding` [V, d], `position_embedding` [T, d],
            `blocks.{i}.attention_norm` [d], `.qkv` [d, 3d], `.project` [d, d], `.mlp_norm` [d],
            `.expand` [d, 4d], `.contract` [4d, d], and `final_norm` [d]; y = x @ W.
        heads: attention heads; they divide d.

    Raises:
        ModelError: an array is missing or has the wrong shape.
    """
    _check(weights, heads)
    wide = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    width = wide["token_embedding"].shape[1]
    rotation = _rotation(width)

    def read(norm: _Wide, matrix: _Wide) -> _Wide:
        """A matrix that reads the normalized residual stream."""
        folded: _Wide = np.sqrt(width) * (rotation.T @ (norm[:, np.newaxis] * matrix))
        folded[0] = 0
        return folded

    def write(matrix: _Wide, coordinate: float = 0.0) -> _Wide:
        """A matrix that writes the residual stream, with the given value as coordinate 0."""
        folded = matrix @ rotation
        folded[:, 0] = coordinate
        return folded

    blocks = []
    for index in range(_layers(weights)):
        part = {name: wide[f"blocks.{index}.{name}"] for name in _BLOCK_ARRAYS}
        qkv = read(part["attention_norm"], part["qkv"])
        qkv[:, :width] /= np.sqrt(width // heads)
        blocks.append(
            Block(
                qkv=_narrow(qkv),
                project=_narrow(write(part["project"])),
                expand=_narrow(read(part["mlp_norm"], part["expand"]) / np.sqrt(2)),
                contract=_narrow(write(part["contract"]) / np.sqrt(2)),
            )
        )
    return DecodingWeights(
        heads=heads,
        tokens=_narrow(write(wide["token_embedding"], np.sqrt(width * LAYER_NORM_EPSILON))),
        positions=_narrow(write(wide["position_embedding"])),
        blocks=tuple(blocks),
        logits=_narrow(read(wide["final_norm"], wide["token_embedding"].T)),
    )


_BLOCK_ARRAYS = {
    "attention_norm": (1,),
    "qkv": (1, 3),
    "project": (1, 1),
    "mlp_norm": (1,),
    "expand": (1, 4),
    "contract": (4, 1),
}


def _rotation(width: int) -> _Wide:
    """The reflection [d, d] that swaps the directions (1, 0, ..., 0) and (1, ..., 1)."""
    between = np.full(width, -1 / np.sqrt(width))
    between[0] += 1
    if width == 1:
        return np.eye(1)
    reflection: _Wide = np.eye(width) - 2 * np.outer(between, between) / (between @ between)
    return reflection


def _narrow(matrix: _Wide) -> Array:
    return matrix.astype(np.float32)


def _layers(weights: dict[str, Array]) -> int:
    return sum(name.endswith(".qkv") for name in weights)


def _check(weights: dict[str, Array], heads: int) -> None:
    layers = _layers(weights)
    names = {f"blocks.{index}.{name}" for index in range(layers) for name in _BLOCK_ARRAYS}
    names |= {"token_embedding", "position_embedding", "final_norm"}
    if names != set(weights) or not layers:
        wrong = ", ".join(sorted(names ^ set(weights))) or "no blocks at all"
        raise ModelError(f"expected the weights of a decoder. Received: missing or unknown {wrong}")
    width = weights["token_embedding"].shape[-1]
    shapes = {
        f"blocks.{index}.{name}": tuple(width * factor for factor in factors)
        for index in range(layers)
        for name, factors in _BLOCK_ARRAYS.items()
    }
    shapes["final_norm"] = (width,)
    shapes["token_embedding"] = (weights["token_embedding"].shape[0], width)
    shapes["position_embedding"] = (weights["position_embedding"].shape[0], width)
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise ModelError(f"expected {name} of shape {shape}. Received: {weights[name].shape}")
    if width % heads:
        raise ModelError(f"expected heads that divide the width {width}. Received: {heads}")

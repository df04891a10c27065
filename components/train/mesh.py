"""The devices of one machine as a mesh under Keras' JAX backend, and what of the model each holds.

A block is cut as in Megatron-LM (Shoeybi et al., 2019): `qkv` and `expand` by columns, so that a
device has whole heads and whole units, and `project` and `contract` by rows; the sums after these
two are what the devices exchange. The tied embedding is cut by tokens (rows).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import keras
import numpy as np

from components.errors import ConfigError
from components.train.options import TrainOptions

BATCH, MODEL = "batch", "model"
_LAYOUTS = {
    r".*token_embedding": (MODEL, None),
    r".*/qkv": (None, MODEL),
    r".*/project": (MODEL, None),
    r".*/expand": (None, MODEL),
    r".*/contract": (MODEL, None),
}


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Devices in `replicas` rows of `parts`; a row holds the whole model.

    Attributes:
        distribution: Keras' own; while it is set, new variables are spread as it says.
        replicas: copies of the model, which share each batch.
        parts: devices that hold one copy together.
        kind: what the devices are, such as 'cpu' or 'NVIDIA H100'.
    """

    distribution: keras.distribution.ModelParallel
    replicas: int
    parts: int
    kind: str

    def place(self, windows: np.ndarray[Any, Any]) -> jax.Array:
        """Tokens on the devices: each replica gets its share, or all where it cannot be equal."""
        shared = BATCH if len(windows) % self.replicas == 0 else None
        placed: jax.Array = jax.device_put(windows, self.sharding(shared, None))
        return placed

    def sharding(self, *axes: str | None) -> jax.sharding.Sharding:
        """How an array lies on the devices, each of whose axes is cut along that of the mesh."""
        grid = self.distribution.device_mesh
        layout: jax.sharding.Sharding = keras.distribution.TensorLayout(axes, grid).backend_layout
        return layout


def make_mesh(options: TrainOptions, vocabulary_size: int) -> Mesh:
    """All devices that JAX sees, in a mesh of the options' shape.

    Raises:
        ConfigError: the devices, the model or the batch cannot be divided so.
    """
    devices = keras.distribution.list_devices()
    parts = options.model_parallel or len(devices)
    check(options, vocabulary_size, parts, len(devices))
    replicas = len(devices) // parts
    grid = keras.distribution.DeviceMesh((replicas, parts), (BATCH, MODEL), devices)
    layouts = keras.distribution.LayoutMap(grid)
    for path, axes in _LAYOUTS.items():
        layouts[path] = axes
    distribution = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name=BATCH)
    return Mesh(distribution, replicas, parts, jax.devices()[0].device_kind)


def check(options: TrainOptions, vocabulary_size: int, parts: int, devices: int) -> None:
    """Refuses what cannot be divided among `parts` of so many devices.

    Raises:
        ConfigError: which names what to change.
    """
    if devices % parts:
        raise ConfigError(
            f"train.model_parallel: expected a divisor of the number of devices, {devices} here. "
            f"Received: {parts}"
        )
    if options.heads % parts:
        raise ConfigError(
            f"train.heads: expected a multiple of the {parts} devices that share the model. "
            f"Received: {options.heads}. Change it, or set train.model_parallel to a divisor of it"
        )
    if vocabulary_size % parts:
        raise ConfigError(
            f"transform.vocabulary_size: expected a multiple of the {parts} devices that share the "
            f"model. Received: a vocabulary of {vocabulary_size}. Change it, or set "
            "train.model_parallel to a divisor of it"
        )
    replicas = devices // parts
    if options.batch_size % replicas:
        raise ConfigError(
            f"train.batch_size: expected a multiple of the {replicas} replicas, each of which gets "
            f"an equal share. Received: {options.batch_size}"
        )


def precision_policy(precision: str) -> str:
    """The Keras dtype policy, as `learner.precision_policy` decides it, for JAX's devices.

    Raises:
        ConfigError: float16, whose scaling of the loss is not implemented here.
    """
    if precision == "mixed_float16":
        raise ConfigError(
            "train.precision: expected float32 or mixed_bfloat16 with train.distribution="
            f"model_parallel. Received: {precision}"
        )
    if precision != "auto":
        return precision
    device = jax.devices()[0]
    capability = float(getattr(device, "compute_capability", 0) or 0)
    fast = device.platform == "tpu" or (device.platform == "gpu" and capability >= 8.0)
    return "mixed_bfloat16" if fast else "float32"

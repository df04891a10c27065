"""Refuses folders of a run on a cluster that end with the pod that sees them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from components.errors import ConfigError
from serving.storage import is_remote

# Parameters of the pipelines that name what has to outlive a pod; object stores do, too.
_IN_STORES = ("push_base_path", "models")
_ON_THE_VOLUME = ("records", "training_output", "push_approvers", "push_waiting", "checkpoints")


def check_places(mount: str, values: Mapping[str, Any]) -> None:
    """Whether what outlives a run lies where it does.

    Args:
        mount: where the steps see the cluster's volume; empty for no volume.
        values: parameters of a pipeline.

    Raises:
        ConfigError: a folder lies in a pod itself.
    """
    for name in (*_IN_STORES, *_ON_THE_VOLUME):
        value = values.get(name)
        if not isinstance(value, str) or not value or (is_remote(value) and name in _IN_STORES):
            continue
        # Without a volume, a step that is killed begins anew.
        if not mount and name == "checkpoints":
            continue
        if mount and PurePosixPath(value).is_relative_to(mount):
            continue
        stores = "gs://, s3:// or nothing" if name in _IN_STORES else "nothing"
        expected = (
            f"a place below {mount}, where the steps see the cluster's volume, or {stores}"
            if mount
            else f"{stores}, because the profile of hardware has no volume"
        )
        raise ConfigError(
            f"{name} expects {expected}. Received: {value}, which ends with the pod that sees it"
        )

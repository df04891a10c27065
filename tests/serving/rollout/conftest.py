"""A server that stays with version 1, a store, and folders of candidates."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.client import Client
from serving.rollout import controller
from serving.rollout.settings import RolloutSettings
from serving.store import Store, open_store


@dataclasses.dataclass
class World:
    """What a rollout is about."""

    address: str
    base_path: Path
    store: Store
    url: str
    saved_models: dict[str, Path]
    candidates: Path

    def settings(self, **changed: Any) -> RolloutSettings:
        values = {
            "servers": (self.address,),
            "base_path": str(self.base_path),
            "steps": (0.2, 0.5),
            "min_samples": 5,
            "settle_seconds": 0.0,
            "drain_seconds": 0.0,
            "load_seconds": 60,
        }
        return RolloutSettings(**{**values, **changed})

    def candidate(self, name: str, version: int) -> Path:
        """A version's folder that is not where servers look."""
        folder = self.candidates / str(version)
        shutil.copytree(self.saved_models[name], folder)
        return folder

    def served(self) -> dict[str, str]:
        """What the server answers under every name, by the tag of the model."""
        found = {}
        with Client(self.address, timeout=20) as client:
            for label in ("stable", "canary", None):
                try:
                    answer = client.generate("x", label=label)[0].text
                except Exception as error:
                    answer = type(error).__name__
                found[label or "latest"] = answer.partition("|")[0]
        return found


@pytest.fixture
def world(
    tmp_path: Path,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
) -> Iterator[World]:
    base_path = tmp_path / "served" / "text"
    publish(saved_models["first"], base_path, 1)
    server = start_server(base_path, "--max_num_load_retries=0")
    with Client(server.address) as client:
        client.wait_until_available(90)
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = open_store(url)
    world = World(server.address, base_path, store, url, saved_models, tmp_path / "candidates")
    controller.pin("text", world.settings())
    yield world
    store.close()
    server.stop()

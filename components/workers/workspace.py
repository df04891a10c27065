"""The folder on the shared volume by which the step and its workers hand data to each other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from components.errors import ConfigError


class Workspace:
    """What the workers read and write, for they see nothing of this step's own disk.

    Args:
        root: the folder, on a volume that all of them have at the same path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.transformed, self.graph = root / "transformed", root / "graph"
        self.model, self.logs = root / "model", root / "logs"

    def take_in(self, transformed: Path, graph: Path) -> None:
        """Copies what the workers read, unless an earlier attempt of the step has done so.

        Raises:
            ConfigError: there is no such volume.
        """
        volume = self.root.parent.parent
        if not volume.is_dir():
            raise ConfigError(
                f"expected the volume of the profile of hardware at {volume}, which the workers "
                "share. Received: no such folder"
            )
        for source, target in ((transformed, self.transformed), (graph, self.graph)):
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copytree(source, partial)
            partial.rename(target)

    def empty(self) -> None:
        """Forgets what workers wrote that are started anew."""
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.rmtree(self.logs, ignore_errors=True)

    def hand_out(self, model: Path, logs: Path) -> None:
        """Copies what the chief wrote to where the step's outputs are."""
        shutil.copytree(self.model, model, dirs_exist_ok=True)
        if self.logs.is_dir():
            shutil.copytree(self.logs, logs, dirs_exist_ok=True)

    def remove(self) -> None:
        """Leaves nothing on the volume."""
        shutil.rmtree(self.root, ignore_errors=True)

"""What a killed training run resumes from: one file, replaced as a whole."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass
class Progress:
    """Where a run stands, apart from its variables.

    Attributes:
        step: training steps done, and so batches of data used.
        seconds: wall time of training so far, all attempts together.
        history: one entry for each evaluation: step, seconds, loss, eval_loss.
        best_loss: the lowest held-out loss so far.
        stale: evaluations since then.
        rate: the learning rate that a range test found; 0 where none was made.
    """

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_loss: float = float("inf")
    stale: int = 0
    rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A folder of one run, named by the fingerprint of its data and options."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.npz"

    def save(self, progress: Progress, arrays: Arrays) -> None:
        """Writes the file beside its final place, then renames it over the old one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(progress))
        partial = self.folder / f".checkpoint.{os.getpid()}"
        with partial.open("wb") as stream:
            np.savez(stream, progress=np.asarray(text), **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self.path)

    def load(self) -> tuple[Progress, Arrays] | None:
        """The last saved state, or None where there is none that can be read."""
        try:
            with np.load(self.path) as stored:
                arrays = {name: stored[name] for name in stored.files}
            progress = Progress(**json.loads(str(arrays.pop("progress"))))
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return progress, arrays

    def remove(self) -> None:
        """Deletes the folder; the run has succeeded."""
        shutil.rmtree(self.folder, ignore_errors=True)

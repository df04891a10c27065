"""What differs between the modalities of the training pipeline: options, steps, how it is shown."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from components.artifacts import IMAGE, TABLE, TEXT
from components.drift.options import DriftOptions
from components.errors import ConfigError
from components.evaluate.image.options import EvaluateImageOptions
from components.evaluate.options import EvaluateOptions
from components.evaluate.table.options import EvaluateTableOptions
from components.gate.options import GateOptions
from components.ingest.image.options import IngestImageOptions
from components.ingest.options import IngestOptions
from components.ingest.table.options import IngestTableOptions
from components.push.options import PushOptions
from components.train.families.options import FamilyTrainOptions
from components.train.options import TrainOptions
from components.transform.image.options import TransformImageOptions
from components.transform.options import TransformOptions
from components.transform.table.options import TransformTableOptions
from components.validate.options import ValidateOptions


@dataclasses.dataclass(frozen=True)
class Modality:
    """One kind of data, and what the steps are for it.

    Attributes:
        name: what configurations call it.
        ingest, transform, train, evaluate: the options of the steps that depend on it.
        modules: step -> package of its component; the other steps' are the step's own.
    """

    name: str
    ingest: type[BaseModel]
    transform: type[BaseModel]
    train: type[BaseModel]
    evaluate: type[BaseModel]
    modules: Mapping[str, str]

    @property
    def sections(self) -> dict[str, type[BaseModel]]:
        """The sections of a configuration, each with its options, in the order of the steps."""
        return {
            "ingest": self.ingest,
            "validate": ValidateOptions,
            "transform": self.transform,
            "train": self.train,
            "evaluate": self.evaluate,
            "drift": DriftOptions,
            "gate": GateOptions,
            "push": PushOptions,
        }

    def component(self, step: str) -> Any:
        """The step as a Kubeflow component."""
        package = self.modules.get(step, f"components.{step}")
        return getattr(importlib.import_module(f"{package}.component"), step)

    def snapshot_digest(self, source: str) -> str:
        """Identifies the content of a source of such data.

        Raises:
            ConfigError: no source has the URI's scheme.
            DataError: there is no file, or one cannot be read.
        """
        digest: str = self._sources().snapshot_digest(source)
        return digest

    def source_files(self, source: str) -> list[Path]:
        """The files behind a source of such data.

        Raises:
            ConfigError: no source has the URI's scheme.
            DataError: there is no file.
        """
        files: list[Path] = self._sources().source_files(source)
        return files

    def _sources(self) -> Any:
        package = self.modules.get("ingest", "components.ingest")
        return importlib.import_module(f"{package}.sources")


def _modules(modality: str) -> dict[str, str]:
    own = {step: f"components.{step}.{modality}" for step in ("ingest", "transform", "evaluate")}
    return {**own, "train": "components.train.families"}


MODALITIES = {
    TEXT: Modality(TEXT, IngestOptions, TransformOptions, TrainOptions, EvaluateOptions, {}),
    IMAGE: Modality(
        IMAGE,
        IngestImageOptions,
        TransformImageOptions,
        FamilyTrainOptions,
        EvaluateImageOptions,
        _modules(IMAGE),
    ),
    TABLE: Modality(
        TABLE,
        IngestTableOptions,
        TransformTableOptions,
        FamilyTrainOptions,
        EvaluateTableOptions,
        _modules(TABLE),
    ),
}


def modality_of(name: object, where: Path | str) -> Modality:
    """The modality that a configuration or a person names.

    Args:
        name: what was given.
        where: what names it, for the message.

    Raises:
        ConfigError: there is none of that name.
    """
    if not isinstance(name, str) or name not in MODALITIES:
        accepted = ", ".join(MODALITIES)
        raise ConfigError(f"{where}: expected one of {accepted}. Received: {name!r}")
    return MODALITIES[name]

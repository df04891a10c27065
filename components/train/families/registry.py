"""Finds the families: each is a file of this package, named MODALITY_NAME.py."""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from components.errors import ConfigError
from components.options import explain

if TYPE_CHECKING:
    from components.train.families.family import Family

_BASES = {"image": "ImageFamily", "table": "TableFamily"}


def families(modality: str) -> list[str]:
    """Names of the families of a modality, sorted; imports none of them."""
    return sorted(_classes(modality))


def _classes(modality: str) -> dict[str, str]:
    """The class of each family, by the family's name."""
    if modality not in _BASES:
        return {}
    folders = importlib.import_module(__package__).__path__
    files = [path for folder in folders for path in Path(folder).glob(f"{modality}_*.py")]
    found = {path.stem.removeprefix(f"{modality}_"): _class_in(path, modality) for path in files}
    return {name: written for name, written in found.items() if written}


@functools.cache
def _class_in(path: Path, modality: str) -> str | None:
    """The class in a file that derives from the modality's base; helpers have none."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            if _BASES[modality] in bases:
                return node.name
    return None


def family_class(modality: str, name: str) -> type[Family]:
    """Imports a family.

    Args:
        modality: 'image' or 'table'.
        name: one of `families(modality)`.

    Raises:
        ConfigError: there is no such family.
    """
    classes = _classes(modality)
    if name not in classes:
        accepted = ", ".join(sorted(classes)) or f"none; modalities are {', '.join(_BASES)}"
        raise ConfigError(
            f"train.family: expected a family of modality {modality} ({accepted}). "
            f"Received: {name!r}"
        )
    module = importlib.import_module(f"{__package__}.{modality}_{name}")
    found: type[Family] = getattr(module, classes[name])
    return found


def make_family(
    name: str,
    family_options: Mapping[str, Any],
    statistics: Mapping[str, Any],
    *,
    dropout: float = 0.0,
    seed: int = 0,
) -> Family:
    """Builds a family with fresh weights for the data at hand.

    Args:
        name: as `families` lists them.
        family_options: fields of its `Options`.
        statistics: what the transform step wrote of the data; its `modality` decides.
        dropout: share of activations dropped in training.
        seed: of the initial weights.

    Raises:
        ConfigError: no such family, an option it does not take, or data it cannot model.
    """
    kind = family_class(statistics.get("modality", "text"), name)
    try:
        options = kind.Options.model_validate(dict(family_options))
    except pydantic.ValidationError as error:
        accepted = ", ".join(kind.Options.model_fields)
        lines = "; ".join(explain(error, "train.family_options"))
        raise ConfigError(f"{lines}; {name} takes {accepted}") from None
    return kind(options, statistics, dropout=dropout, seed=seed)

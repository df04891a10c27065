"""Families are found by their files, and mistakes about them name what is accepted."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from components.errors import ConfigError
from components.train.families.family import ImageFamily
from components.train.families.registry import families, family_class, make_family

STATISTICS: dict[str, Any] = {"modality": "image", "shape": [8, 8, 1], "labels": ["a"]}


def test_a_file_with_a_family_is_one_and_a_helper_is_none() -> None:
    assert {"diffusion", "gan", "rbm", "vae"} <= set(families("image"))
    assert not {"export", "layers"} & set(families("image"))
    assert families("text") == []


def test_listing_families_imports_no_tensorflow() -> None:
    script = (
        "import sys; from components.train.families.registry import families; "
        "assert families('image'); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_listed_image_family_is_one() -> None:
    for name in families("image"):
        kind = family_class("image", name)
        assert issubclass(kind, ImageFamily)
        for field, info in kind.Options.model_fields.items():
            assert info.description, (name, field)


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"\(.*gan.*vae.*\)\. Received: 'wae'"):
        family_class("image", "wae")


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"train\.family_options\.depth: .*rbm takes hidden, "):
        make_family("rbm", {"depth": 3}, STATISTICS)
    with pytest.raises(ConfigError, match=r"hidden.*greater than or equal to 1.*Received: 0"):
        make_family("rbm", {"hidden": 0}, STATISTICS)

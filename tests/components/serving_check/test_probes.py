"""Every signature is asked something; what cannot be asked is a user's mistake in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.artifacts import WARMUP_FILE
from components.errors import ModelError
from components.serving_check.probes import SEEDS, probes
from components.serving_check.worker import decode


def test_warmup_requests_are_sent_and_sent_with_other_seeds(toy: Path) -> None:
    found = [one for one in probes(toy) if one["signature"] == "answer"]
    seeds = [decode(one["inputs"]["seed"]).tolist() for one in found]
    assert seeds == [[3, 4], *([seed, seed] for seed in SEEDS)]
    assert {tuple(decode(one["inputs"]["prompt"])) for one in found} == {(b"a", b"b")}


def test_an_alias_is_sent_what_its_twin_is_sent(toy: Path) -> None:
    found = probes(toy)
    first, second = (
        [one["inputs"] for one in found if one["signature"] == name]
        for name in ("answer", "serving_default")
    )
    assert first == second
    assert first


def test_a_signature_without_requests_is_named(save: Any) -> None:
    with pytest.raises(ModelError, match="Received: none for answer, serving_default"):
        probes(save(warmup=False))


def test_broken_files_are_named(tmp_path: Path, save: Any) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff no model")
    with pytest.raises(ModelError, match="expected a readable SavedModel"):
        probes(tmp_path)
    model = save()
    (model / WARMUP_FILE).write_bytes(b"no record at all, and long enough for a header")
    with pytest.raises(ModelError, match="expected warmup requests in"):
        probes(model)

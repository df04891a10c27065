"""Which version a new model has to beat."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import saved_model_digest
from components.champion.component import champion
from components.errors import AlteredModelError, ConfigError
from components.push.champion import AUTO, find_champion, resolve_champion, served_version

Make = Callable[..., Any]


def resolved(base: Path, fingerprint: str) -> Path | None:
    """The folder of the champion, whose digest is that of its model."""
    found = resolve_champion(base, "text", fingerprint)
    if found is None:
        return None
    assert found[1] == saved_model_digest(found[0])
    return found[0]


def test_nothing_published_means_no_champion(tmp_path: Path) -> None:
    assert resolved(tmp_path / "models", "f") is None


def test_the_newest_version_is_the_champion(candidate: Make, tmp_path: Path) -> None:
    for name in "ab":
        candidate(name).push(tmp_path, inputs_fingerprint=name)
    assert resolved(tmp_path, "c") == tmp_path / "text" / "2"
    assert resolved(tmp_path, "a") == tmp_path / "text" / "2"


def test_a_repeated_run_meets_the_champion_it_first_met(candidate: Make, tmp_path: Path) -> None:
    first = candidate("a").push(tmp_path, inputs_fingerprint="a", champion="")
    assert resolved(tmp_path, "a") is None
    candidate("b").push(tmp_path, inputs_fingerprint="b", champion=str(first.path))
    assert resolved(tmp_path, "b") == first.path
    shutil.rmtree(first.path)
    assert resolved(tmp_path, "b") is None


def test_a_moved_folder_still_knows_its_champion(candidate: Make, tmp_path: Path) -> None:
    first = candidate("a").push(tmp_path / "old", inputs_fingerprint="a", champion="")
    candidate("b").push(tmp_path / "old", inputs_fingerprint="b", champion=str(first.path))
    (tmp_path / "old").rename(tmp_path / "new")
    assert resolved(tmp_path / "new", "b") == tmp_path / "new" / "text" / "1"


def test_a_version_published_by_other_means_is_a_champion_too(tmp_path: Path) -> None:
    (tmp_path / "text" / "5").mkdir(parents=True)
    (tmp_path / "text" / "5" / "saved_model.pb").write_bytes(b"")
    assert resolved(tmp_path, "") == tmp_path / "text" / "5"


def test_finding_the_champion_imports_nothing_heavy() -> None:
    code = (
        "import sys, components.push.champion, components.push.push;"
        "print([n for n in ('tensorflow','numpy','pyarrow','kfp') if n in sys.modules])"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_a_step_finds_it_with_the_digest_of_its_model(candidate: Make, tmp_path: Path) -> None:
    assert find_champion(AUTO, str(tmp_path), "text", "a") == ("", "")
    assert find_champion(AUTO, "", "text", "a") == ("", "")
    first = candidate("a").push(tmp_path, inputs_fingerprint="a")
    candidate("b").push(tmp_path, inputs_fingerprint="b")
    newest = tmp_path / "text" / "2"
    expected = (str(newest), saved_model_digest(newest))
    assert find_champion(AUTO, str(tmp_path), "text", "c") == expected
    assert find_champion("", str(tmp_path), "text", "c") == ("", "")
    asked = str(first.path)
    assert find_champion(asked, "", "text", "c") == (asked, saved_model_digest(first.path))
    provenance = {"inputs_fingerprint": "c"}
    assert champion.python_func(AUTO, str(tmp_path), "text", provenance, "") == expected
    # What lies on the volume already needs no copy there.
    keep = str(tmp_path / "champions")
    assert champion.python_func(AUTO, str(tmp_path), "text", {}, keep) == expected
    assert not (tmp_path / "champions").exists()
    assert served_version(*expected) == newest
    assert served_version("", "") is None


def test_a_folder_without_a_version_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"champion expects 'auto'.*Received: '/nowhere'"):
        find_champion("/nowhere", str(tmp_path), "text", "a")


def test_a_repeated_run_on_a_cluster_meets_the_champion_of_its_decision(
    candidate: Make, tmp_path: Path
) -> None:
    candidate("a").push(tmp_path, inputs_fingerprint="a", champion="")
    second = candidate("b").push(tmp_path, inputs_fingerprint="b", champion="")
    decision = second.provenance_folder / "decision.json"
    content = json.loads(decision.read_text("utf-8"))
    decision.write_text(json.dumps({**content, "champion_version": 1}), "utf-8")
    assert resolved(tmp_path, "b") == tmp_path / "text" / "1"


def test_a_champion_whose_files_were_changed_since_is_one_line(
    candidate: Make, tmp_path: Path
) -> None:
    version = candidate("a").push(tmp_path, inputs_fingerprint="a")
    found = find_champion(AUTO, str(tmp_path), "text", "b")
    next((version.path / "variables").iterdir()).write_bytes(b"torn")
    with pytest.raises(AlteredModelError, match=r"changed or lost since\. Restore them") as raised:
        resolve_champion(tmp_path, "text", "b")
    assert "\n" not in str(raised.value)
    with pytest.raises(AlteredModelError, match="changed or replaced meanwhile"):
        served_version(*found)

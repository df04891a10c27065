"""A folder that cannot be loaded says why, with a code."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.server.errors import StatusError
from serving.server.loading import load


def empty(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def gone(path: Path) -> None:
    shutil.rmtree(path)


def garbage(path: Path) -> None:
    (path / "saved_model.pb").write_bytes(b"not a model")


def nothing_in_it(path: Path) -> None:
    (path / "saved_model.pb").write_bytes(b"")


def without_variables(path: Path) -> None:
    shutil.rmtree(path / "variables")


def cut_variables(path: Path) -> None:
    (file,) = (path / "variables").glob("*.data-*")
    file.write_bytes(file.read_bytes()[:2])


def a_folder_for_a_file(path: Path) -> None:
    (path / "saved_model.pb").unlink()
    (path / "saved_model.pb").mkdir()


@pytest.mark.parametrize(
    ("damage", "code", "reason"),
    [
        (empty, "NOT_FOUND", "SavedModel file does not exist at"),
        (gone, "NOT_FOUND", "SavedModel file does not exist at"),
        (garbage, "DATA_LOSS", "Cannot parse file"),
        (nothing_in_it, "FAILED_PRECONDITION", "tags 'serve' could not be found"),
        (without_variables, "NOT_FOUND", "Failed to find any matching files"),
        (cut_variables, "", ""),
        (a_folder_for_a_file, "FAILED_PRECONDITION", "Is a directory"),
    ],
)
def test_a_damaged_version_is_one_line_with_a_code(
    saved_models: dict[str, Path],
    tmp_path: Path,
    damage: Callable[[Path], None],
    code: str,
    reason: str,
) -> None:
    path = tmp_path / "1"
    shutil.copytree(saved_models["first"], path)
    damage(path)
    with pytest.raises(StatusError) as failed:
        load(path, warmup_iterations=1)
    assert failed.value.code.name == code or not code
    assert reason in failed.value.message
    assert failed.value.message
    assert "\n" not in failed.value.message


def test_a_whole_version_is_loaded(saved_models: dict[str, Path]) -> None:
    model, replayed = load(saved_models["first"], warmup_iterations=1)
    assert replayed == 1
    assert "generate" in model.signature_defs


def test_other_threads_get_the_interpreter_more_often_meanwhile(
    saved_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.server import predict

    usual, seen = sys.getswitchinterval(), []
    genuine = predict.LoadedModel

    def observed(path: Path) -> predict.LoadedModel:
        seen.append(sys.getswitchinterval())
        return genuine(path)

    monkeypatch.setattr(predict, "LoadedModel", observed)
    load(saved_models["first"], warmup_iterations=1)
    assert seen[0] < usual / 2
    assert sys.getswitchinterval() == usual

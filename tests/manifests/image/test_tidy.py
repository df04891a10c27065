"""An environment of the image is pruned, compiled and dated so that a second build is the same."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tidy() -> ModuleType:
    # A program of the image's build, which is not in the image.
    spec = importlib.util.spec_from_file_location("tidy", ROOT / "manifests" / "image" / "tidy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packages(root: Path) -> Path:
    folder = root / "lib" / "python3.13" / "site-packages"
    for name in ("one/__init__.py", "one/tests/test_a.py", "two/tests/__init__.py", "two/b.a"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("WORDS = {'a', 'b', 'c'}\nFOUND = 'b' in {'a', 'b', 'c'}\n", "utf-8")
    return folder


def test_only_what_is_named_is_pruned(tidy: ModuleType, tmp_path: Path) -> None:
    folder = packages(tmp_path)
    size = (folder / "one/tests/test_a.py").stat().st_size
    listed = "# why\n\none/tests\n**/*.a gpu\ntwo/tests tfx\nabsent\n"
    freed = tidy.prune(folder, listed, "tfx")
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == ["one/__init__.py", "two/tests/__init__.py"]
    assert freed == 2 * size


def test_two_environments_of_the_same_files_are_the_same(tidy: ModuleType, tmp_path: Path) -> None:
    seen = []
    for name in ("first", "second"):
        # The bytecode names the files, so both lie at the same place, as in an image.
        (tmp_path / "at").unlink(missing_ok=True)
        packages(tmp_path / name)
        (tmp_path / "at").symlink_to(tmp_path / name)
        folder = tmp_path / "at" / "lib" / "python3.13" / "site-packages"
        tidy.compile_bytecode(folder, Path(sys.executable))
        tidy.date(tmp_path / name)
        archive = ["tar", "--sort=name", "-C", str(tmp_path / name), "-c", "."]
        seen.append(subprocess.run(archive, check=True, capture_output=True).stdout)
    assert seen[0] == seen[1]
    assert b"one/__pycache__/__init__" in seen[0]
    assert b"two/tests/__pycache__" not in seen[0]


def test_the_list_of_what_is_left_out_keeps_what_is_used() -> None:
    listed = (ROOT / "manifests" / "image" / "prune.txt").read_text("utf-8").splitlines()
    patterns = [line for line in listed if line and not line.startswith("#")]
    # evidently.tests and the like are interfaces, not test suites.
    assert "**/tests" not in patterns
    assert len(patterns) == len(set(patterns))

"""TFX's own Transform component takes our preprocessing_fn, and gives what our step gives."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]

Inside = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = Path(__file__).with_name("tfx_transform.py")


@pytest.mark.parametrize("modality", ["text", "image", "table"])
def test_transform_by_tfx_is_our_transform(
    inside_tfx: Inside, modality: str, tmp_path: Path
) -> None:
    given = [
        f"--user={os.getuid()}:{os.getgid()}",
        f"--volume={tmp_path}:{tmp_path}",
        f"--volume={PROGRAM}:{PROGRAM}:ro",
    ]
    done = inside_tfx("python3", str(PROGRAM), modality, str(tmp_path), options=given)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.strip().splitlines()[-1])
    assert report["tfx"].startswith("1.21")
    assert all(count > 5 for count in report["compared"].values()), report
    assert report["differences"] == 0, report["first"]
    # Rows that our step leaves out, TFX's marks; none is ours alone.
    assert all(ours == 0 for ours, _ in report["only_ours_theirs"].values()), report
    assert report["specs_same"]

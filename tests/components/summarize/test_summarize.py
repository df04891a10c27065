"""The summary says how a run ended, whatever it left behind."""

from pathlib import Path

from components.artifacts import Decision, Evaluation, read_json, write_json
from components.summarize.records import Records, gather
from components.summarize.summarize import run

REASON = "1 of 2 rules failed: bits_per_byte 3.1 is above 2.2"


def judged(folder: Path, *, approved: bool) -> Path:
    figures = {"figures": {"bits_per_byte": {"value": 3.1}, "yardsticks.xz": {"value": 2.2}}}
    Evaluation(folder / "evaluation").write(figures, "<html>")
    decision = {"approved": approved, "reason": REASON}
    Decision(folder / "decision").write(decision, "<html>")
    records = folder / "records"
    gather(records, [folder / "evaluation", folder / "decision"])
    return records


def test_a_run_that_failed_early_is_summed_up(tmp_path: Path) -> None:
    text = run("FAILED", "task ingest failed", tmp_path / "records")
    assert "# Run failed" in text
    assert "task ingest failed" in text
    assert read_json(Records(tmp_path / "records").summary_path)["outcome"] == "failed"


def test_a_rejected_model_comes_with_the_gates_reason(tmp_path: Path) -> None:
    records = judged(tmp_path, approved=False)
    text = run("SUCCEEDED", "", records)
    assert "# Run rejected" in text
    assert REASON in text
    assert "| bits_per_byte | 3.1 |" in text
    assert Records(records).markdown_path.read_text("utf-8") == text


def test_a_pushed_model_comes_with_its_version(tmp_path: Path) -> None:
    records = judged(tmp_path, approved=True)
    pushed = {"version": 7, "path": "/models/text/7", "model_digest": "d"}
    write_json(Records(records).pushed_path, pushed)
    text = run("SUCCEEDED", "", records)
    assert "# Run pushed" in text
    assert "version 7 at `/models/text/7`" in text
    summary = read_json(Records(records).summary_path)
    assert summary["pages"] == ["decision.html", "evaluation.html"]


def test_a_run_without_a_folder_of_records_is_summed_up_too() -> None:
    assert run("FAILED", "out of memory", None) == "# Run failed\n\n**Error:** out of memory\n"

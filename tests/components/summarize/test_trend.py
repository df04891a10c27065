"""The page of the trend compares a run with those before it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from components.artifacts import Drift, Evaluation, Figure, read_json
from components.summarize.summarize import run


def record(root: Path, name: str, share: float, bits: float) -> Path:
    folder = root / name
    moved = {
        f"{comparison}.drift_share": dataclasses.asdict(Figure(value, samples=100))
        for comparison, value in (("data", share), ("prompt", share / 2), ("reference", 0.0))
    }
    Drift(folder).write({"figures": moved}, "")
    figures = {
        "bits_per_byte": Figure(bits, better="lower", label="Bits <per> byte"),
        "yardsticks.xz": Figure(2.0, label="xz"),
    }
    measured = {key: dataclasses.asdict(figure) for key, figure in figures.items()}
    Evaluation(folder).write({"figures": measured}, "")
    return folder


def test_a_first_run_has_no_trend(tmp_path: Path) -> None:
    folder = record(tmp_path, "20261123-100000", 0.5, 2.0)
    run("SUCCEEDED", "", folder)
    assert not (folder / "trend.html").exists()


def test_the_trend_tells_the_newest_run_and_those_before(tmp_path: Path) -> None:
    for place, share in enumerate((0.1, 0.2, 0.4, 0.8)):
        folder = record(tmp_path, f"2026112{place}-100000", share, 2.0 - place / 10)
    record(tmp_path, "20261130-100000", 0.99, 9.0)
    (tmp_path / "20261122-999999").mkdir()
    Drift(tmp_path / "20261122-888888").write({"other": 1}, "")
    run("SUCCEEDED", "", folder)
    html = (folder / "trend.html").read_text("utf-8")
    assert "Trend over 4 runs" in html
    assert (
        "Since the run before, 20261122-100000: Bits &lt;per&gt; byte (lower is better) fell from "
        "1.800 to 1.700; measures of the current data that moved rose from 40% to 80%; measures of "
        "the users&#39; requests that moved rose from 20% to 40%; measures of the training data "
        "that moved stayed at 0%."
    ) in html
    # Between two runs there is none.
    assert ">1.5</span>" not in html
    assert "median of 3 before: 20%" in html
    for subject in ("Current data", "Users&#39; requests", "Training data"):
        assert f"{subject}: measures that moved" in html
    assert "median of 3 before: 10%" in html
    assert "median of 3 before: 1.900" in html
    assert "Bits &lt;per&gt; byte" in html
    for absent in ("99%", "20261130", "xz"):
        assert absent not in html
    assert "trend.html" in read_json(folder / "summary.json")["pages"]


def test_a_run_that_failed_before_its_drift_report_has_no_trend(tmp_path: Path) -> None:
    record(tmp_path, "20261123-100000", 0.5, 2.0)
    record(tmp_path, "20261123-110000", 0.5, 2.0)
    folder = tmp_path / "20261123-120000"
    run("FAILED", "out of disk", folder)
    assert not (folder / "trend.html").exists()

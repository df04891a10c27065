"""A loss of diversity from version to version is followed, and noise is not taken for one."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.artifacts import Decision, Drift, Evaluation, Figure, Model, Published
from components.gate.gate import run
from components.gate.lineage import FIGURES, Generation, read_lineage, trend
from components.gate.options import GateOptions

TREND = {"metric": FIGURES[0], "at_least": 0, "end": "best"}


def write(path: Path, figures: dict[str, Figure], digest: str = "m", data: str = "e") -> Evaluation:
    told = {name: dataclasses.asdict(figure) for name, figure in figures.items()}
    Evaluation(path).write({"figures": told, "model_digest": digest, "eval_digest": data}, "")
    return Evaluation(path)


def distinct(value: float, human: float = 0.8) -> dict[str, Figure]:
    return {
        "distinct_2": Figure(value, value - 0.02, value + 0.02, 64, "share", label="Distinct"),
        "human.distinct_2": Figure(human, human - 0.02, human + 0.02, 64, "share"),
    }


def versions(root: Path, values: list[float], **others: Any) -> Path:
    """Published versions of these diversities; the newest one's folder."""
    for number, value in enumerate(values, 1):
        version = Published(root / "models" / "text" / str(number))
        version.provenance_folder.mkdir(parents=True)
        (version.path / "saved_model.pb").write_bytes(b"")
        write(version.provenance_folder, distinct(value), **others)
    return version.path


def test_a_steady_loss_is_found(tmp_path: Path) -> None:
    champion = versions(tmp_path, [0.7, 0.63, 0.567, 0.51])
    lineage = read_lineage(write(tmp_path / "run", distinct(0.46)), champion)
    slope, change = (lineage.figures[name] for name in FIGURES)
    assert slope.value == pytest.approx(math.log(0.9), abs=0.01)
    assert slope.high is not None
    assert slope.high < 0
    assert change.value == pytest.approx(0.46 / 0.7 - 1, abs=0.01)
    assert [one.name for one in lineage.generations][::4] == ["version 1", "this model"]


def test_ups_and_downs_are_no_loss(tmp_path: Path) -> None:
    champion = versions(tmp_path, [0.6, 0.7, 0.55, 0.68])
    slope = read_lineage(write(tmp_path / "run", distinct(0.6)), champion).figures[FIGURES[0]]
    assert slope.low is not None
    assert slope.high is not None
    assert slope.low < 0 < slope.high


def test_what_real_data_lose_is_no_loss_of_the_model(tmp_path: Path) -> None:
    values = [0.7, 0.63, 0.567, 0.51]
    champion = versions(tmp_path, values)
    for number, value in enumerate(values, 1):
        folder = Published(champion.parent / str(number)).provenance_folder
        write(folder, distinct(value, human=value), data=f"era {number}")
    lineage = read_lineage(write(tmp_path / "run", distinct(0.46, human=0.46)), champion)
    assert lineage.figures[FIGURES[0]].value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_too_few_versions_say_so(tmp_path: Path, before: int) -> None:
    champion = versions(tmp_path, [0.6] * before) if before else None
    lineage = read_lineage(write(tmp_path / "run", distinct(0.1)), champion)
    assert lineage.figures == {}
    assert lineage.not_yet[FIGURES[0]].startswith(f"{before + 1} of the 4 generations")


def test_versions_after_the_champion_do_not_count(tmp_path: Path) -> None:
    newest = versions(tmp_path, [0.6] * 6)
    lineage = read_lineage(write(tmp_path / "run", distinct(0.6)), newest.parent / "3")
    assert [one.name for one in lineage.generations][-2:] == ["version 3", "this model"]


def test_versions_that_tell_nothing_are_passed_over(tmp_path: Path) -> None:
    champion = versions(tmp_path, [0.6, 0.6, 0.6, 0.6])
    folders = [Published(champion.parent / str(n)).provenance_folder for n in (1, 2)]
    Evaluation(folders[0]).json_path.unlink()
    write(folders[1], {"distinct_2": Figure(0.6), "human.distinct_2": Figure(0.8)})
    lineage = read_lineage(write(tmp_path / "run", distinct(0.6)), champion)
    assert [one.name for one in lineage.generations] == ["version 3", "version 4", "this model"]
    assert "3 of the 4" in lineage.not_yet[FIGURES[0]]


@pytest.mark.parametrize(
    ("measure", "real"), [("recall", "floor.recall"), ("coverage", "floor.coverage")]
)
def test_each_modality_has_its_measure(tmp_path: Path, measure: str, real: str) -> None:
    figures = {measure: Figure(0.0, 0.0, 0.05, 70, "share"), real: Figure(0.9, 0.8, 0.95, 70)}
    lineage = read_lineage(write(tmp_path, figures), None)
    assert lineage.measure == measure
    # Nothing out of seventy is not minus infinity.
    assert lineage.generations[0].value == pytest.approx(math.log(0.5 / 71 / 0.9))


def test_without_a_measure_a_rule_fails(tmp_path: Path) -> None:
    lineage = read_lineage(write(tmp_path, {"other": Figure(1.0)}), None)
    assert (lineage.figures, lineage.not_yet) == ({}, {})


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(600):
        own = rng.uniform(0.01, 0.05, 7)
        values = -0.03 * np.arange(7) + rng.normal(0, np.hypot(own, 0.03))
        found = trend(
            [Generation("", float(y), float(s)) for y, s in zip(values, own, strict=True)], ""
        )[FIGURES[0]]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= -0.03 <= found.high
    assert 0.925 <= covered / 600 <= 0.99


def test_a_decision_holds_its_lineage_and_the_page_shows_it(tmp_path: Path) -> None:
    model = Model(tmp_path / "model").saved_model
    model.mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    champion = versions(tmp_path, [0.7, 0.63, 0.567, 0.51])
    write(tmp_path / "run", distinct(0.46), Model(tmp_path / "model").digest())
    Drift(tmp_path / "run").write({"figures": {}}, "")
    rules = GateOptions.model_validate({"rules": [TREND]})
    folders = (tmp_path / "model", tmp_path / "run", tmp_path / "run")
    assert not run(*folders, rules, champion, tmp_path / "run")
    decision = Decision(tmp_path / "run")
    assert "is below 0" in decision.read()["reason"]
    assert len(decision.read()["lineage"]["generations"]) == 5
    page = decision.html_path.read_text("utf-8")
    assert "Diversity over the generations" in page
    assert "less varied with each generation" in page
    assert "unless beyond doubt broken" in page

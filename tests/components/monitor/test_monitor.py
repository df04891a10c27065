"""Planted drift is found in every modality; an odd window gets one clear verdict, and a page."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import MonitoringReport, ServingLog
from components.drift.options import DriftOptions
from components.monitor.monitor import run
from components.monitor.options import MonitorOptions, MonitorRule

WriteLog = Callable[..., ServingLog]
Row = Callable[..., dict[str, Any]]
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
WORDS = [
    "the",
    "congress",
    "of",
    "these",
    "united",
    "states",
    "shall",
    "lay",
    "taxes",
    "and",
    "provide",
    "for",
    "common",
    "welfare",
]
SLANG = ["omg", "pls", "gimme", "1", "tweet", "bout", "crypto", "rn", "lol", "k", "thx", "4", "u"]


def judged(log: ServingLog, folder: Path, *rules: MonitorRule) -> dict[str, Any]:
    options = MonitorOptions(rules=list(rules)) if rules else MonitorOptions()
    return run(log.path, options, DriftOptions(), folder / "report")


def drift_rule(name: str, severity: str = "retrain") -> MonitorRule:
    return MonitorRule(
        metric=f"drift.{name}.drift_share",
        at_most=0.3,
        min_samples=30,
        severity=severity,  # type: ignore[arg-type]
    )


def sentences(words: Sequence[str], count: int, seed: int) -> list[str]:
    draws = random.Random(seed)
    return [" ".join(draws.choices(words, k=draws.randint(5, 12))) for _ in range(count)]


def test_planted_drift_of_prompts_is_found_and_dated(
    write_log: WriteLog, request_row: Row, tmp_path: Path
) -> None:
    reference = [
        request_row(f"r{n}", inputs={"prompt": text})
        for n, text in enumerate(sentences(WORDS, 200, 1))
    ]
    changed = NOON - timedelta(minutes=30)
    texts = sentences(WORDS, 150, 2) + sentences(SLANG, 150, 3)
    window = [
        request_row(
            f"w{n}",
            inputs={"prompt": text},
            created=NOON - timedelta(seconds=3600 - 12 * n),
        )
        for n, text in enumerate(texts)
    ]
    history = [
        {"created": "2026-11-28T09:00:00", "verdict": "ok", "requests": 10, "figures": {}},
        {
            "created": "2026-11-28T10:00:00",
            "verdict": "retrain",
            "requests": 10,
            "figures": {"drift.prompt.drift_share": 0.4, "latency.p95_ms": 20.0},
        },
    ]
    log = write_log(window, reference, history=history, notes=["the last line was cut off"])
    content = judged(log, tmp_path, drift_rule("prompt"), drift_rule("output", "alert"))
    assert content["verdict"] == "retrain"
    assert content["reason"].startswith("drift.prompt.drift_share: ")
    assert content["figures"]["drift.output.drift_share"]["value"] == 0
    told = " ".join(content["headline"])
    assert "What people ask differs from what was asked of this version at first" in told
    assert "It has been so since 2026-11-28 10:00 UTC." in told
    # Dated to the minute, at the slice of time that the change falls into.
    assert f"since {changed:%Y-%m-%d} 11:" in told
    assert any("train on data like them" in line for line in content["suggestions"])
    html = MonitoringReport(tmp_path / "report").html_path.read_text("utf-8")
    for expected in ("Trend", "About the log", "the last line was cut off", "words unseen at"):
        assert expected in html
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_the_same_prompts_are_no_drift(
    write_log: WriteLog, request_row: Row, tmp_path: Path
) -> None:
    sides = [
        [
            request_row(f"{seed}-{n}", inputs={"prompt": text})
            for n, text in enumerate(sentences(WORDS, 200, seed))
        ]
        for seed in (1, 2)
    ]
    content = judged(write_log(*sides), tmp_path, drift_rule("prompt"))
    assert content["verdict"] == "ok"
    assert content["headline"][0] == "1 of 1 rules hold."


def test_an_empty_window_says_so_in_one_line(
    write_log: WriteLog, request_row: Row, tmp_path: Path
) -> None:
    content = judged(write_log([], [request_row("a")]), tmp_path)
    assert (content["verdict"], content["reason"]) == (
        "insufficient",
        "no request came in the window",
    )
    assert (tmp_path / "report" / "monitoring.html").is_file()


def test_the_first_window_has_nothing_to_be_held_against(
    write_log: WriteLog, request_row: Row, tmp_path: Path
) -> None:
    log = write_log([request_row(f"w{n}") for n in range(100)])
    content = judged(log, tmp_path, drift_rule("prompt"))
    assert content["verdict"] == "insufficient"
    assert "the first ones that the version answers become the reference" in content["reason"]


@pytest.mark.parametrize("other", ["The Congress", "omg"])
def test_one_value_only(write_log: WriteLog, request_row: Row, tmp_path: Path, other: str) -> None:
    reference = [request_row(f"r{n}") for n in range(60)]
    window = [request_row(f"w{n}", inputs={"prompt": other}) for n in range(60)]
    content = judged(write_log(window, reference), tmp_path, drift_rule("prompt"))
    assert content["verdict"] == ("ok" if other == "The Congress" else "retrain")


def test_all_missing(write_log: WriteLog, request_row: Row, tmp_path: Path) -> None:
    sides = [
        [request_row(f"{seed}-{n}", inputs={}, outputs=None) for n in range(60)] for seed in (1, 2)
    ]
    content = judged(write_log(*sides), tmp_path, drift_rule("prompt"))
    assert content["verdict"] == "insufficient"
    assert "0 requests of the window have it" in content["reason"]


def test_all_failed(write_log: WriteLog, request_row: Row, tmp_path: Path) -> None:
    window = [request_row(f"w{n}", status="error", outputs=None) for n in range(60)]
    content = judged(write_log(window), tmp_path)
    assert content["verdict"] == "alert"
    assert content["reason"].startswith("errors.share: 1 ")


def picture(brightness: int, draws: random.Random) -> str:
    from PIL import Image

    image = Image.new("L", (8, 8))
    image.putdata([min(255, brightness + draws.randint(0, 40)) for _ in range(64)])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_classes_asked_for_and_images_drawn_are_watched(
    write_log: WriteLog, request_row: Row, tmp_path: Path
) -> None:
    draws = random.Random(0)

    def rows(name: str, classes: list[str], brightness: int) -> list[dict[str, Any]]:
        return [
            request_row(
                f"{name}{n}",
                inputs={"class": draws.choice(classes), "n": 1, "seed": n, "parameters": {}},
                outputs={
                    "image": [{"b64": picture(brightness, draws)}],
                    "label": ["shoe"],
                    "seed": [n],
                },
            )
            for n in range(120)
        ]

    log = write_log(
        rows("w", ["shoe", "bag", "coat"], 160), rows("r", ["shoe", "bag"], 60), modality="image"
    )
    content = judged(log, tmp_path, drift_rule("prompt"), drift_rule("output"))
    assert content["figures"]["drift.prompt.drift_share"]["value"] == 1
    assert content["figures"]["drift.output.score.image brightness"]["value"] > 1
    assert content["verdict"] == "retrain"
    assert not any(name.endswith("seed") for name in content["figures"])


def test_conditions_and_rows_of_tables_are_watched(
    write_log: WriteLog, request_row: Row, tmp_path: Path
) -> None:
    draws = random.Random(0)

    def rows(name: str, delay: float) -> list[dict[str, Any]]:
        return [
            request_row(
                f"{name}{n}",
                inputs={
                    "num_rows": draws.choice([1, 5]),
                    "conditions": {"carrier": draws.choice(["UA", "DL"])},
                },
                outputs={
                    "carrier": [draws.choice(["UA", "DL"]) for _ in range(4)],
                    "delay": [draws.gauss(delay, 5) if m else None for m in range(4)],
                },
            )
            for n in range(120)
        ]

    log = write_log(rows("w", 20), rows("r", 0), modality="table")
    content = judged(log, tmp_path, drift_rule("output"), drift_rule("prompt", "alert"))
    assert content["figures"]["drift.prompt.drift_share"]["value"] == 0
    assert content["figures"]["drift.output.score.delay"]["value"] > 1
    assert content["verdict"] == "retrain"
    assert json.loads(MonitoringReport(tmp_path / "report").json_path.read_text("utf-8"))

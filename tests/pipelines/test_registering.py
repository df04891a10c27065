"""Runs enter the registry from the records that they leave."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.artifacts import Decision, Drift, Evaluation, Figure, write_json
from components.errors import DataError
from components.summarize.records import Records
from components.summarize.summarize import run as summarize
from pipelines.cli import main
from pipelines.config import load_config
from pipelines.registering import register
from serving.store import open_store


def loomline(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def records(root: Path, name: str = "20261123-120000", *, pushed: bool = True) -> Path:
    """What a run of the shipped configuration leaves."""
    folder = root / "records" / name
    figures = {"bits_per_byte": dataclasses.asdict(Figure(1.9))}
    Evaluation(folder).write({"figures": figures}, "")
    Drift(folder).write({"figures": {"data.drift_share": dataclasses.asdict(Figure(0.5))}}, "")
    reason = "approved: all 3 rules pass" if pushed else "rejected: too long"
    Decision(folder).write({"approved": pushed, "reason": reason, "champion_version": 3}, "")
    if pushed:
        version = {"version": 4, "path": "/models/text/4", "model_digest": "m" * 64}
        write_json(Records(folder).pushed_path, version)
    config = load_config("text")
    provenance = {
        "run": name,
        "source_digest": "s" * 64,
        "code_digest": "c" * 64,
        "code_revision": "abc",
        "config_digest": config.digest(),
        "config": config.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    summarize("SUCCEEDED", "", folder, provenance)
    return folder


def test_a_run_is_entered_with_what_made_it(tmp_path: Path) -> None:
    folder, url = records(tmp_path), f"sqlite:///{tmp_path / 'store.sqlite'}"
    for _ in range(2):
        register(folder, url)
    with contextlib.closing(open_store(url)) as store:
        (run,) = store.registry.runs()
        (version,) = store.registry.versions()
    assert (run.model, run.run, run.outcome) == ("text", folder.name, "pushed")
    assert (run.reason, run.source, run.champion_version) == (
        "approved: all 3 rules pass", "sotu:", 3
    )  # fmt: skip
    assert run.figures == {"evaluation.bits_per_byte": 1.9, "drift.data.drift_share": 0.5}
    assert run.config["train"]["steps"] == load_config("text").parameters()["train_steps"]
    assert run.config_digest == load_config("text").digest()
    assert datetime.now(UTC) - run.finished < timedelta(minutes=5)
    assert (version.version, version.run, version.model_digest) == (4, folder.name, "m" * 64)


def test_what_was_not_pushed_has_no_version(tmp_path: Path) -> None:
    folder, url = records(tmp_path, pushed=False), f"sqlite:///{tmp_path / 'store.sqlite'}"
    done = loomline("runs", "add", folder, f"--store={url}")
    assert done.output == f"entered {folder.name}\n"
    with contextlib.closing(open_store(url)) as store:
        assert [run.outcome for run in store.registry.runs()] == ["rejected"]
        assert store.registry.versions() == []


def test_a_run_that_failed_early_is_entered_too(tmp_path: Path) -> None:
    folder, url = tmp_path / "20261123-130000", f"sqlite:///{tmp_path / 'store.sqlite'}"
    config = {"push": {"model_name": "text"}}
    summarize("FAILED", "ingest: no such file", folder, {"run": folder.name, "config": config})
    register(folder, url)
    with contextlib.closing(open_store(url)) as store:
        (run,) = store.registry.runs()
    assert (run.outcome, run.reason, run.figures) == ("failed", "ingest: no such file", {})


@pytest.mark.parametrize("damage", ["no summary", "garbage", "no provenance"])
def test_what_is_no_run_is_one_line(tmp_path: Path, damage: str) -> None:
    folder = records(tmp_path)
    path = Records(folder).summary_path
    if damage == "no summary":
        path.unlink()
    elif damage == "garbage":
        path.write_text("{")
    else:
        content = json.loads(path.read_text())
        del content["provenance"]
        path.write_text(json.dumps(content))
    with pytest.raises(DataError):
        register(folder, f"sqlite:///{tmp_path / 'store.sqlite'}")
    done = loomline("runs", "add", folder, f"--store=sqlite:///{tmp_path / 'store.sqlite'}")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_store_that_is_away_is_one_line(tmp_path: Path) -> None:
    done = loomline(
        "runs", "add", records(tmp_path), "--store=postgresql://me:hidden@127.0.0.1:1/x"
    )
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "hidden" not in done.stderr

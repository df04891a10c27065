"""Keys are made, listed and revoked by command; old requests go."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.comparing import compare
from serving.export.commands import export
from serving.gateway.metrics_command import metrics
from serving.store import RequestRecord, Store
from serving.store.audit_commands import audit
from serving.store.commands import keys, purge
from serving.store.output_commands import outputs
from serving.store.registry_commands import lineage, models, runs
from serving.store.request_commands import requests


def call(group: object, *arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments))  # type: ignore[arg-type]


def test_a_key_from_its_birth_to_its_end(store: Store, url: str) -> None:
    made = call(keys, "create", "the app", f"--store={url}", "--tokens-per-day=7", "--days=2")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    key = store.keys.find(secret)
    assert key is not None
    assert (key.name, key.tokens_per_day, key.admin) == ("the app", 7, False)
    assert key.problem(datetime.now(UTC)) is None
    assert key.problem(datetime.now(UTC) + timedelta(days=2)) is not None
    listed = call(keys, "list", f"--store={url}").output
    assert key.id in listed
    assert secret not in listed
    assert call(keys, "revoke", key.id, f"--store={url}").exit_code == 0
    assert "revoked" in call(keys, "list", f"--store={url}").output
    wrong = call(keys, "revoke", "nobody", f"--store={url}")
    assert wrong.exit_code == 2
    assert wrong.stderr == (
        "error: expected the id of a key (loomline keys list). Received: nobody\n"
    )


def test_old_requests_go(store: Store, url: str, record: Callable[..., RequestRecord]) -> None:
    store.requests.add([record("a", created=datetime.now(UTC) - timedelta(days=3)), record("b")])
    done = call(purge, f"--store={url}", "--days=2")
    assert "deleted 1 requests" in done.output
    assert [one.id for one in store.requests.recent(5)] == ["b"]


def test_what_a_model_answered_is_written(
    store: Store, url: str, record: Callable[..., RequestRecord], tmp_path: Path
) -> None:
    store.requests.add(
        [
            record("a", outputs={"text": "an answer"}, inputs={"prompt": "ask"}, version=3),
            record("b", outputs={"text": ""}),
            record("c", outputs=None),
            record("d", outputs={"text": "no", "x": 1}, status="error"),
            record("e", outputs={"text": "of another"}, model="other"),
        ]
    )
    path = tmp_path / "outputs.jsonl"
    done = call(outputs, f"--store={url}", f"--to={path}")
    assert done.output == f"{path}: 1 outputs\n"
    (line,) = map(json.loads, path.read_text("utf-8").splitlines())
    assert {name: line[name] for name in ("prompt", "text", "provenance")} == {
        "prompt": "ask",
        "text": "an answer",
        "provenance": "model:text:3",
    }
    wrong = call(outputs, f"--store={url}", f"--to={tmp_path / 'none' / 'a'}")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
    assert list(tmp_path.glob(".*")) == []


def test_all_pages_of_answers_are_written(
    store: Store,
    url: str,
    record: Callable[..., RequestRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.store.output_commands._PAGE", 2)
    store.requests.add([record(f"r{n}", outputs={"text": f"answer {n}"}) for n in range(5)])
    path = tmp_path / "outputs.jsonl"
    assert "5 outputs" in call(outputs, f"--store={url}", f"--to={path}").output


@pytest.mark.parametrize("days", ["nan", "1e12"])
def test_days_that_are_none_are_one_line(url: str, days: str) -> None:
    for done in (
        call(purge, f"--store={url}", f"--days={days}"),
        call(keys, "create", "x", f"--store={url}", f"--days={days}"),
    ):
        assert done.exit_code == 2
        assert done.stderr.startswith("error: expected fewer days")


def test_a_store_that_is_none_is_one_line() -> None:
    done = call(keys, "list", "--store=nothing")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: expected the store's URL as")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (audit, ["list"]),
        (audit, ["verify"]),
        (audit, ["export", "--to=log.jsonl"]),
        (compare, ["a", "b"]),
        (export, ["a", "--to=mlflow", "--tracking-uri=sqlite:///mlflow.sqlite"]),
        (keys, ["list"]),
        (lineage, ["a"]),
        (metrics, []),
        (models, []),
        (outputs, ["--to=outputs.jsonl"]),
        (purge, ["--days=1"]),
        (requests, ["export", "--to=requests.jsonl"]),
        (runs, ["list"]),
    ],
)
def test_what_reads_makes_no_store(
    command: object, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped path would else be an empty store whose log is unbroken."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "runs" / "store.sqlite"
    done = call(command, *arguments, f"--store=sqlite:///{path}")
    assert done.exit_code == 2
    assert done.stderr == (
        f"error: expected a store at {path}. Received: no such file; `loomline run` and the "
        "gateway make one, and --store names another\n"
    )
    assert list(tmp_path.iterdir()) == []

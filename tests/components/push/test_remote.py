"""A push to an object store: numbers, the champion, refusals, and a kill in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.artifacts import Model, Published, read_json
from components.errors import PublishError
from components.options import explain
from components.push.champion import resolve_champion
from components.push.options import PushOptions
from components.push.push import run
from components.summarize.records import Records, record_push
from serving import storage
from serving.storage import TakenError
from tests.components.push.conftest import Candidate

Make = Callable[..., Candidate]


def push(candidate: Candidate, base: str, **provenance: object) -> Published:
    options = PushOptions(model_name="text", base_path=base)
    return run(*candidate.folders, options, dict(provenance))


def test_a_push_publishes_the_next_version_with_its_provenance(
    remote: str, candidate: Make, tmp_path: Path
) -> None:
    first = push(candidate(), f"{remote}/models", run="first", inputs_fingerprint="a")
    assert first.location == f"{remote}/models/text/1"
    again = candidate("b")
    second = push(again, f"{remote}/models", inputs_fingerprint="b", champion=first.uri)
    assert storage.list_versions(f"{remote}/models/text") == {
        1: first.location,
        2: second.location,
    }
    storage.download_version(first.location, tmp_path / "fetched")
    assert Published(tmp_path / "fetched").provenance()["run"] == "first"
    # The same model again is no third version.
    assert push(again, f"{remote}/models").location == second.location

    record_push(tmp_path / "records", second)
    assert read_json(Records(tmp_path / "records").pushed_path)["path"] == second.location

    newest = resolve_champion(f"{remote}/models", "text", "c")
    assert newest is not None
    assert newest[0].name == "2"
    assert (newest[0] / "assets.extra" / "name.txt").read_text() == "b"
    # A run that would make version 2 again is compared with what version 2 was compared with.
    earlier = resolve_champion(f"{remote}/models", "text", "b")
    assert earlier is not None
    assert (earlier[0] / "assets.extra" / "name.txt").read_text() == "a"
    assert resolve_champion(f"{remote}/others", "text", "b") is None


def test_a_push_that_finds_its_number_taken_takes_the_next(
    s3: str, candidate: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.push import remote

    base = f"s3://{s3}/models"
    publish, asked = remote.publish, []

    def late(version: Path, folder: str, number: int, *rest: object) -> str:
        asked.append(number)
        if len(asked) == 1:
            publish(Model(candidate("b").folders[0]).saved_model, folder, number)
        return publish(version, folder, number, *rest)

    monkeypatch.setattr(remote, "publish", late)
    assert push(candidate(), base).location == f"{base}/text/2"
    assert asked == [1, 2]
    monkeypatch.setattr(remote, "publish", lambda *_: (_ for _ in ()).throw(TakenError("taken")))
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)
    with pytest.raises(PublishError, match=r"push.base_path: taken"):
        push(candidate("c"), base)


KILLED = """
import json, os, signal, sys
from pathlib import Path
from components.push import remote
from components.push.options import PushOptions
from components.push.push import run

def told(done, total):
    if done > 100:
        os.kill(os.getpid(), signal.SIGKILL)

remote.printed = lambda what: told
run(*map(Path, sys.argv[2:]), PushOptions(base_path=sys.argv[1]), {})
"""


def test_a_killed_push_leaves_no_version_and_the_next_goes_on(remote: str, candidate: Make) -> None:
    made = candidate()
    command = [sys.executable, "-c", KILLED, f"{remote}/models", *map(str, made.folders)]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL
    assert storage.list_versions(f"{remote}/models/text") == {}
    assert push(made, f"{remote}/models").location == f"{remote}/models/text/1"


def test_a_bucket_that_is_not_there_is_one_line(remote: str, candidate: Make) -> None:
    with pytest.raises(PublishError, match=r"^push.base_path: expected .* Received: no such") as e:
        push(candidate(), f"{remote}-not-there/models")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_path": "hdfs://host/models"}, "gs:// or s3://. Received: hdfs://host/models"),
        ({"base_path": "s3://b/models", "waiting": "s3://b/waits"}, "a local or mounted folder, w"),
    ],
)
def test_a_place_that_does_not_fit_is_refused_in_the_configuration(
    options: dict[str, str], said: str
) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError) as raised:
        PushOptions.model_validate(options)
    (line,) = explain(raised.value)
    assert said in line
    assert "\n" not in line


@pytest.mark.slow
def test_what_was_pushed_is_served_from_both_stores(
    bucket: str, s3: str, candidate: Make, tmp_path: Path
) -> None:
    from pipelines.services import EmbeddedServer
    from serving.client import Client

    models = {"gcs": f"gs://{bucket}/models", "s3": f"s3://{s3}/models"}
    made = candidate()
    config = tmp_path / "models.config"
    entry = 'config {{ name: "{}" base_path: "{}/text" model_platform: "tensorflow" }}'
    entries = [entry.format(name, base) for name, base in models.items()]
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    for base in models.values():
        push(made, base)
    flags = [f"--model_config_file={config}", "--file_system_poll_wait_seconds=1"]
    with EmbeddedServer("", "", tmp_path / "log", flags=flags) as server:
        address = server.address()
        for name, base in models.items():
            with Client(address, model=name) as client:
                client.wait_until_available(version=1, timeout=120)
                # A version that is pushed meanwhile is loaded, too.
                if name == "s3":
                    push(candidate("b"), base)
                    client.wait_until_available(version=2, timeout=120)

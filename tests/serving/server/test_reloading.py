"""The config file is read at every turn, changed or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.models import ModelManager
from serving.server.reloading import ConfigFile
from serving.server.workers import Settings


def config_of(*names: str) -> str:
    entries = "".join(
        f'config {{ name: "{name}" base_path: "/{name}" model_platform: "tensorflow" }}'
        for name in names
    )
    return f"model_config_list {{ {entries} }}"


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_config_by_call_holds_until_the_file_is_read_again(tmp_path: Path) -> None:
    models = ModelManager(Settings(poll_seconds=-1))

    def names() -> list[str]:
        return [model.name for model in models.configured()]

    file = tmp_path / "models.config"
    file.write_text(config_of("a"))
    following = ConfigFile(file, models, poll_seconds=0.5)
    following.start()
    wait_for(lambda: names() == ["a"])
    by_call = model_server_config_pb2.ModelServerConfig()
    models.configure(text_format.Parse(config_of("a", "b"), by_call))
    assert names() == ["a", "b"]
    wait_for(lambda: names() == ["a"])
    file.unlink()
    time.sleep(0.7)
    assert names() == ["a"]
    following.stop()
    file.write_text(config_of("c"))
    time.sleep(0.7)
    assert names() == ["a"]


def test_a_pause_of_0_never_reads_it_again(tmp_path: Path) -> None:
    models = ModelManager(Settings(poll_seconds=-1))
    file = tmp_path / "models.config"
    file.write_text(config_of("a"))
    following = ConfigFile(file, models, poll_seconds=0)
    following.start()
    time.sleep(0.2)
    assert models.configured() == []
    following.stop()

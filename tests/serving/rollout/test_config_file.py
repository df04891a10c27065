"""A rollout changes one model's place in a config file, and nothing else in it."""

from __future__ import annotations

import fcntl
import multiprocessing
import time
from pathlib import Path

import pytest
from google.protobuf import text_format

from serving.client.admin import ModelConfig
from serving.client.messages import ModelServerConfig
from serving.rollout import config_file
from serving.rollout.errors import RolloutError

FILE = """\
# Kept by hand { not by a program }
model_config_list: {
  config {
    name: "text"   # the first one
    base_path: "/models/text"
    model_platform: 'tensorflow'
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 },
    version_labels { key: "}" value: 2 };
    logging_config {
      log_collector_config { type: "any" filename_prefix: "/logs/#text" }
      sampling_config { sampling_rate: 0.1 }
    }
  }
  config: < name: "image" base_path: "/models/image" logging_config {} >
}
"""
TEXT = ModelConfig("text", "/models/text", [2, 3], {"stable": 2, "canary": 3})


def models(text: str) -> dict[str, object]:
    message = text_format.Parse(text, ModelServerConfig(), allow_unknown_field=True)
    return {one.name: one for one in message.model_config_list.config}


def test_unknown_fields_comments_and_other_models_stay() -> None:
    after = config_file.edited(FILE, TEXT)
    found = models(after)
    assert found["text"] == TEXT.message()
    assert found["image"] == models(FILE)["image"]
    for kept in ("# Kept by hand { not by a program }", "# the first one", "'tensorflow'"):
        assert kept in after
    for kept in ('filename_prefix: "/logs/#text"', "sampling_rate: 0.1", "logging_config {} >"):
        assert kept in after
    assert after.count("version_labels") == 2
    assert config_file.edited(after, TEXT) == after


def test_a_new_model_and_a_new_file_are_written(tmp_path: Path) -> None:
    other = ModelConfig("table", "/models/table", [7], {"stable": 7})
    after = config_file.edited(FILE, other)
    assert models(after) == {**models(FILE), "table": other.message()}
    file = tmp_path / "models.config"
    config_file.write(file, TEXT)
    config_file.write(file, other)
    assert models(file.read_text("utf-8")) == {"text": TEXT.message(), "table": other.message()}


def test_permissions_of_the_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(FILE)
    file.chmod(0o640)
    config_file.write(file, TEXT)
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "text",
    [
        "model_config_list {",
        "model_config_list { config { name: } }",
        'platform_config_map { } model_config_list { config { name: "a" ] }',
        'model_config_list { config [ { name: "text" base_path: "/x" } ] }',
        'model_config_list { config { name: "te" "xt" base_path: "/x" } }',
    ],
)
def test_a_file_that_cannot_be_edited_stays_as_it_is(text: str, tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(text)
    with pytest.raises(RolloutError, match="expected a model config file at") as caught:
        config_file.write(file, TEXT)
    assert "\n" not in str(caught.value)
    assert file.read_text() == text


def test_a_lock_that_is_held_too_long_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(FILE)
    with (tmp_path / ".models.config.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(
            RolloutError, match=r"another rollout that holds .*models\.config\.lock"
        ):
            config_file.write(file, TEXT, seconds=0.2)
    assert file.read_text() == FILE
    config_file.write(file, TEXT, seconds=0.2)
    assert models(file.read_text())["text"] == TEXT.message()


def _write_many(file: Path, name: str, last: int) -> None:
    for version in range(1, last + 1):
        config_file.write(file, ModelConfig(name, f"/models/{name}", [version], {}))


def test_rollouts_of_two_models_in_one_file_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(file, name, 60)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 60
    for writer in writers:
        writer.join(max(deadline - time.monotonic(), 0))
        assert writer.exitcode == 0
    found = models(file.read_text())
    for name in ("a", "b"):
        assert list(found[name].model_version_policy.specific.versions) == [60]  # type: ignore[attr-defined]

"""ModelServerConfig: what it says, and what is refused with TensorFlow Serving's words."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.config import (
    VersionPolicy,
    model_configs,
    read_model_config,
    single_model,
)
from serving.server.errors import ConfigError, StatusError


def entry(name: str = "text", base_path: str = "/models/text", more: str = "") -> str:
    platform = "" if "model_platform" in more or "model_type" in more else "tensorflow"
    platform = f'model_platform: "{platform}"' if platform else ""
    return f'config {{ name: "{name}" base_path: "{base_path}" {platform} {more} }}'


def parsed(*entries: str) -> dict[str, object]:
    text = f"model_config_list {{ {' '.join(entries)} }}"
    return dict(model_configs(text_format.Parse(text, model_server_config_pb2.ModelServerConfig())))


def test_names_paths_labels_and_policies_are_read() -> None:
    models = parsed(
        entry(),
        entry("b", "gs://bucket/b", "model_version_policy { all {} }"),
        entry(
            "c",
            "/c",
            "model_version_policy { specific { versions: 4 versions: 2 } } "
            'version_labels { key: "stable" value: 2 } version_labels { key: "canary" value: 4 }',
        ),
        entry("d", "/d", "model_version_policy { latest { num_versions: 3 } }"),
        entry("e", "/e", "model_type: TENSORFLOW"),
    )
    assert list(models) == ["text", "b", "c", "d", "e"]
    assert models["text"].base_path == "/models/text"  # type: ignore[attr-defined]
    assert models["c"].labels == {"stable": 2, "canary": 4}  # type: ignore[attr-defined]
    found = [1, 2, 3, 4, 10]
    chosen = {n: sorted(m.policy.choose(found)) for n, m in models.items()}  # type: ignore[attr-defined]
    assert chosen == {"text": [10], "b": found, "c": [2, 4], "d": [3, 4, 10], "e": [10]}


def test_latest_of_none_is_none_and_zero_versions_mean_one() -> None:
    assert VersionPolicy(count=1).choose([]) == set()
    (model,) = parsed(entry(more="model_version_policy { latest { } }")).values()
    assert model.policy == VersionPolicy(count=1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(), entry()], "Illegal to list model text multiple times in config list"),
        (
            [entry(base_path="models/text")],
            "Expected model text to have an absolute path or URI; got base_path()=models/text",
        ),
        ([entry(base_path="")], "Expected model text to have an absolute path or URI; got"),
        ([entry(base_path="hdfs://host/x")], "this server reads no others"),
        (
            [entry(more='model_platform: ""')],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor",
        ),
        (
            [entry(more='model_platform: "caffe"')],
            "Model text requests unsupported platform caffe",
        ),
        ([entry(more="model_type: OTHER")], "ModelServerConfig::model_type choice 2 not supported"),
        (
            [entry(more='model_type: TENSORFLOW model_platform: "tensorflow"')],
            "Illegal setting both ModelServerConfig::model_type (deprecated) and",
        ),
        ([entry(name="")], "Expected every model to have a name"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(entries: list[str], message: str) -> None:
    with pytest.raises(StatusError) as refused:
        parsed(*entries)
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert message in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"model_config_list { config { nme: 'x' } }", 'has no field named "nme"'),
        (b"\xff\xfe", "codec can't decode"),
        (b"model_config_list {", "Expected"),
        (
            b"custom_model_config { [type.googleapis.com/google.protobuf.Empty] {} }",
            "custom_model_config",
        ),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    from google.protobuf import empty_pb2  # noqa: F401  (the custom config's type)

    file = tmp_path / "models.config"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_model_config(file)
    message = str(refused.value)
    assert reason in message
    assert str(file) in message
    assert "\n" not in message


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Received: .*gone: No such file"):
        read_model_config(tmp_path / "gone")


def test_two_flags_stand_for_one_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (local,) = model_configs(single_model("text", "models")).values()
    (remote,) = model_configs(single_model("text", "gs://bucket/models")).values()
    assert (local.name, local.base_path) == ("text", str(tmp_path / "models"))
    assert remote.base_path == "gs://bucket/models"
    assert local.policy == VersionPolicy(count=1)

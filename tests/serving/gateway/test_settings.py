"""Settings from files and flags, and the one line that each mistake gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.gateway import flags
from serving.gateway.settings import Settings, SettingsError, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.yaml"


def test_flags_win_over_the_file_and_the_file_over_defaults(file: Path) -> None:
    file.write_text("port: 9000\nmodels: [story, image]\nauth: keys\n")
    settings = flags.parse([f"--config={file}", "--port", "9001"], {})
    assert settings.port == 9001
    assert settings.models == ("story", "image")
    assert settings.auth == "keys"
    assert settings.chunk_tokens == Settings().chunk_tokens


def test_every_setting_is_a_flag_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        flags.parse(["--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert field.description
        assert " ".join(field.description.split()) in text


def test_flags_may_be_spelled_with_underscores_as_in_the_file() -> None:
    assert flags.parse(["--chunk_tokens=4"], {}).chunk_tokens == 4
    assert flags.parse(["--no-record-prompts"], {}).record_prompts is False


def test_the_collector_of_the_environment_is_used_unless_one_is_set() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert flags.parse([], environment).otlp_endpoint == "http://collector:4318"
    given = flags.parse(["--otlp-endpoint=http://other:4318"], environment)
    assert given.otlp_endpoint == "http://other:4318"
    assert flags.parse([], {}).otlp_endpoint is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot: 1", r"unknown setting prot; expected one of: upstream, models"),
        ("port: 70000", r"port: .*less than or equal to 65535. Received: 70000"),
        ("models: [../etc]", r"models: expected names of letters"),
        ("models: []", r"models: .*at least 1 item"),
        ("upstream: somewhere", r"upstream: expected HOST:PORT. Received: 'somewhere'"),
        ("store: mysql://x", r"store: expected sqlite:///PATH or postgresql\+psycopg"),
        ("timeout: .inf", r"timeout: "),
        ("upstream_cert: a.pem", r"upstream_cert and upstream_key go together"),
        ("[1, 2]", r"expected settings by name in .*. Received: \[1, 2\]"),
        ("a: [", r"expected YAML in "),
    ],
)
def test_a_mistake_in_the_file_is_one_line(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError, match=expected) as caught:
        load(file, {})
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"expected settings in .*No such file"):
        load(file, {})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("web", False)],
)
def test_it_knows_whether_others_can_reach_it(host: str, loopback: bool) -> None:
    assert Settings(host=host).loopback is loopback

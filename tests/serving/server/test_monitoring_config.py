"""MonitoringConfig: whether metrics are offered, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.server.errors import ConfigError
from serving.server.monitoring_config import prometheus_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { }", None),
        ('prometheus_config { enable: false path: "/metrics" }', None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true, path: "/metrics" }', "/metrics"),
        ('prometheus_config: { enable: true path: "metrics" }', "/metrics"),
    ],
)
def test_the_path_of_the_metrics_is_read(tmp_path: Path, text: str, path: str | None) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert prometheus_path(file) == path


def test_a_bad_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "monitoring.config"
    for content, reason in (
        (b"prometheus { }", 'no field named "prometheus"'),
        (b"\xff", "decode"),
    ):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=reason) as refused:
            prometheus_path(file)
        assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="No such file"):
        prometheus_path(tmp_path / "gone")

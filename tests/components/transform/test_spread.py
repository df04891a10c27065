"""On another Beam runner, whose workers have processes of their own, the files are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError, RunnerError
from components.options import chosen
from components.transform.options import TransformOptions
from components.transform.transform import run


def test_another_runner_writes_the_same_rows(step: Any, prism: Any, equal_on: Any) -> None:
    options = TransformOptions(vocabulary_size=600, **prism)
    equal_on(run, options, step)


def test_a_job_service_that_is_not_there_is_one_clear_line(step: Any, tmp_path: Path) -> None:
    flags = ["--job_endpoint=127.0.0.1:1", "--job_server_timeout=1", "--environment_type=LOOPBACK"]
    options = TransformOptions(beam_runner="portable", beam_options=flags)
    with pytest.raises(RunnerError, match="expected the runner portable with"):
        run(step.examples.path, options, tmp_path / "graph", tmp_path / "transformed")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_runner": "hadoop"}, "beam_runner: expected one of local, flink, spark, dataflow"),
        ({"beam_options": ["parallelism=2"]}, "expected flags such as --parallelism=8"),
        ({"beam_options": ["--runner=FlinkRunner"]}, "expected the runner as beam_runner"),
    ],
)
def test_what_is_no_runner_and_no_flag_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(TransformOptions, options)


def test_flags_that_a_runner_cannot_read_are_one_clear_line(step: Any, tmp_path: Path) -> None:
    options = TransformOptions(beam_runner="prism", beam_options=["--flink_version=0.1"])
    with pytest.raises(ConfigError, match="flags in beam_options that the runner prism takes"):
        run(step.examples.path, options, tmp_path / "graph", tmp_path / "transformed")

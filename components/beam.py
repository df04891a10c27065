"""Which Apache Beam runner carries the work of a step, and how its pipeline is made."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.errors import ConfigError, DataError, LoomlineError, RunnerError

if TYPE_CHECKING:
    import apache_beam as beam

# Beam's default, DirectRunner, chooses among engines by itself, and one of them is a binary that
# it downloads. So the engine of a single machine is named.
LOCAL = "local"
# How a worker's traceback, which comes as text, tells what it found wrong with the data. Beam adds
# the step of the pipeline.
_RAISED = re.compile(
    r"^(?:components\.errors\.)?DataError: (.*?)(?: \[while running '[^']*'\])?$", re.MULTILINE
)
_RUNNERS = {
    LOCAL: "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
    "prism": "PrismRunner",
    "portable": "PortableRunner",
}


class BeamOptions(BaseModel):
    """The runner and its flags, for steps whose work Beam spreads over machines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beam_runner: str = Field(
        default=LOCAL,
        description="What does the step's work on many rows: local (this machine), or a runner of "
        "Apache Beam: flink, spark, dataflow, prism, or portable (any job service).",
    )
    beam_options: list[str] = Field(
        default=[],
        description="The runner's flags, such as ['--flink_master=host:8081', "
        "'--environment_type=DOCKER'].",
    )

    @field_validator("beam_runner")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _RUNNERS:
            raise ValueError(f"expected one of {', '.join(_RUNNERS)}. Received: {value!r}")
        return value

    @field_validator("beam_options")
    @classmethod
    def _flags(cls, value: list[str]) -> list[str]:
        for flag in value:
            name = flag.partition("=")[0]
            if not name.startswith("--"):
                raise ValueError(f"expected flags such as --parallelism=8. Received: {flag!r}")
            if name == "--runner":
                raise ValueError(f"expected the runner as beam_runner. Received: {flag!r}")
        return value

    @property
    def distributed(self) -> bool:
        """Whether another engine than this process does the work."""
        return self.beam_runner != LOCAL


def open_pipeline(options: BeamOptions) -> beam.Pipeline:
    """A pipeline on the chosen runner; used as a context, it runs when the context ends.

    Raises:
        ConfigError: the runner is not installed, or refuses its flags.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    complaint = io.StringIO()
    try:
        # Without the list, Beam would read the flags of whatever program this runs in.
        flags = PipelineOptions(list(options.beam_options))
        with contextlib.redirect_stderr(complaint):
            # Now: left to itself, Beam reads them when the pipeline runs, and ends the process.
            flags.get_all_options()
        return beam.Pipeline(runner=_RUNNERS[options.beam_runner], options=flags)
    except (ImportError, ValueError, SystemExit) as error:
        told = complaint.getvalue().strip() or str(error)
        raise ConfigError(
            f"expected flags in beam_options that the runner {options.beam_runner} takes. "
            f"Received: {options.beam_options}; {told.splitlines()[-1]}"
        ) from None


@contextlib.contextmanager
def running(options: BeamOptions) -> Iterator[beam.Pipeline]:
    """A pipeline that is run to its end when the context ends.

    Raises:
        DataError: what a worker found wrong with the data.
        RunnerError: the runner cannot be reached, or failed.
    """
    pipeline = open_pipeline(options)
    try:
        with pipeline:
            yield pipeline
    except LoomlineError:
        raise
    except Exception as error:
        if not options.distributed and not isinstance(error, RuntimeError):
            raise
        found = _RAISED.findall(str(error))
        if found:
            raise DataError(found[-1].strip()) from None
        if not options.distributed:
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RunnerError(
            f"expected the runner {options.beam_runner} with {options.beam_options} to finish. "
            f"Received: {type(error).__name__}: {lines[-1] if lines else 'no message'}"
        ) from error

"""Runs a pipeline and shows it to a person, from the first step to generated text."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.artifacts import Figure
from components.errors import ConfigError, ServingError
from components.transfers import resolved
from pipelines.config import Config
from pipelines.face import Face
from pipelines.local import RunResult, run_training
from pipelines.output import Output
from pipelines.services import EmbeddedServer
from pipelines.showcase import SHOWCASES, Asked, Showcase
from pipelines.stack import Addresses
from pipelines.steps import StepRecord

# By the time the model has been trained, the server's start costs nobody anything.
_SERVER_STARTS_WITH = ("evaluate", "drift", "gate")


def output_of(config: str, output: Path | None) -> Output:
    """The output folder of a configuration: the one asked for, or `runs/NAME`.

    Raises:
        ConfigError: the path is a file.
    """
    root = output or Path("runs") / Path(config).stem
    if root.exists() and not root.is_dir():
        raise ConfigError(f"--output expects a folder. Received: the file {root}")
    return Output(root)


def models_of(loaded: Config, config: str, output: Path | None) -> str:
    """The folder that holds a configuration's pushed models; a path or URI."""
    return resolved(loaded.push.base_path or output_of(config, output).models)


class _ServingFace(Face):
    """A face that starts the server in the background once the model has been trained."""

    def __init__(self, base_path: str | None, model_name: str, log: Path) -> None:
        super().__init__()
        self._where = (base_path, model_name, log)
        self.server: EmbeddedServer | None = None

    def started(self, step: StepRecord) -> None:
        base_path, model_name, log = self._where
        if base_path is not None and self.server is None and step.name in _SERVER_STARTS_WITH:
            self.server = EmbeddedServer(f"{base_path}/{model_name}", model_name, log)
        super().started(step)


def run_and_present(
    loaded: Config,
    config: str,
    profile: str,
    output_folder: Path | None,
    *,
    serve: bool,
    prompts: Sequence[str],
    image: str = "",
) -> RunResult:
    """Runs the pipeline, sums it up, and has the pushed model generate text.

    With an image, the steps run in containers of it.

    Raises:
        LoomlineError: the run could not start, or the pushed model could not be served.
    """
    output = output_of(config, output_folder)
    base_path = models_of(loaded, config, output_folder)
    face = _ServingFace(
        base_path if serve else None, loaded.push.model_name, output.root / "server.log"
    )
    face.headline(f"loomline run {config} · {profile} · {output.root}")
    showcase = SHOWCASES[loaded.modality]
    with _stopping(face):
        result = run_training(loaded, output, face, image)
        _sum_up(face, result, showcase)
        if serve and result.outcome == "pushed":
            _show(face, result, prompts, loaded.push.model_name, showcase)
            face.say(showcase.hint.format(config=config))
    return result


@contextlib.contextmanager
def _stopping(face: _ServingFace) -> Iterator[None]:
    try:
        yield
    finally:
        if face.server is not None:
            face.server.stop()


def _sum_up(face: Face, result: RunResult, showcase: Showcase) -> None:
    cached = sum(step.cached for step in result.steps)
    face.headline(
        f"{result.outcome} in {result.seconds:.1f} s, {cached} of {len(result.steps)} steps cached"
    )
    if result.reason:
        face.say(f"  {result.reason}")
    evaluation = result.records.evaluation()
    if evaluation.json_path.is_file():
        figures = evaluation.figures()
        named = showcase.headlines
        face.figures([(named[n], _shown(figures[n])) for n in named if n in figures])
    if result.outcome == "pending":
        face.say(
            "  a person has the last word: loomline approve or loomline reject "
            f"{os.path.relpath(result.records.path)}"
        )
    pages = [page.name for page in result.records.pages()]
    if pages:
        face.pages(result.records.path, pages)


def _shown(figure: Figure) -> str:
    interval = ""
    if figure.low is not None and figure.high is not None:
        interval = f"  [{figure.low:.3f}, {figure.high:.3f}]"
    return f"{figure.value:.3f}{interval}"


def _show(
    face: _ServingFace, result: RunResult, prompts: Sequence[str], model: str, showcase: Showcase
) -> None:
    from serving.client import Client, ClientError

    pushed = result.records.pushed()
    if pushed is None or face.server is None:
        raise ServingError("the run was pushed but left no record of the version")
    try:
        with Client(face.server.address(), model=model) as client:
            client.wait_until_available(version=pushed["version"], timeout=120)
            face.headline(f"version {pushed['version']} of {model} says, over gRPC")
            showcase.show(face, Asked(client, prompts, result.records.path))
    except ClientError as error:
        raise ServingError(str(error)) from None


def present_stack(model: str, addresses: Addresses) -> None:
    """Says where what `loomline serve` started is found."""
    from serving.server.monitoring_config import DEFAULT_PATH

    face = Face()
    face.headline(f"serving {model}; Ctrl-C stops")
    rows = [("gRPC", addresses.grpc)]
    if addresses.rest:
        rows += [
            ("REST", f"http://{addresses.rest}/v1/models/{model}"),
            ("server metrics", f"http://{addresses.rest}{DEFAULT_PATH}"),
        ]
    if addresses.gateway is not None:
        rows += [
            ("API", f"{addresses.gateway}/docs"),
            ("gateway metrics", f"{addresses.gateway}/metrics"),
            ("runs and models", f"{addresses.gateway}/runs"),
            ("review", f"{addresses.gateway}/review"),
        ]
    face.figures(rows)
    if addresses.gateway is not None:
        face.say(f"\n  playground: {addresses.gateway}")

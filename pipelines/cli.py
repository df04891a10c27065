"""The command line: run, compile, serve, generate, config."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from components.errors import USER_ERROR_EXIT_CODE, LoomlineError

REJECTED_EXIT_CODE = 3
INTERRUPTED_EXIT_CODE = 130

_CONFIG = click.argument("config", default="text")
_PROFILE = click.option(
    "--profile",
    default="quick",
    show_default=True,
    help="Entry of the file's profiles: quick (2 CPU cores) or full (an accelerator).",
)
_SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override one value of the configuration; may be given again. Example: "
    "--set train.layers=6",
)
_OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for artifacts, cache, models and reports.  [default: runs/CONFIG]",
)


class _OneLine(click.Group):
    """Ends with one line and exit code 2 where the user can mend the cause."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except LoomlineError as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            context.exit(USER_ERROR_EXIT_CODE)


@click.group(cls=_OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="loomline")
def main() -> None:
    """Raw text to a gated, monitored generative model behind TensorFlow Serving.

    Start with `loomline run text`: it trains a small language model on two CPU cores, judges it,
    publishes it, and prints what it generates.
    """


@main.command()
@_CONFIG
@_PROFILE
@_SET
@_OUTPUT
@click.option(
    "--serve/--no-serve",
    default=True,
    show_default=True,
    help="Start the embedded server on what was pushed and print generated text.",
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    help="What to continue in the printed text; may be given again.",
)
def run(
    config: str,
    profile: str,
    overrides: tuple[str, ...],
    output: Path | None,
    serve: bool,
    prompts: tuple[str, ...],
) -> None:
    """Run the training pipeline on this machine.

    CONFIG is the name of a shipped configuration, such as text, or the path of a YAML file.
    Steps whose data, options and code have not changed are answered from the cache. A killed run
    that is started again resumes training from its last checkpoint.

    Exit codes: 0 pushed, 2 something to mend (one line says what), 3 the gate said no, 1 a defect.
    """
    from pipelines.config import load_config
    from pipelines.present import run_and_present

    loaded = load_config(config, profile, overrides)
    try:
        outcome = run_and_present(loaded, config, profile, output, serve=serve, prompts=prompts)
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from the last checkpoint", err=True)
        sys.exit(INTERRUPTED_EXIT_CODE)
    codes = {"pushed": 0, "finished": 0, "rejected": REJECTED_EXIT_CODE}
    sys.exit(codes.get(outcome.outcome, USER_ERROR_EXIT_CODE if outcome.user_error else 1))


@main.command("compile")
@_CONFIG
@_PROFILE
@_SET
@click.option("--image", default="", help="Image of every step; NAME@sha256:... pins it.")
@click.option(
    "--to",
    "destination",
    type=click.Path(path_type=Path),
    help="YAML file to write.  [default: build/CONFIG-PROFILE.yaml]",
)
def compile_command(
    config: str, profile: str, overrides: tuple[str, ...], image: str, destination: Path | None
) -> None:
    """Compile the pipeline to YAML for Kubeflow.

    The configuration's values become the defaults of the pipeline's parameters, each of which can
    be changed in the Kubeflow UI.
    """
    from components.image import IMAGE
    from pipelines.compilation import compile_training
    from pipelines.config import load_config

    target = destination or Path("build") / f"{Path(config).stem}-{profile}.yaml"
    compile_training(load_config(config, profile, overrides), target, image or IMAGE)
    click.echo(f"compiled {config} ({profile}) to {target}")


@main.command("config")
@_CONFIG
@_PROFILE
@_SET
def config_command(config: str, profile: str, overrides: tuple[str, ...]) -> None:
    """Show every option, its value and its meaning."""
    from pipelines.config import SECTIONS, load_config

    parameters = load_config(config, profile, overrides).parameters()
    for section, options in SECTIONS.items():
        click.echo(f"{section}:")
        for name, field in options.model_fields.items():
            click.echo(f"  {name}: {parameters[f'{section}_{name}']!r}")
            click.echo(f"      # {field.description}")


@main.command()
@_CONFIG
@_PROFILE
@_SET
@_OUTPUT
@click.option("--port", default=8500, show_default=True, help="Port for gRPC; 0 takes a free one.")
def serve(
    config: str, profile: str, overrides: tuple[str, ...], output: Path | None, port: int
) -> None:
    """Serve the last pushed model over gRPC until Ctrl-C.

    This is the embedded server, for laptops and tests; it speaks TensorFlow Serving's protocol and
    loads new versions as they are pushed.
    """
    from components.artifacts import published_versions
    from components.errors import ModelError
    from pipelines.config import load_config
    from pipelines.present import models_of

    loaded = load_config(config, profile, overrides)
    base_path = models_of(loaded, config, output)
    if not published_versions(base_path, loaded.push.model_name):
        raise ModelError(
            f"expected a pushed model in {base_path / loaded.push.model_name}. Received: none. "
            f"Push one with: loomline run {config}"
        )
    _exec_server(port, loaded.push.model_name, base_path)


def _exec_server(port: int, model_name: str, base_path: Path) -> None:
    import os

    command = [sys.executable, "-m", "serving.server", f"--port={port}"]
    command += [f"--model_name={model_name}", f"--model_base_path={base_path / model_name}"]
    os.execv(sys.executable, command)


@main.command()
@click.argument("prompts", nargs=-1)
@click.option("--address", default="127.0.0.1:8500", show_default=True, help="HOST:PORT for gRPC.")
@click.option("--model", default="text", show_default=True, help="Name of the served model.")
@click.option("--max-new-tokens", default=64, show_default=True, help="Longest continuation.")
@click.option("--temperature", default=0.8, show_default=True, help="0 takes the likeliest token.")
@click.option("--top-k", default=50, show_default=True, help="0 for no limit.")
@click.option("--top-p", default=0.95, show_default=True, help="Probability mass kept.")
@click.option("--seed", default=0, show_default=True, help="The same seed, the same text.")
def generate(
    prompts: tuple[str, ...],
    address: str,
    model: str,
    max_new_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
) -> None:
    """Ask a served model to continue PROMPTS.

    Without any it is asked to continue the empty text.
    """
    from serving.client import Client

    asked = list(prompts) or [""]
    with _serving_errors(), Client(address, model=model) as client:
        texts = client.generate(
            asked,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
    for prompt, text in zip(asked, texts, strict=True):
        click.echo(prompt + text.text)


@contextlib.contextmanager
def _serving_errors() -> Iterator[None]:
    """Turns what the client raises into one line."""
    from components.errors import ServingError
    from serving.client import ClientError

    try:
        yield
    except ClientError as error:
        raise ServingError(str(error)) from None


if __name__ == "__main__":
    main()

"""The commands about a model that has been pushed: serve it, ask it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from pipelines.cli_options import CONFIG, OUTPUT, PROFILE, SET
from serving.commands import HELP


@click.command(context_settings=HELP)
@CONFIG
@PROFILE
@SET
@OUTPUT
@click.option("--port", default=8500, show_default=True, help="Port for gRPC; 0 takes a free one.")
@click.option(
    "--rest-port",
    default=8501,
    show_default=True,
    help="Port for REST; 0 for none, -1 for a free one.",
)
@click.option(
    "--http-port",
    default=8080,
    show_default=True,
    help="Port of the gateway and its playground; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the gateway; 0.0.0.0 lets others in, a phone on the same network among them.",
)
@click.option("--gateway/--no-gateway", default=True, show_default=True, help="Start the gateway.")
@click.option(
    "--auth",
    type=click.Choice(["none", "keys"]),
    default="none",
    show_default=True,
    help="Whether the gateway asks for API keys; make them with `loomline keys create`.",
)
@click.option(
    "--store",
    help="URL of the gateway's store: sqlite:///PATH or postgresql+psycopg://...  "
    "[default: OUTPUT/store.sqlite]",
)
def serve(
    config: str,
    profile: str,
    overrides: tuple[str, ...],
    output: Path | None,
    port: int,
    rest_port: int,
    http_port: int,
    host: str,
    gateway: bool,
    auth: str,
    store: str | None,
) -> None:
    """Serve the last pushed model, with a playground, until Ctrl-C.

    Starts the embedded model server, which speaks TensorFlow Serving's protocol and loads new
    versions as they are pushed, and in front of it the gateway: a JSON API, token streaming, and
    a web page to try the model on. Logs are in OUTPUT/logs.
    """
    from components.errors import ModelError
    from components.push.remote import versions_of
    from pipelines.config import load_config
    from pipelines.present import models_of, output_of, present_stack
    from pipelines.stack import Ports, serving
    from serving.storage import is_remote

    loaded = load_config(config, profile, overrides)
    name = loaded.push.model_name
    models = models_of(loaded, config, output)
    base_path = f"{models}/{name}"
    if not versions_of(models, name):
        raise ModelError(
            f"expected a pushed model in {base_path}. Received: none. "
            f"Push one with: loomline run {config}"
        )
    root = output_of(config, output).root.resolve()
    ports = Ports(host, port, rest_port, http_port if gateway else None)
    url = store or f"sqlite:///{root / 'store.sqlite'}"
    review = Path(models)
    if is_remote(models):
        review = Path(loaded.push.waiting or root / "models").resolve()
    with serving(base_path, name, root / "logs", ports, url, auth, review) as (addresses, stop):
        present_stack(name, addresses)
        stop.wait()
        click.echo("stopping; what is under way is finished first")


@click.command(context_settings=HELP)
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

"""`loomline runs export`: copies runs into MLflow or Kubeflow's model registry."""

from __future__ import annotations

from pathlib import Path

import click

from serving.commands import HELP, UserError
from serving.store.commands import STORE, opened


@click.command(context_settings=HELP)
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@STORE
@click.option(
    "--to",
    "target",
    type=click.Choice(["mlflow", "kubeflow"]),
    required=True,
    help="MLflow takes runs; Kubeflow's model registry takes the versions that they published.",
)
@click.option("--tracking-uri", help="Of MLflow: http://HOST:5000, or sqlite:///PATH.")
@click.option("--host", help="URL of Kubeflow's model registry.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the token that Kubeflow's model registry asks for.",
)
def export(
    names: tuple[str, ...],
    url: str,
    target: str,
    tracking_uri: str | None,
    host: str | None,
    token_file: Path | None,
) -> None:
    """Copy RUNs into another registry.

    RUN is a run's name, MODEL/RUN, or MODEL/VERSION. A second time brings the copy up to date.
    """
    from serving.export.errors import ExportError
    from serving.store.lineage import find, origins

    needed = {"mlflow": ("--tracking-uri", tracking_uri), "kubeflow": ("--host", host)}[target]
    if not needed[1]:
        raise UserError(f"expected {needed[0]} with --to {target}. Received: none")
    token = _token(token_file)
    with opened(url, existing=True) as store:
        found = origins(store, [find(store, name) for name in names])
    try:
        if target == "mlflow":
            from serving.export.to_mlflow import Mlflow

            mlflow = Mlflow(needed[1])
            for one in found:
                click.echo(f"{one.run.model}/{one.run.run} is run {mlflow.export(one)}")
        else:
            from serving.export.to_kubeflow import Kubeflow

            kubeflow = Kubeflow(needed[1], token)
            for one in found:
                for place in kubeflow.export(one):
                    click.echo(f"{one.run.model}/{one.run.run} is at {place}")
    except ExportError as error:
        raise UserError(str(error)) from None


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "something else"
        raise UserError(f"expected a token in {path}. Received: {reason}") from None
    if not token or not token.isascii() or any(letter.isspace() for letter in token):
        raise UserError(f"expected one token in {path}. Received: another form")
    return token

"""The command line: run and config; the commands about clusters and serving are added to them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.errors import USER_ERROR_EXIT_CODE, LoomlineError
from pipelines.checking import check
from pipelines.cli_kubeflow import compile_command
from pipelines.cli_monitor import monitor
from pipelines.cli_options import CONFIG, OUTPUT, PROFILE, SET
from pipelines.cli_policy import policy
from pipelines.cli_review import approve, pending, reject, settle
from pipelines.cli_serving import generate, serve
from pipelines.cli_submit import submit_command
from pipelines.comparing import compare
from pipelines.exit_codes import INTERRUPTED_EXIT_CODE, REJECTED_EXIT_CODE
from pipelines.registering import add, register
from serving.commands import HELP
from serving.export.commands import export
from serving.gateway.metrics_command import metrics
from serving.review.commands import reviewers
from serving.rollout.commands import rollout
from serving.sampling.commands import sample
from serving.store.audit_commands import audit
from serving.store.commands import keys, purge
from serving.store.output_commands import outputs
from serving.store.registry_commands import lineage, models, runs
from serving.store.request_commands import requests

if TYPE_CHECKING:
    from pipelines.local import RunResult


class _OneLine(click.Group):
    """Ends with one line and exit code 2 where the user can mend the cause."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except LoomlineError as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            context.exit(USER_ERROR_EXIT_CODE)


@click.group(cls=_OneLine, context_settings=HELP)
@click.version_option(package_name="loomline")
def main() -> None:
    """Raw text, images or tables to a gated, monitored generative model behind TensorFlow Serving.

    Start with `loomline run text`: it trains a small language model on two CPU cores, judges it,
    publishes it, and prints what it generates. `loomline run image` and `loomline run table` do
    the same for pictures of clothes and for flights.
    """


@main.command()
@CONFIG
@PROFILE
@SET
@OUTPUT
@click.option(
    "--serve/--no-serve",
    default=True,
    show_default=True,
    help="Start the embedded server on what was pushed and show what it generates.",
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    help="What to show at the end: a text to continue, a class to draw, a condition such as "
    "carrier=UA; may be given again.",
)
@click.option(
    "--store",
    "url",
    help="URL of the registry that the run is entered into.  [default: OUTPUT/store.sqlite]",
)
@click.option(
    "--runner",
    type=click.Choice(["process", "docker"]),
    default="process",
    show_default=True,
    help="What each step runs in: a process of this environment, or a container of --image.",
)
@click.option("--image", help="Image for --runner docker.  [default: the one of make image]")
def run(
    config: str,
    profile: str,
    overrides: tuple[str, ...],
    output: Path | None,
    serve: bool,
    prompts: tuple[str, ...],
    url: str | None,
    runner: str,
    image: str | None,
) -> None:
    """Run the training pipeline on this machine.

    CONFIG is the name of a shipped configuration (text, image, emoji, table) or the path of a YAML
    file.
    Steps whose data, options and code have not changed are answered from the cache. A killed run
    that is started again resumes training from its last checkpoint.

    Exit codes: 0 pushed or waiting for a person, 2 something to mend (one line says what), 3 the
    gate said no, 1 a defect.
    """
    from components.image import IMAGE
    from pipelines.config import load_config
    from pipelines.present import run_and_present

    if image is not None and runner != "docker":
        raise click.UsageError("--image expects --runner docker, too")
    loaded = load_config(config, profile, overrides)
    chosen = (image or IMAGE) if runner == "docker" else ""
    try:
        outcome = run_and_present(
            loaded, config, profile, output, serve=serve, prompts=prompts, image=chosen
        )
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from the last checkpoint", err=True)
        sys.exit(INTERRUPTED_EXIT_CODE)
    records = outcome.records.path
    try:
        register(records, url or f"sqlite:///{records.parents[1] / 'store.sqlite'}")
    except (LoomlineError, click.ClickException) as error:
        # The run itself has ended; it can be entered later.
        told = error.message if isinstance(error, click.ClickException) else str(error)
        click.echo(f"not in the registry: {told}; loomline runs add {records}", err=True)
    _tell(outcome)
    codes = {"pushed": 0, "pending": 0, "finished": 0, "rejected": REJECTED_EXIT_CODE}
    sys.exit(codes.get(outcome.outcome, USER_ERROR_EXIT_CODE if outcome.user_error else 1))


def _tell(outcome: RunResult) -> None:
    """Notifies people of a run that needs them."""
    from pipelines.finishing.finish import tell

    records = outcome.records.path
    for problem in tell(outcome.outcome, records.name, outcome.reason, str(records)):
        click.echo(problem, err=True)


@main.command("config")
@CONFIG
@PROFILE
@SET
def config_command(config: str, profile: str, overrides: tuple[str, ...]) -> None:
    """Show every option, its value and its meaning."""
    from pipelines.config import load_config

    loaded = load_config(config, profile, overrides)
    parameters = loaded.parameters()
    for section, options in loaded.kind.sections.items():
        click.echo(f"{section}:")
        for name, field in options.model_fields.items():
            click.echo(f"  {name}: {parameters[f'{section}_{name}']!r}")
            click.echo(f"      # {field.description}")
    click.echo("monitoring:")
    for name, value in loaded.monitoring.model_dump(mode="json", exclude_none=True).items():
        click.echo(f"  {name}: {value!r}")
        click.echo(f"      # {type(loaded.monitoring).model_fields[name].description}")


main.add_command(compile_command)
main.add_command(submit_command)
main.add_command(monitor)
main.add_command(check)
main.add_command(serve)
main.add_command(generate)
main.add_command(sample)
main.add_command(rollout)
runs.add_command(add)
runs.add_command(compare)
runs.add_command(export)
main.add_command(runs)
main.add_command(models)
main.add_command(lineage)
main.add_command(metrics)
main.add_command(policy)
main.add_command(pending)
main.add_command(approve)
main.add_command(reject)
main.add_command(settle)
main.add_command(reviewers)
main.add_command(audit)
main.add_command(keys)
main.add_command(outputs)
main.add_command(purge)
main.add_command(requests)


if __name__ == "__main__":
    main()

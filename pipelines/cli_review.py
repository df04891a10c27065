"""`loomline pending`, `approve` and `reject`: people have the last word about a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.errors import USER_ERROR_EXIT_CODE
from serving.commands import HELP, print_table
from serving.review.commands import KEY, one_line

if TYPE_CHECKING:
    from pipelines.reviewing import Review

_RUN = click.argument("run")
_COMMENT = click.option("--comment", "-m", default="", help="Why; it is part of the record.")
_APPROVERS = click.option(
    "--approvers",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of reviewers.  [default: the one that the run was given]",
)
_STORE = click.option(
    "--store",
    "url",
    help="URL of the store: sqlite:///PATH or postgresql+psycopg://...  [default: store.sqlite in "
    "the run's output folder]",
)


@click.command(context_settings=HELP)
@click.argument("roots", nargs=-1, type=click.Path(file_okay=False, path_type=Path))
def pending(roots: tuple[Path, ...]) -> None:
    """List the models that wait for a person, in ROOTS (by default in runs/*/models)."""
    from serving.review.candidates import waiting

    folders = list(roots) or sorted(Path("runs").glob("*/models"))
    with one_line():
        found = [one for folder in folders for one in waiting(folder)]
        rows = [
            [one.run, one.model_name, one.created[:16].replace("T", " "), one.decision()["reason"]]
            for one in found
        ]
    if not rows:
        click.echo("nothing waits for approval")
        return
    print_table(("run", "model", "since (UTC)", "the gate says"), rows)


@click.command(context_settings=HELP)
@_RUN
@_COMMENT
@KEY
@_APPROVERS
@_STORE
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    default=7.0,
    show_default=True,
    help="Until the approval expires, where the push does not follow at once.",
)
def approve(
    run: str,
    comment: str,
    key_path: Path | None,
    approvers: Path | None,
    url: str | None,
    days: float,
) -> None:
    """Approve the model of RUN, and push it.

    RUN is the name of a run, its folder of records, or the folder of the waiting model. The
    approval is signed with your key over the model's files, the gate's decision and all evidence;
    the push verifies it. A second call goes on where a killed one stopped.
    """
    review = _review(run, key_path, approvers, url)
    with one_line():
        version, told = review.approve(comment, days)
    click.echo(told)
    click.echo(f"version {version.version} is at {version.location}")
    _notify(f"{told}: version {version.version} is published", comment)


@click.command(context_settings=HELP)
@_RUN
@_COMMENT
@KEY
@_APPROVERS
@_STORE
def reject(
    run: str, comment: str, key_path: Path | None, approvers: Path | None, url: str | None
) -> None:
    """Reject the model of RUN for good.

    Its copy among the models is removed; the run's own artifacts stay.
    """
    review = _review(run, key_path, approvers, url)
    with one_line():
        told = review.reject(comment)
    click.echo(told)
    _notify(told, comment)


def _notify(told: str, comment: str) -> None:
    from serving.notify import notify

    for problem in notify(f"{told}\n{comment}".rstrip()):
        click.echo(problem, err=True)


def _review(run: str, key_path: Path | None, approvers: Path | None, url: str | None) -> Review:
    from pipelines.reviewing import Review

    with one_line():
        return Review.of(run, key_path, approvers, url)


@click.command(context_settings=HELP)
@click.argument("models", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_APPROVERS
@_STORE
def settle(models: Path, approvers: Path | None, url: str | None) -> None:
    """Publish or remove what was decided about on the review page, below the folder MODELS.

    The gateway records verdicts and cannot publish; run this where the models may be written, such
    as in a GitLab job or a CronJob. `loomline serve` does it by itself.

    Exit codes: 0 all is settled, 2 something stands in the way of a verdict (one line says what).
    """
    from pipelines.reviewing import settle_all

    with one_line():
        told = list(settle_all(models, approvers, url))
    for line, _ in told or [("nothing was decided about", True)]:
        click.echo(line)
    if not all(settled for _, settled in told):
        sys.exit(USER_ERROR_EXIT_CODE)

"""`loomline policy`: what a policy would have decided, and what it may speak of."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from serving.commands import HELP, UserError, print_table

CHANGED_EXIT_CODE = 3


@click.group(context_settings=HELP)
def policy() -> None:
    """Try a policy of the gate on past runs, and list what its rules may speak of."""


@policy.command()
@click.argument("policy_or_config", metavar="POLICY")
@click.argument("roots", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--modality", default="text", show_default=True, help="Of a policy file's figures.")
@click.option(
    "--strict", is_flag=True, help="Exit with code 3 if any decision differs from that of then."
)
def test(policy_or_config: str, roots: tuple[Path, ...], modality: str, strict: bool) -> None:
    """Replay POLICY against past runs.

    POLICY is a YAML file with the key `rules`, or a configuration (text, image, table, or a file).
    ROOTS are output folders or folders of records; by default runs/NAME of the policy's modality.
    Nothing is run or written: the reports that each run left are judged anew.
    """
    from components.gate.replay import replay
    from pipelines.config import load_policy

    rules, modality = load_policy(policy_or_config, modality)
    folders = [folder for root in roots or (Path("runs") / modality,) for folder in _records(root)]
    done = [found for folder in folders if (found := replay(folder, rules)) is not None]
    if not done:
        where = ", ".join(str(root) for root in roots) or f"runs/{modality}"
        raise UserError(f"expected runs that came to a decision in {where}. Received: none")
    words = {True: "approved", False: "rejected"}
    rows = [
        [
            one.run,
            words[one.before],
            words[one.after] if one.after != one.before else "the same",
            one.reason,
        ]
        for one in done
    ]
    print_table(("run", "decided then", "by this policy", "first rule that does not pass"), rows)
    changed = sum(one.before != one.after for one in done)
    click.echo(f"{changed} of {len(done)} decisions would change")
    if strict and changed:
        sys.exit(CHANGED_EXIT_CODE)


def _records(root: Path) -> list[Path]:
    """The folders of records below an output folder, oldest first; or the one that it is."""
    if (root / "decision.json").is_file():
        return [root]
    return sorted(path for path in (root / "records").glob("*") if path.is_dir())


@policy.command()
@click.argument("modality")
def metrics(modality: str) -> None:
    """List the figures of MODALITY that rules may speak of."""
    from components.gate.metrics import METRICS
    from pipelines.modalities import modality_of

    for name in METRICS[modality_of(modality, "MODALITY").name]:
        click.echo(name)

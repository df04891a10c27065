"""What the commands of serving share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

_NEVER_WRAPPED = 100_000
# A command keeps the help option that it was first asked with, whoever asked.
HELP = {"help_option_names": ["-h", "--help"]}


class UserError(click.ClickException):
    """Something that the user can mend: one line, and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {' '.join(self.message.split())}", err=True)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows under their titles; on a terminal the last column is wrapped."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=title != titles[-1])
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _NEVER_WRAPPED
    console.print(table)

"""What the commands of serving share."""

from __future__ import annotations

from typing import Any

import click

# A command keeps the help option that it was first asked with, whoever asked.
HELP = {"help_option_names": ["-h", "--help"]}


class UserError(click.ClickException):
    """Something that the user can mend: one line, and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {' '.join(self.message.split())}", err=True)

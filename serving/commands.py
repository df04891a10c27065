"""What the commands of serving share."""

from __future__ import annotations

from typing import Any

import click


class UserError(click.ClickException):
    """Something that the user can mend: one line, and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {' '.join(self.message.split())}", err=True)

"""The reference is the code's own, and every command explains itself."""

import click
import pytest

from pipelines.cli import main
from pipelines.reference import DESTINATION, reference


def test_the_reference_is_up_to_date() -> None:
    assert DESTINATION.read_text("utf-8") == reference(), "run: make docs"


@pytest.mark.parametrize("name", main.commands)
def test_every_command_and_option_has_help(name: str) -> None:
    command = main.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name

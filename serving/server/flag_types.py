"""The values that flags take; a wrong one is told with what was expected.

Every function raises `argparse.ArgumentTypeError`, which ends the process with exit code 2.
"""

from __future__ import annotations

import argparse


def boolean(text: str) -> bool:
    """`true` or `false`, `1` or `0`."""
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false. Received: {text}")


def _integer(text: str, least: int, most: int | None = None) -> int:
    wanted = f"a whole number from {least}" + (f" to {most}" if most is not None else "")
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {wanted}. Received: {text}") from None
    if number < least or (most is not None and number > most):
        raise argparse.ArgumentTypeError(f"expected {wanted}. Received: {text}")
    return number


def port(text: str) -> int:
    """A port; 0 stands for a free one."""
    return _integer(text, 0, 65_535)


def rest_port(text: str) -> int:
    """A port; 0 stands for none and -1 for a free one."""
    return _integer(text, -1, 65_535)


def count(text: str) -> int:
    """A whole number from 0."""
    return _integer(text, 0)


def positive(text: str) -> int:
    """A whole number from 1."""
    return _integer(text, 1)


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """NAME=VALUE,... where a value that is a number becomes one, as in TensorFlow Serving."""
    arguments: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise argparse.ArgumentTypeError(f"expected NAME=VALUE,... Received: {part}")
        number = value.removeprefix("-").isdecimal()
        arguments.append((name, int(value) if number else value))
    return arguments

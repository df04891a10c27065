"""The gateway's command line: a flag for every setting, and a YAML file for all of them."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from serving.gateway.settings import Settings, load

_EPILOG = """\
It prints one line, "Gateway on http://HOST:PORT", once it accepts requests, and logs JSON to
standard error. SIGTERM or Ctrl-C: it takes no new connections, finishes open requests within the
grace, writes the records that wait, and exits with 0. The environment's
OTEL_EXPORTER_OTLP_ENDPOINT names a collector, if the settings do not.
"""


def parse(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Settings:
    """Reads the command line; a mistake in its form ends the process with exit code 2.

    Raises:
        SettingsError: a setting is unknown or out of bounds.
    """
    parser = argparse.ArgumentParser(
        prog="python -m serving.gateway",
        description="Serves an HTTP API and a playground in front of a TensorFlow Serving address.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML of these settings; flags win over it"
    )
    for name, field in Settings.model_fields.items():
        _add(parser, name, field)
    given = {
        name: value
        for name, value in vars(parser.parse_args(arguments)).items()
        if value is not None
    }
    file = given.pop("config", None)
    settings = load(file, given)
    collector = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if settings.otlp_endpoint is None and collector:
        settings = settings.model_copy(update={"otlp_endpoint": collector})
    return settings


def _add(parser: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    """A flag without a default of its own: what is not given is left to the file or the setting."""
    default = field.default
    words = (field.description or "").replace("%", "%%")
    shown = "none" if default is None else default
    if isinstance(default, tuple):
        shown = ",".join(default) or "none"
    if name == "static":
        shown = "the one of this package"
    options: dict[str, Any] = {"help": f"{words} (default {shown})", "dest": name}
    flags = [f"--{name.replace('_', '-')}"]
    if "_" in name:
        flags.append(f"--{name}")
    if isinstance(default, bool):
        options |= {"action": argparse.BooleanOptionalAction}
    elif isinstance(default, tuple):
        options |= {"type": _names, "metavar": "NAME,..."}
    elif typing.get_origin(field.annotation) is typing.Literal:
        options |= {"choices": typing.get_args(field.annotation)}
    else:
        # Checked with the other settings, so that mistakes in flags and files read alike.
        options |= {"metavar": _metavar(field.annotation)}
    parser.add_argument(*flags, **options)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _metavar(annotation: Any) -> str:
    kinds = (
        typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    )
    names = {int: "N", float: "X", Path: "PATH", str: "TEXT"}
    return next((names[kind] for kind in kinds if kind in names), "X")

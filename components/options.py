"""How a step's options reach it: as typed parameters, checked, described in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pydantic

from components.errors import ConfigError

Options = TypeVar("Options", bound=pydantic.BaseModel)
Function = TypeVar("Function", bound=Callable[..., Any])


def chosen(options: type[Options], values: Mapping[str, Any]) -> Options:
    """Builds a step's options from its parameters.

    Args:
        options: the step's option model.
        values: the parameters of the step, by name; those the model does not have are ignored.

    Raises:
        ConfigError: a value is of the wrong type or out of range.
    """
    fields = {name: values[name] for name in options.model_fields if name in values}
    try:
        return options.model_validate(fields)
    except pydantic.ValidationError as error:
        raise ConfigError("; ".join(explain(error))) from None


def explain(error: pydantic.ValidationError, prefix: str = "") -> list[str]:
    """One line for each thing wrong: the key, what was expected, what was received."""
    lines = []
    for problem in error.errors():
        key = ".".join([*prefix.split(), *(str(part) for part in problem["loc"])])
        message = problem["msg"].removeprefix("Value error, ")
        where = f"{key}: " if key else ""
        received = "" if "received" in message.lower() else f". Received: {problem['input']!r}"
        lines.append(f"{where}{message[:1].lower()}{message[1:]}{received}")
    return lines


def describe(
    *options: type[pydantic.BaseModel], prefix: str = "", **others: str
) -> Callable[[Function], Function]:
    """Completes a docstring with the parameters that options describe, for the Kubeflow UI.

    Args:
        options: option models whose fields are parameters of the function.
        prefix: what the parameters' names have before the fields' names.
        others: descriptions of the remaining parameters.
    """
    lines = [
        f"{prefix}{name}: {field.description}"
        for model in options
        for name, field in model.model_fields.items()
    ]
    lines += [f"{name}: {text}" for name, text in others.items()]

    def decorate(function: Function) -> Function:
        head = (function.__doc__ or "").rstrip()
        function.__doc__ = "\n".join([head, "", "    Args:", *(f"        {x}" for x in lines)])
        return function

    return decorate


def described(options: type[pydantic.BaseModel], names: Iterable[str]) -> dict[str, str]:
    """The descriptions of some of the options, for a step that takes no others."""
    return {name: options.model_fields[name].description or "" for name in names}

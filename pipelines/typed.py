"""Makes a pipeline whose typed, described parameters are spelled out by option models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

from components.options import describe


def typed_pipeline(
    name: str,
    steps: Callable[[Mapping[str, Any]], None],
    parameters: Mapping[str, type],
    descriptions: Mapping[str, str],
    docstring: str | None,
) -> Any:
    """A pipeline as Kubeflow knows it.

    Kubeflow takes a pipeline's parameters from the signature of a function, so the function gets
    the signature that the options spell out.

    Args:
        name: of the pipeline.
        steps: strings the steps together, given the parameters by name.
        parameters: name -> type.
        descriptions: name -> meaning, for the Kubeflow UI.
        docstring: what the pipeline does.
    """

    def pipeline(*values: Any) -> None:
        steps(dict(zip(parameters, values, strict=True)))

    pipeline.__doc__ = docstring
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
            for name, kind in parameters.items()
        ]
    )
    return dsl.pipeline(name=name)(describe(**descriptions)(pipeline))

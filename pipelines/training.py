"""The training pipeline: one definition for every modality, for the laptop and for the cluster."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.options import describe
from pipelines.modalities import Modality
from pipelines.parameters import descriptions, section, types


def training(modality: Modality) -> Any:
    """The pipeline for one modality, with that modality's options as its typed parameters.

    Kubeflow takes a pipeline's parameters from the signature of a function, so the function gets
    the signature that the options spell out.
    """
    parameters = types(modality)

    def pipeline(*values: Any) -> None:
        _steps(modality, dict(zip(parameters, values, strict=True)))

    pipeline.__doc__ = _steps.__doc__
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
            for name, kind in parameters.items()
        ]
    )
    described = describe(**descriptions(modality))(pipeline)
    return dsl.pipeline(name=f"loomline-training-{modality.name}")(described)


def _steps(modality: Modality, parameters: Mapping[str, Any]) -> None:
    """Takes raw data to a gated model that is published for TensorFlow Serving.

    1. ingest reads the source and splits it by digest;
    2. validate sets aside the examples that break an expectation;
    3. transform learns from the training split how raw data become numbers, and applies it;
    4. train fits the model, exports it, and resumes where a killed run stopped;
    5. evaluate judges the export beside yardsticks and beside the version now served;
    6. drift compares eras of data, what users ask for, what is generated, and the training data
       of the version now served;
    7. gate decides by the policy's rules;
    8. push publishes what the gate approved.

    However the run ends, summarize writes down how.
    """

    def step(name: str, **others: Any) -> Any:
        return modality.component(name)(**section(modality, name, parameters), **others)

    def of_the_run(*names: str) -> dict[str, Any]:
        return {name: parameters[name] for name in names}

    from components.summarize.component import summarize

    finish = summarize(**of_the_run("records", "provenance")).set_caching_options(False)
    with dsl.ExitHandler(finish, name="steps"):
        ingested = step("ingest", **of_the_run("source_digest", "code_digest"))
        checked = step(
            "validate", examples=ingested.outputs["examples"], **of_the_run("code_digest")
        )
        transformed = step(
            "transform", examples=checked.outputs["validated"], **of_the_run("code_digest")
        )
        trained = step(
            "train",
            transformed=transformed.outputs["transformed"],
            graph=transformed.outputs["graph"],
            **of_the_run("checkpoints", "code_digest"),
        )
        evaluated = step(
            "evaluate",
            examples=checked.outputs["validated"],
            model=trained.outputs["model"],
            **of_the_run("champion", "champion_digest", "code_digest"),
        )
        drifted = step(
            "drift",
            examples=checked.outputs["validated"],
            evaluation=evaluated.outputs["evaluation"],
            model=trained.outputs["model"],
            **of_the_run("prompts_digest", "champion", "champion_digest", "code_digest"),
        )
        # The gate depends on the time and on what is served, and push acts on the world:
        # neither may be answered from a cache.
        decided = step(
            "gate",
            model=trained.outputs["model"],
            validation=checked.outputs["report"],
            evaluation=evaluated.outputs["evaluation"],
            drift=drifted.outputs["report"],
            **of_the_run("champion", "records"),
        ).set_caching_options(False)
        with dsl.If(decided.outputs["Output"] == True, name="approved"):  # noqa: E712
            step(
                "push",
                model=trained.outputs["model"],
                decision=decided.outputs["decision"],
                evaluation=evaluated.outputs["evaluation"],
                drift=drifted.outputs["report"],
                **of_the_run("provenance", "records"),
            ).set_caching_options(False)

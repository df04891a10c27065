"""The training pipeline: one definition for every modality, for the laptop and for the cluster."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.push.champion import AUTO
from pipelines.hardware.placing import defaults, place, workers
from pipelines.hardware.placing import descriptions as hardware_descriptions
from pipelines.hardware.profile import Hardware
from pipelines.modalities import Modality
from pipelines.parameters import descriptions, section, types
from pipelines.typed import typed_pipeline

# Push publishes the next version: a second attempt could publish a model twice. The exit handler
# tells people: a second one would tell them twice.
ONCE = ("push", "summarize")
# They read or write object stores; without a volume for a copy, so does what reads the champion.
STORES = ("ingest", "champion", "push")
COMPARES = ("evaluate", "drift", "gate")
# Parameters of a local run that a step finds out on a cluster.
FOUND_OUT = ("champion_digest",)
WORKERS = {"hardware_workers": "The workers that train: how many, in what job, what each gets."}
NOTIFY = {"notify": "Tell people of a run that waits for approval, was rejected or failed."}


def training(modality: Modality, hardware: Hardware | None = None) -> Any:
    """The pipeline for one modality, with that modality's options as its typed parameters.

    Args:
        modality: whose steps and options.
        hardware: where the steps run on a cluster; None where they run on this machine, whose
            command tells people by itself.
    """
    parameters = types(modality)
    described = descriptions(modality)
    if hardware is not None:
        parameters |= {name: type(value) for name, value in cluster_defaults(hardware).items()}
        for name in FOUND_OUT:
            del parameters[name], described[name]
        described |= {**NOTIFY, **hardware_descriptions(hardware)}
        described |= WORKERS if hardware.workers else {}

    return typed_pipeline(
        f"loomline-training-{modality.name}",
        functools.partial(_steps, modality, hardware),
        parameters,
        described,
        _steps.__doc__,
    )


def cluster_defaults(hardware: Hardware) -> dict[str, Any]:
    """The parameters that a compiled pipeline has beside those of a local run."""
    many = {"hardware_workers": workers(hardware)} if hardware.workers else {}
    return {"notify": True, "champion": AUTO, **defaults(hardware), **many}


def _steps(modality: Modality, hardware: Hardware | None, parameters: Mapping[str, Any]) -> None:
    """Takes raw data to a gated model that is published for TensorFlow Serving.

    1. ingest reads the source and splits it by digest;
    2. validate sets aside the examples that break an expectation;
    3. transform learns from the training split how raw data become numbers, and applies it;
    4. train fits the model, exports it, and resumes where a killed run stopped;
    5. evaluate judges the export beside yardsticks and beside the version now served, which on a
       cluster a step of its own, champion, finds;
    6. drift compares eras of data, what users ask for, what is generated, and the training data
       of the version now served;
    7. gate decides by the policy's rules;
    8. push publishes what the gate approved.

    However the run ends, summarize writes down how, and tells people where one is needed.
    """

    def placed(task: Any, name: str) -> Any:
        if hardware is None:
            return task
        return place(
            task,
            name,
            hardware,
            parameters,
            retried=name not in ONCE,
            tells=name == "summarize",
            stores=name in (STORES if hardware.volume else (*STORES, *COMPARES)),
        )

    def step(name: str, **others: Any) -> Any:
        task = modality.component(name)(**section(modality, name, parameters), **others)
        return placed(task, name)

    def of_the_run(*names: str) -> dict[str, Any]:
        return {name: parameters[name] for name in names}

    def served(after: Any) -> dict[str, Any]:
        """The version to compare with; here the command has found it, there a step has to."""
        if hardware is None:
            return of_the_run("champion", "champion_digest")
        from components.champion.component import champion

        found = champion(
            base_path=parameters["push_base_path"],
            model_name=parameters["push_model_name"],
            keep=f"{hardware.volume.mount}/champions" if hardware.volume else "",
            **of_the_run("champion", "provenance"),
        )
        # As late as can be, and never from a cache: other runs publish, too.
        placed(found.after(after), "champion").set_caching_options(False)
        return {"champion": found.outputs["folder"], "champion_digest": found.outputs["digest"]}

    from pipelines.finishing.component import summarize

    finish = summarize(
        **of_the_run("records", "provenance"), notify=parameters.get("notify", False)
    ).set_caching_options(False)
    placed(finish, "summarize")
    with dsl.ExitHandler(finish, name="steps"):
        ingested = step("ingest", **of_the_run("source_digest", "code_digest"))
        checked = step(
            "validate", examples=ingested.outputs["examples"], **of_the_run("code_digest")
        )
        transformed = step(
            "transform", examples=checked.outputs["validated"], **of_the_run("code_digest")
        )
        many = {"workers": parameters["hardware_workers"]} if hardware and hardware.workers else {}
        trained = step(
            "train",
            transformed=transformed.outputs["transformed"],
            graph=transformed.outputs["graph"],
            **many,
            **of_the_run("checkpoints", "code_digest"),
        )
        rival = served(after=trained)
        evaluated = step(
            "evaluate",
            examples=checked.outputs["validated"],
            model=trained.outputs["model"],
            **rival,
            **of_the_run("code_digest"),
        )
        drifted = step(
            "drift",
            examples=checked.outputs["validated"],
            evaluation=evaluated.outputs["evaluation"],
            model=trained.outputs["model"],
            **rival,
            **of_the_run("prompts_digest", "code_digest"),
        )
        # The gate depends on the time and on what is served, and push acts on the world:
        # neither may be answered from a cache.
        decided = step(
            "gate",
            model=trained.outputs["model"],
            validation=checked.outputs["report"],
            evaluation=evaluated.outputs["evaluation"],
            drift=drifted.outputs["report"],
            **rival,
            **of_the_run("records"),
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

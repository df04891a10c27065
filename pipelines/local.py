"""Runs the training pipeline on this machine: the same definition that the cluster runs."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

from components.artifacts import digest_files, read_json, write_json
from components.errors import ConfigError, DataError
from components.push.approval import read_approvers
from components.push.champion import resolve_champion
from components.summarize.records import Records
from components.summarize.summarize import run as summarize
from components.transfers import resolved
from pipelines.config import Config
from pipelines.containers import Containers, folders_of, image_id
from pipelines.digests import code_digest, files_of, inputs_fingerprint
from pipelines.output import Output, locked
from pipelines.provenance import provenance_of
from pipelines.steps import Listener, StepRecord, run_pipeline
from serving.storage import is_remote

# What each step imports that takes seconds; see `pipelines.warm`.
STEP_IMPORTS = {
    "ingest": ("pyarrow.parquet",),
    "validate": ("great_expectations",),
    "transform": ("tensorflow_transform.beam",),
    "train": ("keras",),
    "evaluate": ("tensorflow",),
    "drift": ("evidently",),
    "gate": (),
    "push": (),
    "summarize": (),
}


# What ships with the steps is in their image.
_COMPONENTS = Path(__file__).resolve().parent.parent / "components"


@dataclasses.dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        outcome: 'pushed', 'pending' (a person has the last word), 'rejected', 'finished' or
            'failed'.
        reason: one line: the gate's reason, or the error of the step that failed.
        user_error: whether the failure is one that the user can mend.
        steps: every step that ran or was answered from the cache.
        records: the run's folder of records.
        seconds: wall time.
    """

    outcome: str
    reason: str
    user_error: bool
    steps: list[StepRecord]
    records: Records
    seconds: float


def run_training(config: Config, output: Output, listener: Listener, image: str = "") -> RunResult:
    """Takes the data to a pushed model, or to the reason why there is none.

    Args:
        config: what to run.
        output: where everything lies.
        listener: is told of every step.
        image: image of the containers that the steps run in; empty for subprocesses.

    Raises:
        BusyError: another run holds the output folder.
        ConfigError: there is no such expectation suite, or another file or image that is named.
        DataError: the source does not exist or cannot be read.
        AlteredModelError: the version to compare with is not the one that was published.
        PublishError: the output folder cannot be written, or the object store not read.
        SetupError: there is no engine for containers.
    """
    start = time.monotonic()
    if image:
        # Containers see the same folders, by the same names.
        output = Output(output.root.resolve())
    with locked(output):
        arguments, records = _arguments(config, output, image)
        containers = _containers(config, output, image, arguments) if image else None

        def pipeline(**given: Any) -> Any:
            # Imported here: loading a pipeline loads kfp.
            from pipelines.training import training

            return training(config.kind)(**given)

        try:
            steps = run_pipeline(
                pipeline,
                arguments,
                pipeline_root=output.artifacts,
                cache_root=output.cache,
                logs=records.path / "logs",
                listener=listener,
                imports=STEP_IMPORTS,
                containers=containers,
            )
        except KeyboardInterrupt:
            # The exit handler goes down with the run, so its work is done here.
            provenance = arguments["provenance"]
            summarize("CANCELLED", "stopped by Ctrl-C", records.path, provenance)
            raise
        return _result(steps, records, time.monotonic() - start)


def _arguments(config: Config, output: Output, image: str = "") -> tuple[dict[str, Any], Records]:
    source = config.kind.snapshot_digest(config.source)
    code = code_digest(*files_of(config), content=image_id(image) if image else "")
    base_path = resolved(config.push.base_path or output.models)
    approvers = Path(config.push.approvers).resolve() if config.push.approvers else None
    if approvers is not None:
        # Now, and not after an hour of training.
        read_approvers(approvers)
    prompts = Path(config.drift.prompts).resolve() if config.drift.prompts else None
    prompts_digest = _prompts_digest(prompts) if prompts else ""
    fingerprint = inputs_fingerprint(config, source, code)
    found = resolve_champion(base_path, config.push.model_name, fingerprint)
    champion, champion_digest = (str(found[0]), found[1]) if found else ("", "")
    records = Records(output.new_records().resolve())
    arguments = {
        **config.parameters(),
        "push_base_path": base_path,
        "push_approvers": str(approvers or ""),
        "push_waiting": str(Path(config.push.waiting or output.models).resolve()),
        "source_digest": source,
        "code_digest": code,
        "drift_prompts": str(prompts or ""),
        "prompts_digest": prompts_digest,
        "champion": champion,
        "champion_digest": champion_digest,
        "checkpoints": str(output.checkpoints.resolve()),
        "records": str(records.path),
        "provenance": provenance_of(config, records.path.name, source, code, fingerprint, champion),
    }
    return arguments, records


def _prompts_digest(path: Path) -> str:
    """Identifies the requests that are compared.

    Raises:
        DataError: there is no such file; now, and not after an hour of training.
    """
    if not path.is_file():
        raise DataError(f"drift.prompts: expected a file at {path}. Received: no such file")
    return digest_files(path)


def _containers(
    config: Config, output: Output, image: str, arguments: dict[str, Any]
) -> Containers:
    """What the containers of the steps see: what they read and write, and nothing else."""
    for name, place in (
        ("ingest.source", config.source),
        ("push.base_path", arguments["push_base_path"]),
    ):
        if is_remote(place):
            raise ConfigError(
                f"expected {name} to be a local path, because the containers of the steps reach "
                f"neither the network nor your keys. Received: {place}; leave out --runner docker, "
                "or mount the store and give the folder"
            )
    base_path = Path(arguments["push_base_path"])
    with contextlib.suppress(OSError):
        # The engine would make it as root; where this fails, it says why.
        base_path.mkdir(parents=True, exist_ok=True)
    readable = [*folders_of(config.kind.source_files(config.source))]
    files = [path.absolute() for path in files_of(config)]
    readable += [path for path in files if not path.resolve().is_relative_to(_COMPONENTS)]
    named = (arguments["push_approvers"], arguments["drift_prompts"])
    readable += [Path(path) for path in named if path]
    if config.source.startswith("~"):
        arguments["ingest_source"] = str(Path(config.source).expanduser())
    containers = Containers(image, output.root, (output.root, base_path), tuple(readable))
    containers.stop_leftovers()
    return containers


def _result(steps: list[StepRecord], records: Records, seconds: float) -> RunResult:
    summary = read_json(records.summary_path) if records.summary_path.is_file() else {}
    failed = next((step for step in steps if step.state == "failed"), None)
    outcome = "failed" if failed else summary.get("outcome", "failed")
    reason = (summary.get("decision") or {}).get("reason", "")
    if failed:
        problem = failed.error or f"failed unexpectedly; its output is in {failed.log}"
        reason = f"{failed.name}: {problem}"
    result = RunResult(outcome, reason, bool(failed and failed.error), steps, records, seconds)
    described = [dataclasses.asdict(step) for step in steps]
    summary |= {"outcome": outcome, "reason": reason, "seconds": seconds, "steps": described}
    write_json(records.summary_path, summary)
    return result

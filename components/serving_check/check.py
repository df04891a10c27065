"""Checks that a model answers under older TensorFlow versions as it does under the current one."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.artifacts import Figure, ServingCheck, saved_model_digest
from components.errors import ModelError, SetupError
from components.serving_check.comparison import ABSOLUTE, RELATIVE, compare
from components.serving_check.environments import available_versions, ensure
from components.serving_check.probes import probes
from components.serving_check.worker import THREADS

WORKER = Path(__file__).parent / "worker.py"
RUN_SECONDS = 1200


def run(model: Path, versions: Sequence[str], written: Path) -> dict[str, Any]:
    """Runs the model's requests under each version, with XLA off as TensorFlow Serving has it.

    Args:
        model: a SavedModel's folder.
        versions: TensorFlow versions, such as '2.20'; each gets an environment of its own.
        written: folder for `serving_check.json`.

    Returns:
        What the JSON holds; see `ServingCheck`.

    Raises:
        ModelError: there is no SavedModel, it cannot be read, or it fails here, too.
        SetupError: an environment cannot be made, or a version has none.
    """
    digest = saved_model_digest(model)
    unknown = [version for version in versions if version not in available_versions()]
    if unknown or not versions:
        accepted = ", ".join(available_versions()) or "none; run it from Loomline's repository"
        received = ", ".join(unknown) or "none"
        raise SetupError(f"expected TensorFlow versions of: {accepted}. Received: {received}")
    requests = probes(model)
    pythons = {version: ensure(version) for version in dict.fromkeys(versions)}
    with tempfile.TemporaryDirectory() as scratch:
        asked = Path(scratch) / "requests.json"
        asked.write_text(json.dumps(requests))
        expected = _answers(Path(sys.executable), model, asked, without_xla=False)
        _usable(model, requests, expected)
        found = {
            version: _answers(python, model, asked, without_xla=True)
            for version, python in pythons.items()
        }
    content: dict[str, Any] = {
        "model_digest": digest,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "current": expected["tensorflow"],
        "tolerance": {"absolute": ABSOLUTE, "relative": RELATIVE},
        "threads": THREADS,
        "versions": {
            version: _version(requests, expected, result) for version, result in found.items()
        },
    }
    ServingCheck(written).write(content)
    return content


def figures(content: Mapping[str, Any]) -> dict[str, Figure]:
    """For the gate's rules: 1 or 0 for each version, and the share of versions with 1.

    1 means that every answer was equal; the samples are the requests.
    """
    versions = content["versions"]
    asked = {
        version: sum(verdict["requests"] for verdict in found["signatures"].values())
        for version, found in versions.items()
    }
    share = sum(found["equal"] for found in versions.values()) / len(versions)
    label = f"Answers alike under TensorFlow {', '.join(versions)}"
    figures = {"serving.equal": _figure(share, sum(asked.values()), label)}
    for version, found in versions.items():
        name = f"serving.tensorflow_{version.replace('.', '_')}"
        label = f"Answers alike under TensorFlow {version}"
        figures[name] = _figure(float(found["equal"]), asked[version], label)
    return figures


def _figure(value: float, samples: int, label: str) -> Figure:
    return Figure(value, samples=samples, unit="share", better="higher", label=label)


def _version(
    requests: list[dict[str, Any]], expected: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    verdicts = compare(requests, expected, result)
    return {
        "tensorflow": result.get("tensorflow"),
        "equal": all(verdict.verdict == "equal" for verdict in verdicts.values()),
        "signatures": {name: dataclasses.asdict(verdict) for name, verdict in verdicts.items()},
    }


def _usable(model: Path, requests: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """Refuses a model that does not work here: equal failures prove nothing."""
    if "answers" not in expected:
        reason = expected.get("problem", "no answer")
        raise ModelError(f"expected a readable SavedModel at {model}. Received: {reason}")
    for name in dict.fromkeys(request["signature"] for request in requests):
        answers = [
            answer
            for request, answer in zip(requests, expected["answers"], strict=True)
            if request["signature"] == name
        ]
        if all("error" in answer for answer in answers):
            raise ModelError(
                f"expected an answer from the signature {name!r} of {model} under TensorFlow "
                f"{expected['tensorflow']}. Received: {answers[0]['message']}"
            )


def _answers(python: Path, model: Path, asked: Path, without_xla: bool) -> dict[str, Any]:
    """Runs the worker; a process that dies or hangs is a result, too."""
    results = asked.with_name("results.json")
    results.unlink(missing_ok=True)
    # Isolated, so that it sees neither this code nor the user's packages.
    command = [str(python), "-I", str(WORKER), str(model.resolve()), str(asked), str(results)]
    command += ["--without-xla"] if without_xla else []
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    log = asked.with_name("worker.log")
    try:
        with log.open("w") as errors:
            done = subprocess.run(
                command, env=variables, stderr=errors, timeout=RUN_SECONDS, check=False
            )
    except subprocess.TimeoutExpired:
        return {"problem": f"no answer within {RUN_SECONDS} s"}
    if done.returncode or not results.is_file():
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or [""]
        return {"problem": f"the process ended with {done.returncode}: {last[0][:300]}"}
    found: dict[str, Any] = json.loads(results.read_text())
    return found

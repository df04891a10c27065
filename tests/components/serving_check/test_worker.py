"""The worker answers requests alone, and what it writes is read back exactly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.serving_check.probes import probes
from components.serving_check.worker import decode, encode, run

WORKER = Path("components/serving_check/worker.py")


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.1, -1e30, np.inf, np.nan], np.float32),
        np.array([[1, -(2**60)], [3, 4]], np.int64),
        np.array([True, False]),
        np.array([b"", b"\x00\xff", "caf\u00e9".encode()], object),
        np.zeros([0, 3], np.int32),
        np.float32(0.3),
    ],
)
def test_a_tensor_comes_back_as_it_was(array: Any) -> None:
    back = decode(json.loads(json.dumps(encode(array))))
    assert back.shape == np.shape(array)
    assert back.dtype == np.asarray(array).dtype
    np.testing.assert_array_equal(back, array)


def test_answers_are_the_models_own(toy: Path) -> None:
    requests = probes(toy)
    found = run(str(toy), requests, without_xla=False)
    assert len(found["answers"]) == len(requests)
    for request, answer in zip(requests, found["answers"], strict=True):
        seeds = decode(request["inputs"]["seed"])
        texts = decode(answer["outputs"]["text"]).tolist()
        prompts = decode(request["inputs"]["prompt"])
        assert texts == [b"%s%d" % pair for pair in zip(prompts, seeds, strict=True)]
        scores = decode(answer["outputs"]["score"])
        assert scores == pytest.approx(2 * np.sin(seeds.astype(np.float32)), rel=1e-5)
        assert answer["concurrent"] == []


def test_a_refused_request_is_an_answer(toy: Path) -> None:
    requests = probes(toy)[:1]
    requests[0]["inputs"]["seed"]["values"] = [-1, 2]
    (answer,) = run(str(toy), requests, without_xla=False)["answers"]
    assert answer["error"] == "InvalidArgumentError"
    assert "seed must be 0 or more" in answer["message"]


def test_a_model_that_cannot_be_loaded_is_a_result(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    assert "problem" in run(str(tmp_path), [], without_xla=False)


def test_it_stands_alone_and_xla_is_off_where_asked(save: Any, tmp_path: Path) -> None:
    """Without this repository in sight; a model that needs XLA then gives no answer."""
    model = save(compiled=True)
    requests = tmp_path / "requests.json"
    requests.write_text(json.dumps(probes(model)[:1]))
    found = {}
    for mode in ("--with-xla", "--without-xla"):
        results = tmp_path / mode
        command = [sys.executable, "-I", str(WORKER.resolve()), str(model), str(requests)]
        subprocess.run([*command, str(results), mode], cwd=tmp_path, check=True, timeout=120)
        (found[mode],) = json.loads(results.read_text())["answers"]
    assert "outputs" in found["--with-xla"]
    assert "XLA" in found["--without-xla"]["message"]

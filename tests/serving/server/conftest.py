"""A server process that answers over gRPC, REST and with metrics."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REST_PREFIX = "Serving REST on "


@dataclasses.dataclass(frozen=True)
class RestServer:
    """A process of `python -m serving.server` with every door open.

    Attributes:
        server: the process, whose `address` is for gRPC.
        address: HOST:PORT of REST.
        monitoring_path: path of the metrics there.
    """

    server: Any
    address: str
    monitoring_path: str


@pytest.fixture(scope="session")
def save_estimator() -> Callable[[Path], Path]:
    """Exports a model like those of TensorFlow 1, which reads tf.Examples.

    Its signatures are `serving_default` (Classify), `regress` and `predict`.
    """

    def save(path: Path) -> Path:
        import tensorflow as tf

        v1 = tf.compat.v1
        info, build = v1.saved_model.utils.build_tensor_info, v1.saved_model.signature_def_utils
        with tf.Graph().as_default(), v1.Session() as session:
            serialized = v1.placeholder(tf.string, [None], "examples")
            feature = tf.io.FixedLenFeature([1], tf.float32)
            value = tf.io.parse_example(serialized, {"x": feature})["x"]
            classes = tf.tile([["low", "high"]], [tf.shape(value)[0], 1])
            scores = tf.concat([1 - value, value], axis=1)

            def signature(method: str, **outputs: Any) -> Any:
                return build.build_signature_def(
                    {"inputs": info(serialized)},
                    {name: info(tensor) for name, tensor in outputs.items()},
                    f"tensorflow/serving/{method}",
                )

            signatures = {
                "serving_default": signature("classify", classes=classes, scores=scores),
                "regress": signature("regress", outputs=value * 2),
                "predict": signature("predict", y=value),
            }
            builder = v1.saved_model.Builder(str(path))
            builder.add_meta_graph_and_variables(session, ["serve"], signatures)
            builder.save()
        return path

    return save


@pytest.fixture(scope="session")
def rest_server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    publish: Callable[[Path, Path, int], Path],
    save_estimator: Callable[[Path], Path],
    start_server: Callable[..., Any],
) -> RestServer:
    """Version 3 of the toy model, `text`, and 1 of `estimator`; REST answers have a second."""
    folder = tmp_path_factory.mktemp("rest")
    monitoring, models = folder / "monitoring.config", folder / "models.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics/here" }')
    entries = [
        f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}'
        for name in ("text", "estimator")
    ]
    models.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    running = start_server(
        folder / "text",
        f"--model_config_file={models}",
        "--rest_api_port=-1",
        "--rest_api_timeout_in_ms=1000",
        "--rest_api_num_threads=4",
        f"--monitoring_config_file={monitoring}",
    )
    publish(request.getfixturevalue("saved_models")["first"], folder / "text", 3)
    publish(save_estimator(folder / "unpublished"), folder / "estimator", 1)
    assert running.address
    assert running.process.stdout is not None
    line = running.process.stdout.readline()
    assert line.startswith(REST_PREFIX), f"{line!r}\n{running.log.read_text('utf-8')}"
    address = line.removeprefix(REST_PREFIX).strip()
    for name in ("text", "estimator"):
        _wait_until_available(f"http://{address}/v1/models/{name}", seconds=60)
    return RestServer(running, address, "/metrics/here")


def _wait_until_available(url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                states = json.load(response)["model_version_status"]
                if [status["state"] for status in states] == ["AVAILABLE"]:
                    return
        except OSError:
            pass
        assert time.monotonic() < end, "the model was never available"
        time.sleep(0.1)

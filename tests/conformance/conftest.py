"""The server under test, by address or started here, its models, and plain ways to call it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

TIMEOUT = 60.0  # seconds that a call, a load or an unload may take on a slow machine
EXPORT = 300.0  # seconds that exporting the models may take
OURS = "embedded_only"
THEIRS = "image_only"
CONFIG = "model_config_list {}\n"
MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'


def pytest_addoption(parser: pytest.Parser) -> None:
    """They exist where this folder is named on the command line."""
    group = parser.getgroup("conformance")
    group.addoption("--server-address", help="HOST:PORT of gRPC; default: a server of our own")
    group.addoption("--rest-address", help="HOST:PORT of the REST API")
    group.addoption("--model-root", help="a folder that the server sees under the same path")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in (
        (OURS, "what the embedded server adds or does differently; skipped by address"),
        (THEIRS, "where the embedded server differs on purpose; skipped without an address"),
    ):
        config.addinivalue_line("markers", f"{name}(reason): {meaning}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skipped = OURS if config.getoption("--server-address", None) else THEIRS
    for item in items:
        marker = item.get_closest_marker(skipped)
        if marker:
            reason = marker.kwargs.get("reason", "a behaviour of the embedded server only")
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the server under test listens, and the folder that both sides see."""

    grpc: str
    rest: str
    root: Path


@pytest.fixture(scope="session")
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """The server of the command line, or the embedded one."""
    option = request.config.getoption
    address, rest = option("--server-address", None), option("--rest-address", None)
    root = option("--model-root", None)
    if address:
        if not (rest and root):
            pytest.exit("--server-address needs --rest-address and --model-root too", 2)
        folder = Path(root, f"conformance-{os.getpid()}").resolve()
        folder.mkdir(parents=True)
        yield Target(address, rest, folder)
        shutil.rmtree(folder)
        return
    folder = tmp_path_factory.mktemp("conformance")
    with _embedded(folder) as (address, rest):
        yield Target(address, rest, folder)


@contextlib.contextmanager
def _embedded(folder: Path) -> Iterator[tuple[str, str]]:
    (folder / "models.config").write_text(CONFIG, "utf-8")
    (folder / "monitoring.config").write_text(MONITORING, "utf-8")
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    command = [sys.executable, "-m", "serving.server", "--port=0", f"--rest_api_port={port}"]
    command += [f"--model_config_file={folder / 'models.config'}"]
    command += [f"--monitoring_config_file={folder / 'monitoring.config'}"]
    command += ["--file_system_poll_wait_seconds=0.1", "--max_num_load_retries=0"]
    log = folder / "server.log"
    with log.open("w") as stream:
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, env=environment
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Serving on "), f"{line!r}\n{log.read_text('utf-8')}"
        yield line.removeprefix("Serving on ").strip(), f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def saved_models(target: Target) -> Path:
    """The folder of exported models; exported in a process of its own, while the server starts."""
    folder = target.root / ".exports"
    script = Path(__file__).with_name("saved_models.py")
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=EXPORT)
    assert done.returncode == 0, done.stderr
    return folder


class Calls:
    """The official stubs, with requests from plain values."""

    def __init__(self, address: str) -> None:
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        sizes = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options=sizes)
        try:
            grpc.channel_ready_future(self.channel).result(TIMEOUT)
        except grpc.FutureTimeoutError:
            pytest.exit(f"nothing answers gRPC at {address}", 2)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    @staticmethod
    def spec(name: str, signature: str = "", version: int | None = None, label: str = "") -> Any:
        from tensorflow_serving.apis import model_pb2

        spec = model_pb2.ModelSpec(name=name, signature_name=signature)
        if version is not None:
            spec.version.value = version
        if label:
            spec.version_label = label
        return spec

    @staticmethod
    def tensor(value: Any, dtype: Any = None) -> Any:
        """A TensorProto as `tf.make_tensor_proto` makes it."""
        import tensorflow as tf

        return value if hasattr(value, "tensor_shape") else tf.make_tensor_proto(value, dtype)

    def predict(
        self, name: str, inputs: Mapping[str, Any], only: Sequence[str] = (), **spec: Any
    ) -> Any:
        from tensorflow_serving.apis import predict_pb2

        tensors = {key: self.tensor(value) for key, value in inputs.items()}
        request = predict_pb2.PredictRequest(
            model_spec=self.spec(name, **spec), inputs=tensors, output_filter=only
        )
        return self.predictions.Predict(request, timeout=TIMEOUT)

    def half(self, name: str, **spec: Any) -> tuple[float, int]:
        """What a half_plus model makes of 2, and the version that answered."""
        reply = self.predict(name, {"x": [[2.0]]}, **spec)
        return reply.outputs["y"].float_val[0], reply.model_spec.version.value

    def metadata(self, name: str, fields: Sequence[str] = ("signature_def",), **spec: Any) -> Any:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self.spec(name, **spec), metadata_field=fields
        )
        return self.predictions.GetModelMetadata(request, timeout=TIMEOUT)

    def status(self, name: str, **spec: Any) -> Any:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self.spec(name, **spec))
        return self.models.GetModelStatus(request, timeout=TIMEOUT)

    def states(self, name: str) -> dict[int, str]:
        """Each version's state by name; none where the model is unknown."""
        try:
            statuses = self.status(name).model_version_status
        except grpc.RpcError:
            return {}
        return {one.version: type(one).State.Name(one.state) for one in statuses}

    @staticmethod
    def refusal(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, str]:
        """The code's name and the text that a call is refused with."""
        with pytest.raises(grpc.RpcError) as caught:
            call(*args, **kwargs)
        return caught.value.code().name, caught.value.details()


@pytest.fixture(scope="session")
def calls(target: Target, saved_models: Path) -> Iterator[Calls]:
    made = Calls(target.grpc)
    yield made
    made.channel.close()


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], Any]], Any]:
    """Waits for something true and returns it; fails after a minute."""

    def until(condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + TIMEOUT
        while not (value := condition()):
            assert time.monotonic() < end, "it did not come true in time"
            time.sleep(0.05)
        return value

    return until


class Registry:
    """The models that the server is configured to serve: all of them are sent at each change."""

    def __init__(self, calls: Calls, root: Path, exports: Path) -> None:
        self._calls, self._root, self._exports = calls, root, exports
        self._configs: dict[str, Any] = {}
        self._names = (f"model_{number}" for number in itertools.count())

    def base_path(self) -> Path:
        """A new empty base path, whose name is the model's."""
        path = self._root / next(self._names)
        path.mkdir()
        return path

    def publish(self, export: str, base_path: Path, version: int | str) -> Path:
        """Puts a copy of an export under the base path by a rename."""
        partial = base_path / f".{version}"
        shutil.copytree(self._exports / export, partial)
        return partial.rename(base_path / str(version))

    @staticmethod
    def config(base_path: Path, *, name: str = "", **fields: Any) -> Any:
        """A ModelConfig; `fields` are its own: model_version_policy, version_labels and so on."""
        from tensorflow_serving.config import model_server_config_pb2

        fields = {"model_platform": "tensorflow"} | fields
        return model_server_config_pb2.ModelConfig(
            name=name or base_path.name, base_path=str(base_path), **fields
        )

    def send(self, configs: Sequence[Any]) -> Any:
        """HandleReloadConfigRequest with exactly these models."""
        from tensorflow_serving.apis import model_management_pb2

        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.SetInParent()  # an empty list is a list too
        request.config.model_config_list.config.extend(configs)
        return self._calls.models.HandleReloadConfigRequest(request, timeout=TIMEOUT)

    def others(self) -> list[Any]:
        return list(self._configs.values())

    def put(self, *configs: Any) -> Any:
        """Adds models, or replaces those of the same names; the old ones stay if it is refused."""
        wanted = self._configs | {config.name: config for config in configs}
        reply = self.send(list(wanted.values()))
        self._configs = wanted
        return reply

    def drop(self, *names: str) -> None:
        if any(self._configs.pop(name, None) is not None for name in names):
            self.send(self.others())

    def serve(self, versions: Mapping[int | str, str], **fields: Any) -> Path:
        """Publishes exports by version and serves them; the base path."""
        base_path = self.base_path()
        for version, export in versions.items():
            self.publish(export, base_path, version)
        self.put(self.config(base_path, **fields))
        return base_path


@pytest.fixture(scope="session")
def registry(target: Target, calls: Calls, saved_models: Path) -> Iterator[Registry]:
    """Leaves the server as it was found: without models."""
    made = Registry(calls, target.root, saved_models)
    yield made
    made.send([])


@pytest.fixture
def serve(registry: Registry) -> Iterator[Callable[..., Path]]:
    """`Registry.serve` for one test."""
    served: list[str] = []

    def serve(versions: Mapping[int | str, str], **fields: Any) -> Path:
        base_path = registry.serve(versions, **fields)
        served.append(base_path.name)
        return base_path

    yield serve
    registry.drop(*served)


@pytest.fixture(scope="session")
def half(registry: Registry) -> str:
    """Name of a model with versions 1 (x / 2 + 2) and 2 (x / 2 + 3), labelled stable and canary."""
    versions: dict[int | str, str] = {1: "half_plus_two", 2: "half_plus_three"}
    policy: dict[str, Any] = {"model_version_policy": {"all": {}}}
    base_path = registry.serve(versions, **policy)
    labels = {"stable": 1, "canary": 2}
    end = time.monotonic() + TIMEOUT
    while True:  # the call returns when one version is available; a label needs its own
        try:
            registry.put(registry.config(base_path, version_labels=labels, **policy))
            return base_path.name
        except grpc.RpcError:
            assert time.monotonic() < end, "version 1 and 2 were not available in time"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def kinds(registry: Registry) -> str:
    """Name of the model with one signature for each kind of input, output and failure."""
    return registry.serve({"00000123": "kinds"}).name


@dataclasses.dataclass(frozen=True)
class Reply:
    """An HTTP reply."""

    status: int
    content_type: str
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


@pytest.fixture(scope="session")
def rest(target: Target, calls: Calls) -> Callable[..., Reply]:
    """GET, or POST where there is a body: text as it is, anything else as JSON."""

    def rest(path: str, body: Any = None, method: str | None = None) -> Reply:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        data = None if text is None else text.encode()
        request = urllib.request.Request(f"http://{target.rest}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
                return _reply(reply)
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error)

    return rest


def _reply(reply: Any) -> Reply:
    return Reply(reply.status, reply.headers.get("Content-Type", ""), reply.read().decode())

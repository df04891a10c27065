"""A tiny SavedModel with the signatures of text, real servers and databases, and what waits for
reviewers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serving.review import reviewers
from serving.review.candidates import Candidate, read_candidate
from serving.review.signing import make_key, public_bytes
from serving.store import Run, Store, open_store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "Serving on "


@dataclasses.dataclass(eq=False)
class Server:
    """A server process and where it listens."""

    process: subprocess.Popen[str]
    base_path: Path
    log: Path

    @functools.cached_property
    def address(self) -> str:
        """Waits until it listens."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(PREFIX), f"{line!r}\n{self.log.read_text('utf-8')}"
        return line.removeprefix(PREFIX).strip()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def _save(destination: Path, tag: str, *, warmup_tokens: int) -> Path:
    """Exports a module whose text names the version and the row's own parameters."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    def column(dtype: Any, name: str) -> Any:
        return tf.TensorSpec([None], dtype, name=name)

    class Toy(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tag = tf.Variable(tag, dtype=tf.string)

        @tf.function(
            input_signature=[
                column(tf.string, "prompt"),
                column(tf.int32, "max_new_tokens"),
                column(tf.float32, "temperature"),
                column(tf.int32, "top_k"),
                column(tf.float32, "top_p"),
                column(tf.int64, "seed"),
            ]
        )
        def generate(self, prompt, max_new_tokens, temperature, top_k, top_p, seed):
            least = tf.reduce_min(max_new_tokens)
            message = ["expected max_new_tokens of at least 1. Received:", least]
            with tf.control_dependencies([tf.debugging.Assert(least > 0, message)]):
                rows = tf.shape(prompt)
            words = tf.strings.as_string(tf.broadcast_to(seed, rows))
            text = tf.strings.join([tf.broadcast_to(self.tag, rows), words, prompt], "|")
            some = tf.cast(top_k, tf.float32) + top_p
            return {
                "text": text,
                "num_tokens": tf.broadcast_to(max_new_tokens, rows),
                "logprob": tf.broadcast_to(temperature + some, rows),
            }

        @tf.function(
            input_signature=[
                column(tf.string, "prompt"),
                tf.TensorSpec([None, None], tf.int32, "generated"),
                column(tf.int32, "max_new_tokens"),
                column(tf.float32, "temperature"),
                column(tf.int32, "top_k"),
                column(tf.float32, "top_p"),
                column(tf.int64, "seed"),
                column(tf.int32, "chunk_tokens"),
            ]
        )
        def generate_chunk(
            self, prompt, generated, max_new_tokens, temperature, top_k, top_p, seed, chunk_tokens
        ):
            """What `generate` answers in pieces, a byte a token, cut at `max_new_tokens`."""
            rows = tf.shape(prompt)
            words = tf.strings.as_string(tf.broadcast_to(seed, rows))
            text = tf.strings.join([tf.broadcast_to(self.tag, rows), words, prompt], "|")
            whole = tf.minimum(tf.strings.length(text), tf.broadcast_to(max_new_tokens, rows))
            done = tf.reduce_sum(tf.cast(generated >= 0, tf.int32), axis=1)
            count = tf.maximum(tf.minimum(whole - done, chunk_tokens), 0)
            piece = tf.strings.substr(text, tf.minimum(done, tf.strings.length(text)), count)
            width = tf.maximum(tf.reduce_max(count), 1)
            tokens = tf.io.decode_raw(piece, tf.uint8, fixed_length=width)
            inside = tf.sequence_mask(count, width)
            unused = tf.reduce_sum(0 * (temperature + top_p + tf.cast(top_k, tf.float32)))
            return {
                "tokens": tf.where(inside, tf.cast(tokens, tf.int32) + 1, -1),
                "text": piece,
                "num_tokens": count,
                "logprob": -tf.cast(count, tf.float32) + unused,
                "finished": done + count >= whole,
            }

        @tf.function(input_signature=[column(tf.string, "text")])
        def score(self, text):
            length = tf.strings.length(text)
            return {"nll": tf.cast(length, tf.float32), "num_tokens": length + 1}

        @tf.function(input_signature=[column(tf.float64, "seconds")])
        def slow(self, seconds):
            end = tf.timestamp() + seconds[0]
            rounds = tf.while_loop(lambda n: tf.timestamp() < end, lambda n: [n + 1], [0])[0]
            return {"done": rounds >= 0}

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def double(self, x):
            return {"y": x * 2, "z": x + 1}

        @tf.function(jit_compile=True, input_signature=[column(tf.float32, "x")])
        def compiled(self, x):
            return {"y": x * 2}

    toy = Toy()
    names = ("generate", "generate_chunk", "score", "slow", "double", "compiled")
    signatures = {name: getattr(toy, name) for name in names}
    signatures["serving_default"] = toy.generate
    tf.saved_model.save(toy, str(destination), signatures=signatures)

    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "generate"
    for name, value in {
        "prompt": tf.constant(["warm"]),
        "max_new_tokens": tf.constant([warmup_tokens], tf.int32),
        "temperature": tf.constant([1.0]),
        "top_k": tf.constant([0], tf.int32),
        "top_p": tf.constant([1.0]),
        "seed": tf.constant([0], tf.int64),
    }.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value.numpy(), value.dtype))
    record = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
    (destination / "assets.extra").mkdir()
    file = str(destination / "assets.extra" / "tf_serving_warmup_requests")
    with tf.io.TFRecordWriter(file) as writer:
        writer.write(record.SerializeToString())
    return destination


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """SavedModels by name; `refuses` does not survive its own warmup request."""
    root = tmp_path_factory.mktemp("saved_models")
    return {
        "first": _save(root / "first", "first", warmup_tokens=1),
        "second": _save(root / "second", "second", warmup_tokens=1),
        "refuses": _save(root / "refuses", "refuses", warmup_tokens=0),
    }


@pytest.fixture(scope="session")
def publish() -> Callable[[Path, Path, int], Path]:
    """Puts a SavedModel under a base path by a rename, as `push` does."""

    def publish(source: Path, base_path: Path, version: int) -> Path:
        base_path.mkdir(parents=True, exist_ok=True)
        partial = base_path / f".{version}"
        shutil.copytree(source, partial)
        return partial.rename(base_path / str(version))

    return publish


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts a server on a free port of 127.0.0.1."""
    started: list[Server] = []

    def start(base_path: Path, *flags: str) -> Server:
        log = tmp_path_factory.mktemp("server") / "log"
        command = [sys.executable, "-m", "serving.server", "--port=0", "--model_name=text"]
        command += [f"--model_base_path={base_path}", "--file_system_poll_wait_seconds=0.1"]
        with log.open("w") as stream:
            process = subprocess.Popen(
                [*command, *flags],
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        server = Server(process, base_path, log)
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Server],
) -> Server:
    """A server of version 3, which no test may change."""
    from serving.client import Client

    base_path = tmp_path_factory.mktemp("served") / "text"
    (base_path / "not-a-version").mkdir(parents=True)
    (base_path / "9").mkdir()  # half-written: no saved_model.pb yet
    running = start_server(base_path)
    # It imports TensorFlow while this process does too, and exports the models.
    publish(request.getfixturevalue("saved_models")["first"], base_path, 3)
    with Client(running.address, model="text") as client:
        client.wait_until_available(60)
    return running


@pytest.fixture(scope="session")
def predict() -> Callable[..., Any]:
    """Calls any signature of a server's model with vectors; the PredictResponse."""
    import grpc

    from serving.client import messages

    def predict(address: str, signature: str, **inputs: Any) -> Any:
        spec = messages.ModelSpec(name="text", signature_name=signature)
        request = messages.PredictRequest(model_spec=spec, inputs=inputs)
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=messages.PredictResponse.FromString,
            )
            return call(request, timeout=60)

    return predict


@dataclasses.dataclass
class PostgreSQL:
    """A private server, reached over a socket in its own folder."""

    folder: Path
    programs: Path

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of its programs; PostgreSQL refuses to be run by root."""
        command = [str(self.programs / program), *arguments]
        if os.getuid() == 0:
            command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *command,
            ]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, timeout=120)

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def new_database(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        self.run("createdb", "-h", str(self.folder), "-U", "postgres", name)
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("PostgreSQL is missing: make test-tools")
    programs = found[-1].parent if found else Path(str(on_path)).resolve().parent
    # Not below pytest's own folder, which other users cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="loomline-postgresql-"))
    server = PostgreSQL(folder, programs)
    try:
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = str(folder / "data")
        server.run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'store.sqlite'}"
    created: str = request.getfixturevalue("postgresql").new_database()
    return created


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def a_run() -> Callable[..., Run]:
    """Makes a run of the registry: pushed just now, a minute long, unless told otherwise."""

    def a_run(name: str, **changed: Any) -> Run:
        texts = [field.name for field in dataclasses.fields(Run) if field.type == "str"]
        values: dict[str, Any] = {
            **dict.fromkeys(texts, ""),
            "model": "text",
            "run": name,
            "finished": datetime.now(UTC).replace(microsecond=0),
            "outcome": "pushed",
            "seconds": 61.5,
            "config": {},
            "figures": {},
            "champion_version": None,
        }
        return Run(**{**values, **changed})

    return a_run


@dataclasses.dataclass(frozen=True)
class Person:
    name: str
    key: Ed25519PrivateKey
    key_path: Path


@pytest.fixture
def approvers(tmp_path: Path) -> Path:
    return tmp_path / "approvers.json"


@pytest.fixture
def person(tmp_path: Path, approvers: Path) -> Callable[[str], Person]:
    """Lists a reviewer of that name."""

    def person(name: str) -> Person:
        path = tmp_path / f"{name}.key"
        key = make_key(path)
        reviewers.add(approvers, name, public_bytes(key))
        return Person(name, key, path)

    return person


@pytest.fixture
def candidate(tmp_path: Path, approvers: Path) -> Callable[..., Candidate]:
    """A candidate of that run."""

    def candidate(
        run: str = "20261123-120000",
        champion: int | None = None,
        records: Path | str = "",
        **evidence: str,
    ) -> Candidate:
        path = tmp_path / "models" / "text" / ".pending" / run
        (path / "loomline").mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(run.encode())
        rule = {
            "metric": "evaluation.copy_share",
            "value": 0.05,
            "verdict": "pass",
            "reason": "<b>",
        }
        decision = {"approved": True, "reason": "approved: all 3 rules pass", "rules": [rule]}
        (path / "loomline" / "decision.json").write_text(json.dumps(decision))
        (path / "loomline" / "evaluation.json").write_text("{}")
        for name, text in evidence.items():
            (path / "loomline" / name).write_text(text)
        digests = {
            one.name: hashlib.sha256(one.read_bytes()).hexdigest()
            for one in (path / "loomline").iterdir()
        }
        content = {
            "run": run,
            "model_name": "text",
            "champion_version": champion,
            "digests": {"saved_model": "5" * 64, **digests},
            "records": str(records),
            "approvers": str(approvers),
            "created": "2026-11-23T12:00:00+00:00",
        }
        (path / "loomline" / "pending.json").write_text(json.dumps(content))
        return read_candidate(path)

    return candidate

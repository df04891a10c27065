"""`loomline serve`: the model server, and in front of it the gateway with its playground."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from components.errors import ServingError
from pipelines.services import EmbeddedServer, Service
from serving.review.signing import default_key_path

READY_SECONDS = 180.0
_LOOK_SECONDS = 0.5
_SETTLE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Ports:
    """Where the parts listen; 0 takes a free port.

    Attributes:
        host: address of the gateway; the model server itself stays on 127.0.0.1.
        grpc: of the model server.
        rest: of the model server.
        http: of the gateway; None for no gateway.
    """

    host: str
    grpc: int
    rest: int
    http: int | None


@dataclasses.dataclass(frozen=True)
class Addresses:
    """Where the parts are found: HOST:PORT twice, and a URL."""

    grpc: str
    rest: str
    gateway: str | None


@contextlib.contextmanager
def serving(
    base_path: Path | str,
    model_name: str,
    logs: Path,
    ports: Ports,
    store: str,
    auth: str,
    review: Path,
) -> Iterator[tuple[Addresses, Stop]]:
    """Runs the parts; the gateway stops first, so that what is under way is answered.

    Args:
        base_path: folder of the model's versions; a path, gs:// or s3://.
        model_name: what requests call the model.
        logs: folder for the parts' logs.
        ports: where to listen.
        store: URL of the gateway's store.
        auth: `none` or `keys`.
        review: folder of models, among which some wait for a person.

    Yields:
        The addresses, once the model answers, and what ends the wait.

    Raises:
        ServingError: a part did not start, or the model does not become available.
    """
    stop = Stop()
    with contextlib.ExitStack() as parts:
        server = parts.enter_context(
            EmbeddedServer(
                base_path,
                model_name,
                logs / "server.log",
                port=ports.grpc,
                flags=_rest(ports.rest, logs) if ports.rest else [],
            )
        )
        server.when_ended(lambda: stop.ended(server))
        grpc = server.address()
        rest = server.rest_address() if ports.rest else ""
        gateway = None
        if ports.http is not None:
            flags = [f"--upstream={grpc}", f"--host={ports.host}", f"--port={ports.http}"]
            flags += [f"--models={model_name}", f"--store={store}", f"--auth={auth}"]
            flags += [f"--review-models={review}", f"--review-key={default_key_path()}"]
            front = parts.enter_context(Service("serving.gateway", flags, logs / "gateway.log"))
            front.when_ended(lambda: stop.ended(front))
            gateway = front.announced("Gateway on ")
            parts.enter_context(settling(review, store))
        _wait_for_model(grpc, model_name, stop)
        yield Addresses(grpc, rest, gateway), stop


def _rest(port: int, logs: Path) -> list[str]:
    """Flags for REST, and for metrics where TensorFlow Serving has them: on the same port."""
    file = logs / "monitoring.config"
    logs.mkdir(parents=True, exist_ok=True)
    file.write_text("prometheus_config { enable: true }\n", "utf-8")
    return [f"--rest_api_port={port}", f"--monitoring_config_file={file}"]


@contextlib.contextmanager
def settling(models: Path, store: str) -> Iterator[None]:
    """Publishes in the background what is approved on the review page."""
    from pipelines.reviewing import settle_all

    ended = threading.Event()
    told: set[str] = set()

    def settle() -> None:
        while not ended.wait(_SETTLE_SECONDS):
            for line, _ in settle_all(models, None, store):
                # What still waits for the same reason is told once.
                if line not in told:
                    told.add(line)
                    print(f"  {line}", flush=True)

    thread = threading.Thread(target=settle, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


class Stop:
    """Waits for Ctrl-C, SIGTERM, or the end of a part."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._culprit: Service | None = None

    def ended(self, part: Service) -> None:
        """Notes that a part has ended by itself."""
        if not self._event.is_set():
            self._culprit = part
            self._event.set()

    def wait(self) -> None:
        """Returns when somebody asks to stop.

        Raises:
            ServingError: a part ended by itself.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._event.set())
        self._event.wait()
        self.check()

    def check(self) -> None:
        """Returns while all parts live.

        Raises:
            ServingError: a part ended by itself.
        """
        if self._culprit is not None:
            raise ServingError(self._culprit.last_words())


def _wait_for_model(address: str, model_name: str, stop: Stop) -> None:
    """Waits until the model answers, as long as the parts live.

    Raises:
        ServingError: it does not within `READY_SECONDS`, cannot, or a part ended.
    """
    from serving.client import Client, ClientError, DeadlineError, UnavailableError

    deadline = time.monotonic() + READY_SECONDS
    with Client(address, model=model_name) as client:
        while True:
            try:
                client.wait_until_available(_LOOK_SECONDS)
                return
            except (DeadlineError, UnavailableError) as error:
                stop.check()
                if time.monotonic() >= deadline:
                    seen = error.message.partition("Received: ")[2] or error.message
                    raise ServingError(
                        f"expected model {model_name} to be available within "
                        f"{READY_SECONDS:g} s. Received: {seen}"
                    ) from None
            except ClientError as error:
                raise ServingError(str(error)) from None

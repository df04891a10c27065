"""Containers of the manifests, started on this machine."""

from __future__ import annotations

import contextlib
import math
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

Object = dict[str, Any]


def free_port() -> int:
    """A port that nobody takes meanwhile: one the system does not give to outgoing connections."""
    while True:
        number = random.randint(20_000, 32_000)
        with socket.socket() as chosen, contextlib.suppress(OSError):
            chosen.bind(("127.0.0.1", number))
            return number


class Node:
    """Starts containers on this machine with exactly the arguments of their manifests.

    What a cluster provides is stood in for, and nothing else is changed:

    - a mounted folder is a folder below `root`, in arguments and in the files of ConfigMaps; those
      lie behind the symbolic links by which the kubelet changes all of a mount at once;
    - a port of a container is a free one of 127.0.0.1, and so is the address of its service;
    - `$(NAME)` is expanded from the container's environment, as the kubelet does;
    - `tensorflow_model_server` is the embedded server, and `python` and `loomline` are those of
      this environment.
    """

    def __init__(
        self, rendered: Any, root: Path, secrets: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.rendered, self.root = rendered, root
        self.secrets = secrets or {}
        self.ports: dict[int, int] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def port(self, number: int) -> int:
        """The free port that stands for a container's."""
        if number not in self.ports:
            self.ports[number] = free_port()
        return self.ports[number]

    def start(self, name: str, **environment: str) -> subprocess.Popen[str]:
        """Starts the container of a pod; what it logs is in `root/NAME.log`."""
        command, variables = self.prepare(name)
        log = self.root / f"{name}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=stream,
                text=True,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables | environment,
            )
        self.processes[name] = process
        return process

    def prepare(self, name: str) -> tuple[list[str], dict[str, str]]:
        """The command line and environment of a pod's container; its mounts are made."""
        pod = self.rendered.pod(name)
        container, volumes = pod.container, {one["name"]: one for one in pod.spec["volumes"]}
        for mount in container["volumeMounts"]:
            self._mount(mount["mountPath"], volumes[mount["name"]])
        variables = self._environment(container)
        arguments = [
            re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], one)
            for one in container["args"]
        ]
        own = {port["containerPort"] for port in container.get("ports", [])}
        programs = {
            "tensorflow_model_server": [sys.executable, "-m", "serving.server"],
            "python": [sys.executable],
            "loomline": [sys.executable, "-m", "pipelines.cli"],
        }
        program, *rest = container["command"]
        command = [*programs[program], *rest]
        return command + [self._here(one, own) for one in arguments], variables

    def probe(self, name: str, kind: str) -> int:
        """The HTTP status of a probe's own request; 0 where nobody answers."""
        container = self.rendered.pod(name).container
        probe = container[kind]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        url = f"http://127.0.0.1:{self.port(ports[probe['httpGet']['port']])}"
        try:
            reply = httpx.get(url + probe["httpGet"]["path"], timeout=probe["timeoutSeconds"])
        except httpx.TransportError:
            return 0
        return reply.status_code

    def passes(self, name: str, kind: str) -> bool:
        """Whether the kubelet would take a probe for passed."""
        return 200 <= self.probe(name, kind) < 400

    def await_probe(self, name: str, kind: str, seconds: float = 240) -> None:
        """Waits until a probe of a container that runs passes."""
        deadline = time.monotonic() + seconds
        while not self.passes(name, kind):
            waits = self.processes[name].poll() is None and time.monotonic() < deadline
            assert waits, (self.root / f"{name}.log").read_text("utf-8")[-3000:]
            time.sleep(0.05)

    def change(self, mount: str, file: str, text: str) -> None:
        """Changes a file of a ConfigMap as the kubelet does: all files of the mount at once."""
        folder = self.path(mount)
        number = sum(1 for one in folder.iterdir() if one.name.startswith("..v"))
        new = folder / f"..v{number}"
        new.mkdir()
        current = folder / "..data"
        if current.exists():
            for one in current.iterdir():
                (new / one.name).write_text(one.read_text("utf-8"), "utf-8")
        (new / file).write_text(self._mapped(text), "utf-8")
        link = folder / "..new"
        link.symlink_to(new.name)
        link.replace(current)
        if not (folder / file).is_symlink():
            (folder / file).symlink_to(f"..data/{file}")

    def path(self, mount: str) -> Path:
        """The folder that stands for a mounted one."""
        return self.root / mount.strip("/").replace("/", "-")

    def stop(self) -> None:
        """Ends what still runs."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def _mount(self, mount: str, volume: Object) -> None:
        self.path(mount).mkdir(exist_ok=True)
        if "configMap" in volume:
            content = self.rendered.one("ConfigMap", volume["configMap"]["name"])["data"]
            for file, text in content.items():
                self.change(mount, file, text)
        if "secret" in volume:
            for item in volume["secret"]["items"]:
                text = self.secrets[volume["secret"]["secretName"]][item["key"]]
                (self.path(mount) / item["path"]).write_text(text, "utf-8")

    def _environment(self, container: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.rendered.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for one in container.get("env", []):
            reference = one.get("valueFrom", {})
            if "secretKeyRef" in reference:
                secret = reference["secretKeyRef"]
                if secret["name"] in self.secrets or not secret.get("optional"):
                    found[one["name"]] = self.secrets[secret["name"]][secret["key"]]
            elif "configMapKeyRef" in reference:
                source = reference["configMapKeyRef"]
                found[one["name"]] = self.rendered.one("ConfigMap", source["name"])["data"][
                    source["key"]
                ]
            elif "resourceFieldRef" in reference:
                assert reference["resourceFieldRef"]["resource"] == "limits.cpu"
                found[one["name"]] = str(math.ceil(float(container["resources"]["limits"]["cpu"])))
            else:
                found[one["name"]] = one["value"]
        return found

    def _here(self, argument: str, own: set[int]) -> str:
        argument = self._mapped(argument)
        flag, _, value = argument.partition("=")
        if value.isdigit() and int(value) in own and flag in ("--port", "--rest_api_port"):
            return f"{flag}={self.port(int(value))}"
        if argument == "--host=0.0.0.0":
            return "--host=127.0.0.1"
        for service in self.rendered.of("Service"):
            for port in service["spec"]["ports"]:
                address = f"{service['metadata']['name']}:{port['port']}"
                argument = argument.replace(address, f"127.0.0.1:{self.port(port['port'])}")
        return argument

    def _mapped(self, text: str) -> str:
        mounts = {mount["mountPath"] for pod in self.rendered.pods() for mount in _mounts(pod)}
        # In one pass, as the folder that stands for a mount may lie below another's path.
        known = "|".join(sorted(map(re.escape, mounts), key=len, reverse=True))
        return re.sub(
            rf'(?<![\w.-])({known})(?=[/"]|$)', lambda found: str(self.path(found[1])), text
        )


def _mounts(pod: Any) -> list[Object]:
    return list(pod.container["volumeMounts"])


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Node]]:
    """Makes nodes, and ends all that runs there."""
    made: list[Node] = []

    def node(rendered: Any, secrets: Mapping[str, Mapping[str, str]] | None = None) -> Node:
        made.append(Node(rendered, tmp_path_factory.mktemp("node"), secrets))
        return made[-1]

    yield node
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits until something holds, which it must within some seconds."""

    def until(holds: Callable[[], Any], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.05)

    return until


@pytest.fixture(scope="session")
def new_port() -> Callable[[], int]:
    """Free ports."""
    return free_port

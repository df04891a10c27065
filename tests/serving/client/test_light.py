"""The client alone in a fresh process: what it imports, and what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

# Refuses every package but these and Python's own, as an environment without them would.
BARE = """
import sys

class Refuse:
    allowed = {"grpc", "google", "typing_extensions", "serving", *sys.stdlib_module_names}

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        inside = name.startswith(("google.protobuf", "google._upb"))
        if top not in self.allowed or (top == "google" and name != top and not inside):
            raise ModuleNotFoundError(f"no {name} here", name=name)

sys.meta_path.insert(0, Refuse())
"""


def fresh(code: str, *arguments: str) -> Any:
    """What the code prints as JSON, in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_importing_it_brings_no_tensorflow_and_takes_little_memory() -> None:
    modules, kilobytes, seconds = fresh(
        "import sys, json, time\n"
        "started = time.perf_counter()\n"
        "import serving.client, serving.client.admin\n"
        "seconds = time.perf_counter() - started\n"
        "status = open('/proc/self/status').read()\n"
        "kilobytes = int(status.split('VmRSS:')[1].split()[0])\n"
        "print(json.dumps([sorted({m.split('.')[0] for m in sys.modules}), kilobytes, seconds]))"
    )
    print(f"imported in {seconds:.2f} s, {kilobytes / 1024:.0f} MB")
    heavy = {"tensorflow", "tensorflow_serving", "numpy", "components", "pipelines"}
    assert not heavy & set(modules)
    assert kilobytes < 60 * 1024


def test_it_needs_grpc_and_protobuf_alone(server: Any) -> None:
    answers = fresh(
        BARE + "import asyncio, json\n"
        "from serving.client import AsyncClient, Client\n"
        "from serving.client.admin import health\n"
        "address = sys.argv[1]\n"
        "async def stream():\n"
        "    async with AsyncClient(address, timeout=20) as client:\n"
        "        return ''.join([chunk.text async for chunk in client.stream('x')])\n"
        "with Client(address, timeout=20) as client:\n"
        "    text = client.generate('x')[0].text\n"
        "    doubled = client.predict('double', {'x': [[1, 2]]}).outputs['y'].tolist()\n"
        "print(json.dumps([text, doubled, asyncio.run(stream()), health(address)]))",
        server.address,
    )
    assert answers == ["first|0|x", [[2.0, 4.0]], "first|0|x", True]


def test_the_refusal_of_other_packages_works() -> None:
    tried = fresh(
        BARE + "import json\n"
        "found = []\n"
        "for name in ('numpy', 'tensorflow', 'google.auth', 'google.protobuf.any_pb2'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "        found.append(name)\n"
        "    except ModuleNotFoundError:\n"
        "        pass\n"
        "print(json.dumps(found))"
    )
    assert tried == ["google.protobuf.any_pb2"]
